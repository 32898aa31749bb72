"""How sure a metric is: bootstrap over segments (Efron and Tibshirani 1993, chapter 13)."""

from collections.abc import Sequence

import numpy as np

from model.metrics import Metric, Ranking, count, sweep

CHUNK = 100  # resamples at a time: some arrays of so many rows and a column a segment


def resamples(n_segments: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each segment is drawn in each bootstrap resample: (n_resamples, n_segments)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_segments, size=(n_resamples, n_segments))
    drawn += n_segments * np.arange(n_resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_resamples * n_segments)
    # float32 holds every count exactly up to 2^24 segments and is quick to multiply.
    return times.reshape(n_resamples, n_segments).astype(np.float32)


def bootstrap(
    labels: np.ndarray, predicted: np.ndarray, metric: Metric, times: np.ndarray
) -> np.ndarray:
    """``metric`` on each resample: labels, predicted (n, E) bool, times (R, n) -> (R, E) float64.

    With one set of ``resamples`` for all emotions and systems, differences between them are
    paired. NaN where a resample lacks a class.
    """
    return metric.of(count(labels, predicted, times))


def bootstrap_rankings(
    scores: np.ndarray, labels: np.ndarray, rankings: Sequence[Ranking], times: np.ndarray
) -> np.ndarray:
    """Each of K ``rankings`` on each resample: scores and labels (n,), times (R, n) -> (K, R)."""
    parts = []
    for start in range(0, len(times), CHUNK):
        _, counts = sweep(scores, labels, times[start : start + CHUNK])
        parts.append([ranking.of(counts) for ranking in rankings])
    return np.concatenate(parts, axis=1)


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float] | None:
    """Percentile bootstrap interval of values (R,); undefined resamples are left out.

    None when over half of them are undefined.
    """
    defined = values[~np.isnan(values)]
    if 2 * len(defined) <= len(values):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def paired_p_value(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Two-sided bootstrap p of "no difference" from values (R,) on the same resamples.

    Twice the share of resamples in which the better system is not better, at most 1; never below
    2 / (R + 1), since R resamples cannot show less (Davison and Hinkley 1997, section 4.2).
    """
    difference = (ours - theirs)[~np.isnan(ours - theirs)]
    if not len(difference):
        return None
    fewest = min(np.count_nonzero(difference <= 0), np.count_nonzero(difference >= 0))
    return float(min(1.0, 2 * (fewest + 1) / (len(difference) + 1)))
