"""The parts of a demo face that rest: the wall and shoulders behind it, hair, skin and nose."""

from collections.abc import Callable

import cv2
import numpy as np

from pipelines.demo.looks import Colour, Expression, Look
from pipelines.demo.paint import SIZE_PX, Place, arc, blend, fill, glow, line, shade

_SUPERSAMPLING = 2  # these layers are drawn twice as large, then averaged down
_WARM: Colour = (70, 70, 225)
_PALE: Colour = (240, 232, 222)
_GREEN: Colour = (110, 200, 150)


def tinted(skin: Colour, face: Expression) -> Colour:
    """``skin`` in the tint of an expression."""
    skin = blend(skin, _WARM, 0.30 * max(face.warmth, 0.0))
    skin = blend(skin, _PALE, 0.40 * max(face.pallor, 0.0))
    return blend(skin, _GREEN, 0.30 * max(face.green, 0.0))


def background(look: Look, skin: Colour) -> np.ndarray:
    """A lit wall, a neck and shoulders."""
    side = SIZE_PX * _SUPERSAMPLING
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    light = 1.05 - 0.45 * ((x - 0.35) ** 2 + (y - 0.25) ** 2)
    picture = np.clip(np.array(look.background) * light[:, :, None], 0, 255).astype(np.uint8)
    place = Place(look.offset_x, look.offset_y)

    def oval(y_off: float, rx: float, ry: float, paint: Colour) -> None:
        fill(picture, place.at(*arc(0, y_off, rx, ry, 0.0, 360.0)) * _SUPERSAMPLING, paint)

    oval(0.62, 0.44, 0.26, blend(look.clothes, (20, 20, 20), 0.10))
    oval(0.60, 0.43, 0.25, look.clothes)
    oval(0.32, 0.105, 0.14, blend(skin, (40, 50, 90), 0.30))
    return cv2.resize(picture, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)


class RestingHead:
    """Paints one speaker's head without what moves in it."""

    def __init__(self, look: Look, expression: Expression) -> None:
        self.look = look
        self.expression = expression
        self.skin = tinted(look.skin, expression)
        self.place = Place(look.offset_x, look.offset_y)

    def head(self) -> np.ndarray:
        """Hair, ears, skin and nose: uint8 BGRA with colours already times alpha."""
        scale = _SUPERSAMPLING
        colour = np.zeros((SIZE_PX * scale, SIZE_PX * scale, 3), np.uint8)
        alpha = np.zeros(colour.shape[:2], np.uint8)
        half_width, half_height = self.look.face_width / 2, self.look.face_height / 2

        def oval(x: float, y: float, rx: float, ry: float, paint: Colour, *span: float) -> None:
            points = self.place.at(*arc(x, y, rx, ry, *(span or (0.0, 360.0)))) * scale
            fill(colour, points, paint)
            fill(alpha, points, (255,))

        self._draw_back_hair(oval)
        for side in (-1, 1):
            oval(side * half_width, 0.02, 0.035, 0.055, blend(self.skin, (30, 40, 80), 0.18))
        oval(0, 0, half_width, half_height, self.skin)
        shade(colour, self.place.at(0, -0.04)[0] * scale, half_width * SIZE_PX * scale)
        self._draw_cheeks(colour, scale)
        self._draw_nose(colour, scale)
        if self.look.beard:
            self._draw_beard(colour, scale)
        self._draw_front_hair(oval)
        head = np.dstack([colour, alpha])
        return cv2.resize(head, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)

    def _draw_back_hair(self, oval: Callable[..., None]) -> None:
        half_width, half_height = self.look.face_width / 2, self.look.face_height / 2
        shadow = blend(self.look.hair, (15, 15, 15), 0.25)
        style = self.look.hair_style
        if style == "long":
            oval(0, 0.06, half_width + 0.075, half_height + 0.10, shadow)
        elif style == "bob":
            oval(0, -0.03, half_width + 0.075, half_height + 0.03, shadow)
        elif style == "bun":
            oval(0, -half_height - 0.04, 0.085, 0.075, shadow)
        if style != "bald":
            oval(0, -0.05, half_width + 0.025, half_height, self.look.hair, 180.0, 360.0)

    def _draw_front_hair(self, oval: Callable[..., None]) -> None:
        half_width, half_height = self.look.face_width / 2, self.look.face_height / 2
        if self.look.hair_style == "bald":
            return
        hair = self.look.hair
        if self.look.hair_style == "side":
            oval(-0.03, -0.17, half_width + 0.01, half_height - 0.14, hair, 185.0, 330.0)
            oval(0.10, -0.19, half_width - 0.08, half_height - 0.15, hair, 200.0, 360.0)
        else:
            oval(0, -0.185, half_width, half_height - 0.155, hair, 180.0, 360.0)

    def _draw_cheeks(self, colour: np.ndarray, scale: int) -> None:
        if self.expression.blush <= 0:
            return
        for side in (-1, 1):
            spot = self.place.at(side * self.look.face_width * 0.31, 0.075)[0] * scale
            glow(colour, spot, 0.075 * SIZE_PX * scale, _WARM, 0.42 * self.expression.blush)

    def _draw_nose(self, colour: np.ndarray, scale: int) -> None:
        shadow = blend(self.skin, (35, 40, 80), 0.35)
        tip = self.look.nose_length - 0.02
        bridge = np.array([[0.012, -0.03], [0.02, tip * 0.6], [0.035, tip], [0.0, tip + 0.015]])
        points = self.place.at(bridge[:, 0], bridge[:, 1]) * scale
        width = max(2, round(0.008 * SIZE_PX * scale))
        line(colour, points, shadow, width)
        if self.expression.lip_curl > 0.3:  # a wrinkled nose goes with a curled lip
            for y in (-0.005, 0.015):
                wrinkle = self.place.at(np.array([-0.025, 0.0, 0.025]), np.array([y + 0.008, y, y]))
                line(colour, wrinkle * scale, shadow, width)

    def _draw_beard(self, colour: np.ndarray, scale: int) -> None:
        half_width, half_height = self.look.face_width / 2, self.look.face_height / 2
        jaw_x, jaw_y = arc(0, 0, half_width, half_height, 15.0, 165.0)
        top_x, top_y = arc(0, 0.06, half_width * 0.97, 0.075, 165.0, 15.0)
        outline = self.place.at(np.concatenate([jaw_x, top_x]), np.concatenate([jaw_y, top_y]))
        paint = blend(self.look.hair, self.skin, 0.30)
        fill(colour, outline * scale, paint)
