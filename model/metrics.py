"""Scores of one emotion: present or not, predicted or not. Pure NumPy.

With P segments that show the emotion, N that do not, n = P + N, and TP, FP, TN, FN as usual, a
segment being predicted positive where its score is at or above the threshold. Each metric has its
``definition`` and ``source``, to be printed beside its figures.

A metric that needs a class which no segment has is undefined: None for one value, NaN in an array
of many, never 0; ``why_undefined`` says it in words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featurize.errors import TrainError


class Counts(NamedTuple):
    """Segments by truth and prediction: four arrays of one shape."""

    tp: np.ndarray
    fp: np.ndarray
    tn: np.ndarray
    fn: np.ndarray


@dataclass(frozen=True)
class Metric:
    """A score of yes/no decisions that is a function of the four counts alone.

    ``metric(labels, predicted)`` takes two (n,) boolean arrays and gives a number in [0, 1], or
    None where the metric is undefined; ``metric.of(counts)`` does many at once, NaN for undefined.
    """

    name: str
    definition: str
    source: str
    of: Callable[[Counts], np.ndarray]

    def __call__(self, labels: np.ndarray, predicted: np.ndarray) -> float | None:
        return _or_none(self.of(count(labels, predicted)))


@dataclass(frozen=True)
class Ranking:
    """A score of how segments are ordered, over all thresholds.

    ``ranking(scores, labels)`` takes (n,) arrays and gives a number in [0, 1], or None where it
    is undefined; ``ranking.of(counts)`` takes counts (..., thresholds ascending), NaN there.
    """

    name: str
    definition: str
    source: str
    of: Callable[[Counts], np.ndarray]

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> float | None:
        return _or_none(self.of(sweep(scores, labels)[1]))


def count(labels: np.ndarray, predicted: np.ndarray, times: np.ndarray | None = None) -> Counts:
    """The four counts along the first axis of two boolean arrays (n,) or (n, E).

    With ``times`` (R, n), how often each of R resamples draws each segment: counts of shape (R, E).
    """
    labels, predicted = np.asarray(labels, bool), np.asarray(predicted, bool)
    cells = (labels & predicted, ~labels & predicted, ~labels & ~predicted, labels & ~predicted)
    if times is None:
        return Counts(*(cell.sum(axis=0, dtype=np.float64) for cell in cells))
    return Counts(*(times @ cell.astype(np.float32) for cell in cells))


def _weighted_accuracy(c: Counts) -> np.ndarray:
    return (_ratio(c.tp, c.tp + c.fn) + _ratio(c.tn, c.tn + c.fp)) / 2


def _weighted_f1(c: Counts) -> np.ndarray:
    positive, negative = c.tp + c.fn, c.tn + c.fp
    of_positive = _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)
    of_negative = _ratio(2 * c.tn, 2 * c.tn + c.fp + c.fn)
    f1 = _ratio(positive * of_positive + negative * of_negative, positive + negative)
    # Of one class alone it would be near 1 whatever the model knows, and raise every average.
    return np.where((positive > 0) & (negative > 0), f1, np.nan)


def _positive_f1(c: Counts) -> np.ndarray:
    f1 = _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)
    return np.where(c.tp + c.fn > 0, f1, np.nan)


def _accuracy(c: Counts) -> np.ndarray:
    accuracy = _ratio(c.tp + c.tn, c.tp + c.fp + c.tn + c.fn)
    # As with F1: where all segments are of one class it says nothing of the model.
    return np.where((c.tp + c.fn > 0) & (c.tn + c.fp > 0), accuracy, np.nan)


def _average_precision(c: Counts) -> np.ndarray:
    # Where nothing is predicted precision is 0 / 0, but there recall gains nothing either.
    precision, recall = np.nan_to_num(_ratio(c.tp, c.tp + c.fp)), _ratio(c.tp, c.tp + c.fn)
    area = (precision[..., :-1] * -np.diff(recall)).sum(axis=-1)  # recall falls
    return np.where(c.tp[..., 0] > 0, area, np.nan)


def _roc_auc(c: Counts) -> np.ndarray:
    tpr, fpr = _ratio(c.tp, c.tp + c.fn), _ratio(c.fp, c.fp + c.tn)
    area = (-np.diff(fpr) * (tpr[..., :-1] + tpr[..., 1:]) / 2).sum(axis=-1)
    return np.where((c.tp[..., 0] > 0) & (c.fp[..., 0] > 0), area, np.nan)


weighted_accuracy = Metric(
    "WA",
    "weighted accuracy, (TPR + TNR) / 2 = (TP N / P + TN) / 2N; always guessing the same has 50%",
    "Tong et al. 2017 (ACL), for CMU-MOSEI Zadeh et al. 2018 (ACL)",
    _weighted_accuracy,
)
weighted_f1 = Metric(
    "F1",
    "F1 of present and F1 of absent, weighted by their segments: (P F1+ + N F1-) / n",
    "the papers in Table 1 of Khare et al. 2020; scikit-learn's average='weighted'",
    _weighted_f1,
)
positive_f1 = Metric(
    "F1+", "F1 of present alone, 2 TP / (2 TP + FP + FN)", "van Rijsbergen 1979", _positive_f1
)
accuracy = Metric(
    "Acc", "share of right decisions, (TP + TN) / n", "as usual; scikit-learn", _accuracy
)
average_precision = Ranking(
    "AP",
    "average precision, the sum over thresholds of precision times the gain in recall; a model "
    "that knows nothing has P / n",
    "Manning et al. 2008, chapter 8.4; scikit-learn, not interpolated",
    _average_precision,
)
roc_auc = Ranking(
    "AUC",
    "area under the ROC curve: the chance that a positive outscores a negative, ties counting half",
    "Hanley and McNeil 1982",
    _roc_auc,
)


def why_undefined(labels: np.ndarray) -> str | None:
    """Why metrics that need both classes are undefined on ``labels`` (n,); None if they are not."""
    n, n_positive = len(labels), np.count_nonzero(labels)
    if n == 0:
        return "there are no segments"
    if n_positive == 0:
        return f"none of the {n} segments shows this emotion"
    if n_positive == n:
        return f"all of the {n} segments show this emotion"
    return None


def choose_threshold(scores: np.ndarray, labels: np.ndarray, metric: Metric) -> float:
    """The threshold at which ``metric`` of ``scores >= threshold`` is best. For dev only.

    Every distinct decision is tried: each distinct score, and one step above the highest ("never
    predicted"). Of equally good thresholds the one nearest 0.5 wins, then the lower. 0.5 where
    the metric is undefined at every threshold (see ``why_undefined``).

    Args: scores (n,) float, labels (n,) bool. Raises TrainError where a score is not finite.
    """
    thresholds, counts = sweep(scores, labels)
    values = metric.of(counts)
    if np.isnan(values).all():
        return 0.5
    tied = thresholds[values >= np.nanmax(values) - 1e-12]  # thresholds ascend
    return float(tied[np.argmin(np.abs(tied.astype(np.float64) - 0.5))])


def sweep(
    scores: np.ndarray, labels: np.ndarray, times: np.ndarray | None = None
) -> tuple[np.ndarray, Counts]:
    """All thresholds that differ in what they predict (G,), ascending, and the counts at each (G,).

    With ``times`` (R, n), how often each of R resamples draws each segment: counts of (R, G).
    Raises TrainError where a score is not finite.
    """
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if not np.isfinite(scores).all():
        raise TrainError("the model's scores are not finite: it diverged; lower the learning rate")
    distinct, which = np.unique(scores, return_inverse=True)
    above = np.nextafter(distinct[-1:], distinct.dtype.type(np.inf))
    drawn = np.ones((1, len(scores))) if times is None else times
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(len(distinct)))
    tp, fp = (_at_or_above((drawn * kind)[:, order], starts) for kind in (labels, ~labels))
    if times is None:
        tp, fp = tp[0], fp[0]
    # The first threshold predicts everything positive: tp[0] = P, fp[0] = N.
    counts = Counts(tp, fp, fp[..., :1] - fp, tp[..., :1] - tp)
    return np.concatenate([distinct, above]), counts


def _at_or_above(drawn: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of (R, n), sorted by score, from each of ``starts`` (G,) to the end, and from none."""
    sums = np.zeros((len(drawn), len(starts) + 1))
    if len(starts):
        at_score = np.add.reduceat(drawn, starts, axis=1, dtype=np.float64)
        sums[:, :-1] = at_score[:, ::-1].cumsum(axis=1)[:, ::-1]
    return sums


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _or_none(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)
