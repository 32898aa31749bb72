"""Scores of one emotion: present or not, predicted or not. Pure NumPy.

A segment is predicted positive where its score is at or above the threshold. With P segments that
show the emotion, N that do not, n = P + N, and TP, FP, TN, FN as usual:

    weighted accuracy    WA = (TPR + TNR) / 2 = (TP * N / P + TN) / (2 N)
    weighted F1          (P * F1 of "present" + N * F1 of "absent") / n
    positive F1          2 TP / (2 TP + FP + FN)

Sources: WA by Tong et al., "Combating human trafficking with multimodal deep models" (2017), taken
up for CMU-MOSEI by Zadeh et al. (2018); F1 weighted by class support as in the papers that Khare
et al. (2020) compare with in their Table 1.

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
    of: Callable[[Counts], np.ndarray]

    def __call__(self, labels: np.ndarray, predicted: np.ndarray) -> float | None:
        return _or_none(self.of(count(labels, predicted)))


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


weighted_accuracy = Metric("WA", _weighted_accuracy)
weighted_f1 = Metric("F1", _weighted_f1)
positive_f1 = Metric("F1+", _positive_f1)


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


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Sum over thresholds of precision times the gain in recall; None without positives.

    The step-wise area under the precision-recall curve, with no interpolation.
    """
    if not np.any(labels):
        return None
    _, c = sweep(scores, labels)
    precision, recall = np.nan_to_num(_ratio(c.tp, c.tp + c.fp)), _ratio(c.tp, c.tp + c.fn)
    return float((precision[:-1] * -np.diff(recall)).sum())  # recall falls as thresholds ascend


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Chance that a positive outscores a negative, ties counting half; None if a class lacks."""
    if why_undefined(labels):
        return None
    _, c = sweep(scores, labels)
    tpr, fpr = _ratio(c.tp, c.tp + c.fn), _ratio(c.fp, c.fp + c.tn)
    return float((-np.diff(fpr) * (tpr[:-1] + tpr[1:]) / 2).sum())


def sweep(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Counts]:
    """All thresholds that differ in what they predict, ascending, and the counts at each."""
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if not np.isfinite(scores).all():
        raise TrainError("the model's scores are not finite: it diverged; lower the learning rate")
    distinct, which = np.unique(scores, return_inverse=True)
    above = np.nextafter(distinct[-1:], distinct.dtype.type(np.inf))
    at_score = [np.bincount(which[kind], minlength=len(distinct) + 1) for kind in (labels, ~labels)]
    tp, fp = (n[::-1].cumsum()[::-1].astype(np.float64) for n in at_score)
    # Thresholds ascend, so the first predicts everything positive: tp[0] = P, fp[0] = N.
    return np.concatenate([distinct, above]), Counts(tp, fp, fp[0] - fp, tp[0] - tp)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _or_none(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)
