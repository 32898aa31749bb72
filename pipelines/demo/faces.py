"""Draws a demo speaker's face, frame by frame, with OpenCV.

What does not change within a shot (background, hair, skin, each stage of a blink) is drawn once;
each frame adds the mouth, moves the head, and lays it over the background.
"""

import cv2
import numpy as np

from pipelines.demo.looks import Colour, Expression, Look
from pipelines.demo.paint import SIZE_PX, Place, arc, blend, fill, line, unit_circle
from pipelines.demo.resting_head import RestingHead, background, tinted

_LIP_RED: Colour = (85, 70, 190)
_MOUTH_INSIDE: Colour = (40, 25, 75)
_TEETH: Colour = (238, 240, 242)
_SCLERA: Colour = (240, 242, 245)
_PUPIL: Colour = (20, 15, 15)
_GLASSES: Colour = (45, 40, 40)
_EYE_Y = -0.03  # of the eyes' middle, a share of the picture's width off the face's centre


class FaceArtist:
    """Draws one speaker with one expression."""

    def __init__(self, look: Look, expression: Expression) -> None:
        self.look = look
        self.expression = expression
        skin = tinted(look.skin, expression)
        self.lips = blend(skin, _LIP_RED, 0.55)
        self.brow = blend(look.hair, (30, 30, 30), 0.35)
        self.place = Place(look.offset_x, look.offset_y)
        self.background = background(look, skin)
        self.head = RestingHead(look, expression).head()
        self.faces: dict[float, np.ndarray] = {}  # by how far the eyes are closed

    def frame(
        self,
        opening: float,
        eyes_closed: float = 0.0,
        shift_px: tuple[float, float] = (0.0, 0.0),
        tilt_deg: float = 0.0,
    ) -> np.ndarray:
        """One picture, uint8 (SIZE_PX, SIZE_PX, 3), blue-green-red.

        Args:
            opening: how far the mouth is open, 0 to 1.
            eyes_closed: 0 to 1.
            shift_px: of the head, right and down.
            tilt_deg: of the head, about the neck.
        """
        head = self._face(eyes_closed).copy()
        self._draw_mouth(head, opening)
        neck = self.place.at(0.0, 0.32)[0].tolist()
        move = cv2.getRotationMatrix2D(neck, tilt_deg, 1.0)
        move[:, 2] += np.array(shift_px)
        head = cv2.warpAffine(head, move, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR)
        through = cv2.cvtColor(255 - head[:, :, 3], cv2.COLOR_GRAY2BGR)
        behind = cv2.multiply(self.background, through, scale=1 / 255)
        return cv2.add(behind, cv2.cvtColor(head, cv2.COLOR_BGRA2BGR))

    def _face(self, eyes_closed: float) -> np.ndarray:
        """The head with eyes and brows. Few stages of a blink exist, so each is drawn once."""
        if eyes_closed not in self.faces:
            face = self.head.copy()
            for side in (-1, 1):
                self._draw_eye(face, side, eyes_closed)
                self._draw_brow(face, side)
            if self.look.glasses:
                self._draw_glasses(face)
            self.faces[eyes_closed] = face
        return self.faces[eyes_closed]

    def _draw_eye(self, head: np.ndarray, side: int, eyes_closed: float) -> None:
        size = self.look.eye_size
        middle_x = side * self.look.eye_distance / 2
        openness = (0.62 + 0.30 * self.expression.eye_open) * (1 - eyes_closed)
        along = np.linspace(-1, 1, 13)
        x = middle_x + along * size
        lid = np.sqrt(1 - along**2) * size * max(openness, 0.0)
        if openness > 0.08:
            fill(head, self.place.between(x, _EYE_Y - lid, _EYE_Y + 0.75 * lid), _SCLERA)
            self._draw_disc(head, middle_x, 0.55 * size, lid, self.look.iris)
            self._draw_disc(head, middle_x, 0.28 * size, lid, _PUPIL)
            if openness > 0.3:
                glint = self.place.at(middle_x + 0.012, _EYE_Y - 0.013)
                fill(head, glint + 1.6 * unit_circle(8), (255, 255, 255))
        line(head, self.place.at(x, _EYE_Y - lid), blend(self.brow, _PUPIL, 0.5), 2)

    def _draw_disc(
        self, head: np.ndarray, middle_x: float, radius: float, lid: np.ndarray, paint: Colour
    ) -> None:
        """A disc in the eye, cut by the lids."""
        circle = unit_circle(20) * radius
        along = np.linspace(-1, 1, len(lid)) * self.look.eye_size
        upper = np.interp(circle[:, 0], along, lid)
        y = _EYE_Y + np.clip(circle[:, 1], -upper, 0.75 * upper)
        fill(head, self.place.at(middle_x + circle[:, 0], y), paint)

    def _draw_brow(self, head: np.ndarray, side: int) -> None:
        face = self.expression
        outward = np.linspace(-1, 1, 7)  # from the inner end to the outer
        inner = (1 - outward) / 2
        x = self.look.eye_distance / 2 + outward * self.look.eye_size * 1.15
        x = x - 0.02 * max(face.brow_frown, 0.0) * inner
        y = -0.112 - 0.016 * (1 - outward**2) - 0.04 * face.brow_raise
        y = y + 0.055 * face.brow_frown * inner - 0.045 * face.brow_worry * (inner - 0.4)
        half = 0.007 * (0.4 + 0.6 * inner)
        fill(head, self.place.between(side * x, y - half, y + half), self.brow)

    def _draw_mouth(self, head: np.ndarray, opening: float) -> None:
        face = self.expression
        along = np.linspace(-1, 1, 17)
        belly = 1 - along**2
        half_width = self.look.mouth_width / 2 * (1 + 0.25 * face.mouth_stretch - 0.18 * opening)
        gap = 0.085 * opening + 0.075 * max(face.mouth_drop, 0.0)
        x = along * half_width
        middle = self.look.nose_length + 0.065 - 0.045 * face.mouth_corners * (along**2 - 0.3)
        curl = 0.032 * max(face.lip_curl, 0.0) * np.exp(-(((along - 0.45) / 0.35) ** 2)) * belly
        top, bottom = middle - 0.3 * gap * belly - curl, middle + 0.7 * gap * belly
        lip = 0.016 * np.sqrt(belly) + 0.002
        fill(head, self.place.between(x, top - lip, bottom + 1.2 * lip), self.lips)
        if gap > 0.012 or curl.max() > 0.01:
            fill(head, self.place.between(x, top, bottom), _MOUTH_INSIDE)
            fill(head, self.place.between(x, top, np.minimum(top + 0.018, bottom)), _TEETH)
        else:
            seam = blend(self.lips, _MOUTH_INSIDE, 0.6)
            line(head, self.place.at(x, (top + bottom) / 2), seam, 1)

    def _draw_glasses(self, head: np.ndarray) -> None:
        centre_x, rim_x = self.look.eye_distance / 2, 0.088
        for side in (-1, 1):
            rim = arc(side * centre_x, _EYE_Y + 0.005, rim_x, 0.068, 0.0, 360.0)
            line(head, self.place.at(*rim), _GLASSES, 2)
        bridge_x = np.array([rim_x - centre_x, centre_x - rim_x])
        line(head, self.place.at(bridge_x, _EYE_Y), _GLASSES, 2)
