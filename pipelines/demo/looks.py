"""What a demo speaker looks like, and how a face shows an emotion."""

from dataclasses import dataclass, fields

import numpy as np

Colour = tuple[int, int, int]  # blue, green, red: OpenCV's order

SKINS: tuple[Colour, ...] = (
    (205, 220, 248), (180, 203, 240), (160, 187, 228), (135, 165, 212),
    (110, 140, 190), (85, 115, 165), (68, 92, 138), (55, 74, 112),
)  # fmt: skip
HAIR: tuple[Colour, ...] = (
    (28, 24, 22), (40, 50, 72), (45, 70, 110), (70, 110, 165), (110, 165, 215), (55, 80, 160),
    (150, 150, 155), (205, 208, 212),
)  # fmt: skip
IRISES: tuple[Colour, ...] = (
    (60, 80, 110), (40, 60, 85), (150, 120, 80), (110, 140, 100), (140, 140, 120),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (140, 90, 60), (70, 70, 160), (90, 130, 70), (120, 120, 125), (60, 60, 65), (80, 150, 200),
    (150, 110, 140), (185, 180, 170),
)  # fmt: skip
BACKGROUNDS: tuple[Colour, ...] = (
    (205, 195, 180), (190, 205, 205), (180, 190, 210), (200, 185, 200), (175, 195, 180),
    (150, 150, 155), (215, 210, 205), (140, 160, 180),
)  # fmt: skip
HAIR_STYLES = ("bald", "short", "side", "long", "bob", "bun")


@dataclass(frozen=True)
class Look:
    """One speaker's face. Lengths are shares of the picture's width, offsets from its centre."""

    skin: Colour
    hair: Colour
    iris: Colour
    clothes: Colour
    background: Colour
    hair_style: str
    face_width: float
    face_height: float
    eye_distance: float
    eye_size: float
    mouth_width: float
    nose_length: float
    offset_x: float
    offset_y: float
    glasses: bool
    beard: bool


@dataclass(frozen=True)
class Expression:
    """How far a face departs from rest. 0 is neutral, 1 about as far as a face goes."""

    mouth_corners: float = 0.0  # up is positive
    mouth_drop: float = 0.0  # open without speaking
    mouth_stretch: float = 0.0
    lip_curl: float = 0.0  # one side of the upper lip drawn up
    brow_raise: float = 0.0
    brow_frown: float = 0.0  # inner ends down and together
    brow_worry: float = 0.0  # inner ends up
    eye_open: float = 0.0
    blush: float = 0.0
    warmth: float = 0.0  # redder skin
    pallor: float = 0.0  # paler, bluer skin
    green: float = 0.0  # a queasy tint
    light_blue: float = 0.0  # the scene's light, as a film would choose it
    light_green: float = 0.0
    light_red: float = 0.0

    def mixed(self, other: "Expression", weight: float) -> "Expression":
        """This expression plus ``weight`` times another, each part held to [-1.2, 1.2]."""
        parts = {
            f.name: float(
                np.clip(getattr(self, f.name) + weight * getattr(other, f.name), -1.2, 1.2)
            )
            for f in fields(self)
        }
        return Expression(**parts)


# The faces are after the action units of the Facial Action Coding System's prototypes (Ekman and
# Friesen, 1978). The light is a help: a network with random weights sees colours better than brows.
EMOTION_EXPRESSIONS = {
    "happy": Expression(
        mouth_corners=1.0, mouth_stretch=0.4, eye_open=-0.3, blush=1.0,
        light_red=0.6, light_green=0.4, light_blue=-0.6,
    ),
    "sad": Expression(
        mouth_corners=-0.9, brow_worry=0.9, eye_open=-0.5, pallor=0.5,
        light_red=-0.8, light_green=-0.4, light_blue=0.5,
    ),
    "anger": Expression(
        mouth_corners=-0.3, brow_frown=1.0, eye_open=-0.2, warmth=1.0,
        light_red=0.6, light_green=-0.8, light_blue=-0.8,
    ),
    "surprise": Expression(
        mouth_drop=0.9, brow_raise=1.0, eye_open=0.9,
        light_red=0.6, light_green=0.6, light_blue=0.9,
    ),
    "disgust": Expression(
        lip_curl=1.0, brow_frown=0.4, eye_open=-0.4, green=1.0,
        light_red=-0.6, light_green=0.6, light_blue=-0.7,
    ),
    "fear": Expression(
        mouth_stretch=0.8, mouth_drop=0.3, brow_raise=0.5, brow_worry=0.7, eye_open=0.7, pallor=1.0,
        light_red=-1.0, light_green=-1.0, light_blue=-0.6,
    ),
}  # fmt: skip


def random_look(rng: np.random.Generator, gender: str) -> Look:
    """A face for a speaker of ``gender`` ("f" or "m")."""

    def pick(options: tuple) -> tuple:
        return options[rng.integers(len(options))]

    styles = ("long", "bob", "bun", "side") if gender == "f" else ("short", "side", "bald", "short")
    skin_index = int(rng.integers(len(SKINS)))
    hair = HAIR[rng.integers(3)] if skin_index >= 5 else pick(HAIR)  # dark skin, dark hair
    return Look(
        skin=SKINS[skin_index],
        hair=hair,
        iris=IRISES[rng.integers(2)] if skin_index >= 5 else pick(IRISES),
        clothes=pick(CLOTHES),
        background=pick(BACKGROUNDS),
        hair_style=styles[rng.integers(len(styles))],
        face_width=rng.uniform(0.40, 0.50),
        face_height=rng.uniform(0.56, 0.66),
        eye_distance=rng.uniform(0.185, 0.225),
        eye_size=rng.uniform(0.055, 0.072),
        mouth_width=rng.uniform(0.165, 0.215),
        nose_length=rng.uniform(0.10, 0.14),
        offset_x=rng.uniform(-0.05, 0.05),
        offset_y=rng.uniform(-0.03, 0.03),
        glasses=bool(rng.random() < 0.25),
        beard=bool(gender == "m" and rng.random() < 0.35),
    )
