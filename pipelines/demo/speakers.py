"""The demo's speakers: a voice and a face each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.demo.looks import Look, random_look
from pipelines.demo.speech import Voice

LANGUAGE_VOICES = {"en": "gmw/en-US", "de": "gmw/de", "fr": "roa/fr", "es": "roa/es"}
# espeak-ng's variants that sound like a person; the others whisper, croak or buzz.
VARIANTS = {
    "f": ("f1", "f2", "f3", "f4", "f5", "Andrea", "Alicia", "linda"),
    "m": ("m1", "m2", "m3", "m4", "m6", "m7", "m8", "adam", "david"),
}
_YOUTUBE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Speaker:
    gender: str  # "f" or "m"
    language: str  # a key of LANGUAGE_VOICES
    voice: Voice
    look: Look


def random_speaker(index: int, language: str, rng: np.random.Generator) -> Speaker:
    """Speaker number ``index``: genders and voice variants take turns, all else is drawn."""
    gender = "fm"[index % 2]
    variants = VARIANTS[gender]
    voice = Voice(
        name=f"{LANGUAGE_VOICES[language]}+{variants[index // 2 % len(variants)]}",
        rate_wpm=int(rng.integers(150, 186)),
        pitch=int(rng.integers(32, 69)),
        pitch_range=int(rng.integers(35, 66)),
        volume=int(rng.integers(80, 101)),
    )
    return Speaker(gender, language, voice, random_look(rng, gender))


def random_youtube_ids(n: int, rng: np.random.Generator, first: Sequence[str] = ()) -> list[str]:
    """``n`` different ids of 11 characters such as YouTube's, those of ``first`` leading."""
    ids = list(first)[:n]
    while len(ids) < n:
        letters = rng.choice(list(_YOUTUBE_ALPHABET), 11)
        candidate = "".join(letters)
        if candidate not in ids:
            ids.append(candidate)
    return ids
