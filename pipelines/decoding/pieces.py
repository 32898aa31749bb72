"""Long sound, cut where it is quiet into pieces that are decoded one by one, and joined again.

A decoder keeps the lattice of all it has heard until the end, so an hour in one go would take
gigabytes, and one fault would cost the hour. Sound of up to ``LONGEST_S`` is never cut.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.decoding.engine import Decoded, Word

if TYPE_CHECKING:
    import numpy as np

LONGEST_S = 180.0  # the longest utterance of VoxCeleb2 is shorter
# Where in the sound ahead a cut may lie: no piece is short, nor is what follows.
CUT_FROM_S, CUT_TO_S = 60.0, 170.0
QUIET_S = 0.5  # a cut lies in the middle of the quietest stretch of this length
HOP_S = 0.01

PER_FRAME, PER_SPEECH_FRAME = "log_likelihood_per_frame", "log_likelihood_per_speech_frame"


@dataclass(frozen=True)
class Piece:
    """What was heard in one piece, with totals over its frames; of those of speech 0 and 0.0
    where it has no word."""

    length_s: float
    words: list[Word]
    n_frames: int
    log_likelihood: float
    n_speech_frames: int
    speech_log_likelihood: float


def pieces(blocks: "Iterable[np.ndarray]", sample_rate_hz: int) -> "Iterator[np.ndarray]":
    """Cuts a stream of float32 (n_samples,) into pieces of at most ``LONGEST_S``.

    Where the cuts lie depends on the sound alone, not on the blocks it comes in. No more than
    ``LONGEST_S`` and a block are held. A stream that ends within ``LONGEST_S`` is one piece.
    """
    import numpy as np

    longest = int(LONGEST_S * sample_rate_hz)
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > longest:
            cut = _quietest(held[:longest], sample_rate_hz)
            yield held[:cut]
            held = held[cut:]
    yield held


def joined(heard: Sequence[Piece]) -> Decoded:
    """One result of the pieces, in order: times run on, totals add up.

    ``log_likelihood_per_speech_frame`` is missing where no piece has a word.
    """
    words: list[Word] = []
    start_s = 0.0
    for piece in heard:
        words += [
            (word, round(start_s + begin_s, 4), round(start_s + end_s, 4), confidence)
            for word, begin_s, end_s, confidence in piece.words
        ]
        start_s += piece.length_s
    n_frames, n_speech_frames = (
        sum(getattr(piece, name) for piece in heard) for name in ("n_frames", "n_speech_frames")
    )
    scores = {PER_FRAME: sum(piece.log_likelihood for piece in heard) / n_frames}
    if n_speech_frames:
        total = sum(piece.speech_log_likelihood for piece in heard)
        scores[PER_SPEECH_FRAME] = total / n_speech_frames
    return Decoded(words, n_frames, scores)


def _quietest(sound: "np.ndarray", sample_rate_hz: int) -> int:
    """The sample in the middle of the quietest ``QUIET_S``, the first of equals."""
    import numpy as np

    hop = int(HOP_S * sample_rate_hz)
    first, stop = int(CUT_FROM_S / HOP_S), int(CUT_TO_S / HOP_S)
    frames = sound[first * hop : stop * hop].reshape(-1, hop).astype(np.float64)
    n = int(QUIET_S / HOP_S)
    summed = np.concatenate([[0.0], np.cumsum((frames**2).sum(axis=1))])
    return (first + int(np.argmin(summed[n:] - summed[:-n])) + n // 2) * hop
