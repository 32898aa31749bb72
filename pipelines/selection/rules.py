"""Which utterances are kept: by a threshold, by a share, or by Otsu's cut."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from featurize.errors import UsageError


@dataclass(frozen=True)
class Selection:
    """Ids kept and dropped, in the order given, and the least score that is kept."""

    threshold: float
    kept: list[str]
    dropped: list[str]


def choose(
    rows: Iterable[tuple[str, float, int]],
    *,
    threshold: float | None = None,
    keep_fraction: float | None = None,
) -> Selection:
    """Splits rows (id, score, n_words) into kept and dropped.

    Utterances without a word are dropped first. Of the others those are kept whose score is at
    least ``threshold``; or the best ``keep_fraction`` of them, rounded to the nearest number, equal
    scores in order of their ids; or, with neither, those above Otsu's threshold.

    Raises:
        UsageError: both or an impossible setting is given, or nothing would be kept.
    """
    rows = list(rows)
    spoken = {utterance_id: score for utterance_id, score, n_words in rows if n_words > 0}
    _check(threshold, keep_fraction, spoken)
    if keep_fraction is not None:
        best = sorted(spoken, key=lambda utterance_id: (-spoken[utterance_id], utterance_id))
        kept = set(best[: math.floor(keep_fraction * len(best) + 0.5)])
    else:
        threshold = otsu_threshold(spoken.values()) if threshold is None else threshold
        kept = {utterance_id for utterance_id, score in spoken.items() if score >= threshold}
    if not kept:
        raise UsageError(
            f"nothing would be kept: {len(spoken)} utterances have words, their scores go from "
            f"{min(spoken.values()):.3f} to {max(spoken.values()):.3f}; choose a lower --threshold "
            "or a larger --keep-fraction"
        )
    return Selection(
        threshold=min(spoken[i] for i in kept) if threshold is None else threshold,
        kept=[utterance_id for utterance_id, _, _ in rows if utterance_id in kept],
        dropped=[utterance_id for utterance_id, _, _ in rows if utterance_id not in kept],
    )


def otsu_threshold(scores: Iterable[float]) -> float:
    """The cut that separates scores into two groups with the most variance between their means.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979, on the scores
    themselves in place of a histogram's bins; halfway between the two scores that it parts. It
    expects two groups of similar size. When all scores are equal, that score.
    """
    import numpy as np

    ordered = np.sort(np.fromiter(scores, dtype=np.float64))
    n = len(ordered)
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    n_below = np.arange(1, n)
    sum_below = np.cumsum(ordered - ordered.mean())[:-1]  # the total is 0: stable differences
    between = sum_below**2 / (n_below * (n - n_below))
    between[ordered[:-1] == ordered[1:]] = -1.0  # equal scores are not parted
    cut = int(np.argmax(between))
    low, high = ordered[cut], ordered[cut + 1]
    middle = (low + high) / 2
    return float(middle if middle > low else high)


def _check(
    threshold: float | None, keep_fraction: float | None, spoken: Mapping[str, float]
) -> None:
    if threshold is not None and keep_fraction is not None:
        raise UsageError("give --threshold or --keep-fraction, not both")
    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold {threshold} is no finite number")
    if keep_fraction is not None and not 0 < keep_fraction <= 1:
        raise UsageError(f"--keep-fraction {keep_fraction} must be above 0 and at most 1")
    if not spoken:
        raise UsageError("no utterance has a word; was the right model used to decode?")
