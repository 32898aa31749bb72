"""CMU-MOSEI's labels, and how they are joined to segments.

By time: rows of the labels are not in time order, and their numbers are not segment numbers. Only
the raw ratings name the segment itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SCORES = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
SCORE_RANGES = ((-3.0, 3.0),) + ((0.0, 3.0),) * 6


@dataclass(frozen=True)
class LabelRow:
    """One labelled interval of a video; ``scores`` in the order of SCORES, as in the file.

    Raw ratings name a ``segment`` by its number instead, and have NaN for times.
    """

    start_s: float
    end_s: float
    scores: tuple[float, ...]
    segment: str | None = None

    @property
    def name(self) -> str:
        """What tells it from the other rows of its video."""
        if self.segment is not None:
            return self.segment
        return f"{self.start_s:.3f}-{self.end_s:.3f}s"

    @property
    def clamped(self) -> tuple[float, ...]:
        """Scores held to their ranges: sentiment [-3, 3], emotions [0, 3]."""
        pairs = zip(self.scores, SCORE_RANGES, strict=True)
        return tuple(min(max(score, low), high) for score, (low, high) in pairs)


def join_by_interval(
    rows: Sequence[LabelRow], intervals: Sequence[tuple[float, float]], tolerance_s: float
) -> dict[int, int]:
    """Index of an interval -> index of its row; each is used once, the closest pairs first.

    A pair fits when both its starts and its ends differ by at most ``tolerance_s``. In the real
    labels two intervals of a video differ by 0.22 s or more in one of them, so that a tolerance
    below 0.11 s is never ambiguous.
    """
    pairs = []
    for i, (start_s, end_s) in enumerate(intervals):
        for k, row in enumerate(rows):
            distances_s = abs(start_s - row.start_s), abs(end_s - row.end_s)
            if all(distance_s <= tolerance_s for distance_s in distances_s):  # false for NaN
                pairs.append((max(distances_s), i, k))
    row_of_interval: dict[int, int] = {}
    used = set()
    for _, i, k in sorted(pairs):
        if i not in row_of_interval and k not in used:
            row_of_interval[i] = k
            used.add(k)
    return row_of_interval


def join_by_number(rows: Sequence[LabelRow], numbers: Sequence[str]) -> dict[int, int]:
    """Index of a segment's number -> index of the row that names it; "07" is 7."""
    row_of = {_plain(row.segment): k for k, row in enumerate(rows) if row.segment is not None}
    return {i: row_of[_plain(n)] for i, n in enumerate(numbers) if _plain(n) in row_of}


def _plain(number: str) -> str:
    return number.lstrip("0") or "0"
