"""Sound without its long pauses, for a score that silence does not move.

Silence fits any language, and often better than speech fits its own: two seconds of it move the
score per frame of a short utterance more than a change of language does. Where the pauses are,
the decoder knows best: that there is no word holds at any level of noise.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.decoding.engine import Word

if TYPE_CHECKING:
    import numpy as np

LONGEST_PAUSE_S = 0.5  # shorter ones are part of speech
MARGIN_S = 0.15  # left of a pause on either side: word times are that rough


def without_pauses(
    samples: "np.ndarray", words: Sequence[Word], sample_rate_hz: int
) -> "np.ndarray":
    """Cuts each stretch of over ``LONGEST_PAUSE_S`` without a word to a margin on both sides.

    ``samples`` is (n_samples,); the same array comes back when nothing is to cut, an empty one
    when there is no word. At the ends one margin stays.
    """
    import numpy as np

    kept = [
        samples[max(round(start_s * sample_rate_hz), 0) : round(end_s * sample_rate_hz)]
        for start_s, end_s in _speech(words, len(samples) / sample_rate_hz)
    ]
    return kept[0] if len(kept) == 1 else np.concatenate([samples[:0], *kept])


def _speech(words: Sequence[Word], length_s: float) -> Iterator[tuple[float, float]]:
    """Start and end of the stretches to keep, in order."""
    start_s = 0.0
    heard_until_s = 0.0
    for number, (_, begin_s, end_s, _) in enumerate(words):
        if begin_s - heard_until_s > LONGEST_PAUSE_S:
            if number > 0:
                yield start_s, heard_until_s + MARGIN_S
            start_s = begin_s - MARGIN_S
        heard_until_s = max(heard_until_s, end_s)
    if words:
        is_over = length_s - heard_until_s > LONGEST_PAUSE_S
        yield start_s, heard_until_s + MARGIN_S if is_over else length_s
