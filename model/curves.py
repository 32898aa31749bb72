"""Curves over all thresholds of one emotion's scores, for pictures. Pure NumPy."""

import numpy as np

from model.metrics import Metric, sweep, why_undefined

Curve = tuple[np.ndarray, np.ndarray]  # abscissae and ordinates, each (K,)


def roc_curve(scores: np.ndarray, labels: np.ndarray) -> Curve | None:
    """False and true positive rates from (0, 0) to (1, 1); None where a class is absent.

    Args: scores (n,) float, labels (n,) bool; so for the other two.
    """
    if why_undefined(labels):
        return None
    _, c = sweep(scores, labels)
    return (c.fp / (c.fp + c.tn))[::-1], (c.tp / (c.tp + c.fn))[::-1]


def precision_recall_curve(scores: np.ndarray, labels: np.ndarray) -> Curve | None:
    """Recall, ascending from the first segment predicted on, and precision; None without positives.

    Drawn as steps to the left ("pre"), the area below it is ``average_precision``.
    """
    if not np.any(labels):
        return None
    _, c = sweep(scores, labels)
    tp, fp = c.tp[:-1], c.fp[:-1]  # the last threshold predicts nothing: no precision
    return (tp / np.sum(labels))[::-1], (tp / (tp + fp))[::-1]


def threshold_curve(scores: np.ndarray, labels: np.ndarray, metric: Metric) -> Curve | None:
    """Every threshold that decides otherwise, ascending, and ``metric`` there; None if undefined.

    Between two thresholds the decisions, and so the metric, are those of the upper one.
    """
    thresholds, counts = sweep(scores, labels)
    values = metric.of(counts)
    return None if np.isnan(values).all() else (thresholds.astype(np.float64), values)


def thinned(curve: Curve, n_points: int) -> Curve:
    """At most ``n_points`` of a curve's points, evenly taken, with its first and its last."""
    chosen = np.unique(np.linspace(0, len(curve[0]) - 1, n_points).round().astype(int))
    return curve[0][chosen], curve[1][chosen]
