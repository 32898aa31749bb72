"""Synthesised speech that no model was trained on, and what the tests of the engines share."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo.foreign_sentences import foreign_sentence
from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import random_speaker

Speech = Callable[[str, int], np.ndarray]
WriteWav = Callable[[Path, np.ndarray], None]


@pytest.fixture(scope="session")
def speech() -> Speech:
    """``speech(language, index)``: int16 (n_samples,) at 16 kHz of a random speaker."""

    def made(language: str, index: int) -> np.ndarray:
        rng = np.random.default_rng([index, *language.encode()])
        text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
        return spoken(text, random_speaker(index, language, rng).voice, rng)

    return made


@pytest.fixture(scope="session")
def sentences(speech: Speech) -> list[np.ndarray]:
    """Six sentences in English, float32 in [-1, 1)."""
    return [speech("en", index) / np.float32(32768) for index in range(6)]


@pytest.fixture(scope="session")
def write_wav() -> WriteWav:
    """``write_wav(path, samples)`` writes int16 samples at 16 kHz."""

    def write(path: Path, samples: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())

    return write
