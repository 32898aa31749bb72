"""From emotion scores to the figures of the tables: thresholds from dev, metrics on test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bootstrap import bootstrap, interval
from model.config import EMOTIONS
from model.metrics import (
    Metric,
    average_precision,
    choose_threshold,
    positive_f1,
    roc_auc,
    weighted_accuracy,
    weighted_f1,
    why_undefined,
)

if TYPE_CHECKING:
    from model.predict import Predictions

Record = dict[str, Any]
METRICS: dict[str, Metric] = {"wa": weighted_accuracy, "f1": weighted_f1}


@dataclass(frozen=True)
class Thresholds:
    """Per metric ("wa", "f1") one threshold an emotion, chosen on dev; and what dev could not say.

    ``notes`` holds, by emotion, why a threshold is the default of 0.5.
    """

    of: dict[str, np.ndarray]
    notes: dict[str, str]

    def decide(self, predictions: Predictions, metric: str) -> np.ndarray:
        """Which emotions are predicted: (n, 6) bool."""
        return predictions.scores >= self.of[metric].astype(predictions.scores.dtype)


def choose_thresholds(dev: Predictions) -> Thresholds:
    """The thresholds best on dev, separately per emotion and metric (section 5 of the paper)."""
    columns = range(len(EMOTIONS))
    chosen = {
        name: np.array(
            [choose_threshold(dev.scores[:, k], dev.labels[:, k], metric) for k in columns]
        )
        for name, metric in METRICS.items()
    }
    reasons = {EMOTIONS[k]: why_undefined(dev.labels[:, k]) for k in columns}
    notes = {name: f"in dev, {reason}" for name, reason in reasons.items() if reason}
    return Thresholds(chosen, notes)


def averages(predictions: Predictions, thresholds: Thresholds) -> dict[str, float | None]:
    """WA and F1, each the mean over the emotions in which it is defined."""
    means = {}
    for name, metric in METRICS.items():
        decided = thresholds.decide(predictions, name)
        values = [metric(predictions.labels[:, k], decided[:, k]) for k in range(len(EMOTIONS))]
        means[name] = _mean(values)
    return means


def score(test: Predictions, thresholds: Thresholds, times: np.ndarray) -> Record:
    """All figures of one system on test: {"per_emotion": ..., "average": ...}.

    Args: times (R, n) from ``model.bootstrap.resamples``, the same for systems to be compared.
    Undefined figures are None, with the reason under "undefined".
    """
    decided = {name: thresholds.decide(test, name) for name in METRICS}
    resampled = {
        name: bootstrap(test.labels, decided[name], metric, times)
        for name, metric in METRICS.items()
    }
    per_emotion = {
        emotion: _score_emotion(k, test, thresholds, decided, resampled)
        for k, emotion in enumerate(EMOTIONS)
    }
    average: Record = {}
    for name, values in resampled.items():
        defined = [k for k, e in enumerate(EMOTIONS) if per_emotion[e][name] is not None]
        average[name] = _mean([per_emotion[e][name] for e in EMOTIONS])
        average[f"{name}_ci"] = interval(values[:, defined].mean(axis=1)) if defined else None
    left_out = [e for e in EMOTIONS if per_emotion[e]["wa"] is None]
    if left_out:
        average["undefined"] = f"undefined for, and averaged without, {', '.join(left_out)}"
    return {"per_emotion": per_emotion, "average": average}


def _score_emotion(
    k: int,
    test: Predictions,
    thresholds: Thresholds,
    decided: dict[str, np.ndarray],
    resampled: dict[str, np.ndarray],
) -> Record:
    scores, labels = test.scores[:, k], test.labels[:, k]
    record: Record = {
        # The decisions made for F1 serve both F1s: one threshold was chosen for one of them.
        "f1_positive": positive_f1(labels, decided["f1"][:, k]),
        "average_precision": average_precision(scores, labels),
        "roc_auc": roc_auc(scores, labels),
        "n": len(labels),
        "n_positive": int(labels.sum()),
    }
    for name, metric in METRICS.items():
        record[name] = metric(labels, decided[name][:, k])
        record[f"threshold_{name}"] = float(thresholds.of[name][k])
        record[f"{name}_ci"] = interval(resampled[name][:, k])
    reason = why_undefined(labels)
    if reason:
        record["undefined"] = f"in test, {reason}"
    if EMOTIONS[k] in thresholds.notes:
        record["note"] = f"{thresholds.notes[EMOTIONS[k]]}: no threshold to choose, 0.5 taken"
    return record


def spread(values: list[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over runs; None where there are too few."""
    defined = np.array([value for value in values if value is not None])
    mean = float(defined.mean()) if len(defined) else None
    return mean, float(defined.std(ddof=1)) if len(defined) > 1 else None


def _mean(values: list[float | None]) -> float | None:
    return spread(values)[0]
