"""Synthesised speech for the shipped model."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo.foreign_sentences import foreign_sentence
from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import random_speaker

SAMPLE_RATE_HZ = 16000


def _speech(language: str, index: int) -> np.ndarray:
    rng = np.random.default_rng([index, *language.encode()])
    text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
    return spoken(text, random_speaker(index, language, rng).voice, rng) / np.float32(32768)


@pytest.fixture(scope="session")
def speech() -> Callable[[str, int], np.ndarray]:
    """Given a language and a number: float32 samples of a speaker saying a sentence."""
    return _speech


@pytest.fixture(scope="session")
def sentences() -> list[np.ndarray]:
    """Six sentences in English."""
    return [_speech("en", index) for index in range(6)]


@pytest.fixture(scope="session")
def write_wav() -> Callable[[Path, np.ndarray], None]:
    def write(path: Path, samples: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
            out.writeframes((samples * 32768).astype("<i2").tobytes())

    return write
