"""How an emotion shows in the demo: in the words most, in the face less, in the voice least.

That order is the paper's ablation (its Table 3). None of the traces is sure: an emotion may go
unsaid, a face may stay still, and each may mislead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.demo.looks import EMOTION_EXPRESSIONS, Expression
from pipelines.demo.sentences import emotional_sentence
from pipelines.demo.speech import Voice

TEXT_SHOWS = 0.80  # chance that an emotion felt is put in words
TEXT_MISLEADS = 0.03  # chance that an emotion not felt is
FACE_SHOWS = 0.70
FACE_MISLEADS = 0.05
FACE_STRENGTH = 0.9  # of the expression of a strong emotion, 1 being the full one
FACE_NOISE = 0.10  # standard deviation of each part of the expression
VOICE_STRENGTH = 0.35  # share of EMOTION_PROSODY that comes through
VOICE_NOISE = 6.0  # standard deviation of each setting of the voice
_STRONG_SCORE = 2.0


@dataclass(frozen=True)
class Prosody:
    """What an emotion adds to the voice's settings, in their own units."""

    rate_wpm: float
    pitch: float
    pitch_range: float
    volume: float


# The directions are those of Scherer (2003), "Vocal communication of emotion", table 1.
EMOTION_PROSODY = {
    "happy": Prosody(rate_wpm=14, pitch=14, pitch_range=24, volume=8),
    "sad": Prosody(rate_wpm=-30, pitch=-14, pitch_range=-26, volume=-26),
    "anger": Prosody(rate_wpm=16, pitch=4, pitch_range=16, volume=30),
    "surprise": Prosody(rate_wpm=4, pitch=24, pitch_range=30, volume=8),
    "disgust": Prosody(rate_wpm=-20, pitch=-14, pitch_range=4, volume=-6),
    "fear": Prosody(rate_wpm=30, pitch=26, pitch_range=-14, volume=-10),
}


def words_for(scores: Mapping[str, float], rng: np.random.Generator) -> str:
    """A sentence that names the stronger of the emotions, most of the time."""
    told = {e: s for e, s in _shown(scores, TEXT_SHOWS, TEXT_MISLEADS, rng).items() if s > 0}
    return emotional_sentence(sorted(told, key=lambda e: -told[e]), rng)


def expression_for(scores: Mapping[str, float], rng: np.random.Generator) -> Expression:
    """The face that goes with ``scores`` (emotion to score, 0 to 3), most of the time."""
    expression = _random_expression(rng)
    for emotion, score in _shown(scores, FACE_SHOWS, FACE_MISLEADS, rng).items():
        weight = FACE_STRENGTH * _intensity(score)
        expression = expression.mixed(EMOTION_EXPRESSIONS[emotion], weight)
    return expression


def voice_for(scores: Mapping[str, float], voice: Voice, rng: np.random.Generator) -> Voice:
    """``voice`` with its rate, pitch, range and volume moved a little by the emotions."""
    settings: dict[str, Any] = {}
    limits = {"rate_wpm": (110, 230), "pitch": (0, 99), "pitch_range": (0, 99), "volume": (30, 130)}
    for name, (low, high) in limits.items():
        moved = getattr(voice, name) + rng.normal(0, VOICE_NOISE)
        for emotion, score in scores.items():
            moved += VOICE_STRENGTH * _intensity(score) * getattr(EMOTION_PROSODY[emotion], name)
        settings[name] = int(np.clip(round(moved), low, high))
    return replace(voice, **settings)


def _shown(
    scores: Mapping[str, float], shows: float, misleads: float, rng: np.random.Generator
) -> dict[str, float]:
    """The scores that come through: some felt are hidden (0), some not felt appear (1)."""
    shown = {}
    for emotion, score in scores.items():
        chance = rng.random()
        shown[emotion] = (
            (score if chance < shows else 0.0) if score > 0 else float(chance < misleads)
        )
    return shown


def _intensity(score: float) -> float:
    """0 for no emotion, then from above one half to 1 for a strong one."""
    return 0.5 + 0.5 * min(score / _STRONG_SCORE, 1.0) if score > 0 else 0.0


def _random_expression(rng: np.random.Generator) -> Expression:
    noise = rng.normal(0, FACE_NOISE, 6)
    return Expression(
        mouth_corners=noise[0], brow_raise=noise[1], brow_frown=noise[2], brow_worry=noise[3],
        eye_open=noise[4], warmth=abs(noise[5]),
    )  # fmt: skip
