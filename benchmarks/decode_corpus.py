"""Synthesised speech to decode: English sentences by many voices."""

from collections.abc import Iterator

import numpy as np

from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import random_speaker


def spoken_sentences(n: int) -> "Iterator[np.ndarray]":
    """int16 (n_samples,) at 16 kHz, the same each time."""
    for index in range(n):
        rng = np.random.default_rng([7, index])
        yield spoken(english_sentence(rng), random_speaker(index, "en", rng).voice, rng)
