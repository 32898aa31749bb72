"""From emotion scores to the figures of the tables: thresholds from dev, metrics on test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bootstrap import bootstrap, bootstrap_rankings, interval
from model.config import EMOTIONS
from model.metrics import (
    Metric,
    Ranking,
    accuracy,
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
METRICS: dict[str, Metric] = {
    "wa": weighted_accuracy,
    "f1": weighted_f1,
    "f1_positive": positive_f1,
    "accuracy": accuracy,
}
RANKINGS: dict[str, Ranking] = {"average_precision": average_precision, "roc_auc": roc_auc}
NAMES = (*METRICS, *RANKINGS)
_SCORES: dict[str, Metric | Ranking] = {**METRICS, **RANKINGS}
DEFINITIONS = {
    name: {"name": score.name, "definition": score.definition, "source": score.source}
    for name, score in _SCORES.items()
}


@dataclass(frozen=True)
class Thresholds:
    """Per metric one threshold an emotion, chosen on dev; and what dev could not say.

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


def thresholds_of(figures: Record) -> Thresholds:
    """Those that ``score`` told: of one condition of an evaluation."""
    own = figures["per_emotion"]
    of = {m: np.array([own[e][f"threshold_{m}"] for e in EMOTIONS]) for m in METRICS}
    return Thresholds(of, {})


def rank(averages: Mapping[str, float | None]) -> float:
    """How good a run is by its figures on dev: the mean of WA and F1 (section 5 of the paper)."""
    defined = [value for value in (averages["wa"], averages["f1"]) if value is not None]
    return sum(defined) / len(defined) if defined else -1.0


def figures(predictions: Predictions, thresholds: Thresholds) -> Record:
    """{"per_emotion": {emotion: {name: value}}, "average": {name: value}} of all NAMES.

    The averages are over the emotions of which there are segments with and segments without.
    """
    decided = {name: thresholds.decide(predictions, name) for name in METRICS}
    per_emotion: Record = {}
    for k, emotion in enumerate(EMOTIONS):
        scores, labels = predictions.scores[:, k], predictions.labels[:, k]
        values = {name: metric(labels, decided[name][:, k]) for name, metric in METRICS.items()}
        values |= {name: ranking(scores, labels) for name, ranking in RANKINGS.items()}
        per_emotion[emotion] = values
    kept = [EMOTIONS[k] for k in _averaged(predictions.labels)]
    average = {name: spread([per_emotion[e][name] for e in kept])[0] for name in NAMES}
    return {"per_emotion": per_emotion, "average": average}


def score(test: Predictions, thresholds: Thresholds, times: np.ndarray) -> Record:
    """``figures`` with 95% intervals ("wa_ci" ...), thresholds and counts: one system on test.

    Args: times (R, n) from ``model.bootstrap.resamples``, the same for systems to be compared.
    Undefined figures are None, with the reason under "undefined".
    """
    record = figures(test, thresholds)
    resampled = resample(test, thresholds, times)
    for k, emotion in enumerate(EMOTIONS):
        own = record["per_emotion"][emotion]
        own |= {f"{name}_ci": interval(values[:, k]) for name, values in resampled.items()}
        own |= _facts(k, test.labels[:, k], thresholds)
    kept = _averaged(test.labels)
    average = record["average"]
    for name, values in resampled.items():
        average[f"{name}_ci"] = interval(values[:, kept].mean(axis=1)) if kept else None
    left_out = [emotion for k, emotion in enumerate(EMOTIONS) if k not in kept]
    if left_out:
        average["undefined"] = f"undefined for, and averaged without, {', '.join(left_out)}"
    return record


def resample(test: Predictions, thresholds: Thresholds, times: np.ndarray) -> dict[str, np.ndarray]:
    """Each of NAMES on each resample and emotion: (R, 6), NaN where undefined."""
    resampled = {
        name: bootstrap(test.labels, thresholds.decide(test, name), metric, times)
        for name, metric in METRICS.items()
    }
    rankings = list(RANKINGS.values())
    ranked = np.stack(
        [
            bootstrap_rankings(test.scores[:, k], test.labels[:, k], rankings, times)
            for k in range(len(EMOTIONS))
        ],
        axis=2,
    )
    return resampled | dict(zip(RANKINGS, ranked, strict=True))


def arrays(test: Predictions, thresholds: Thresholds) -> dict[str, np.ndarray]:
    """What is kept of a system's answers on test: scores (n, 6) and each metric's decisions."""
    return {"scores": test.scores} | {name: thresholds.decide(test, name) for name in METRICS}


def spread(values: list[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over runs; None where there are too few."""
    defined = np.array([value for value in values if value is not None])
    mean = float(defined.mean()) if len(defined) else None
    return mean, float(defined.std(ddof=1)) if len(defined) > 1 else None


def _averaged(labels: np.ndarray) -> list[int]:
    """The emotions in which every metric is defined; labels (n, 6)."""
    return [k for k in range(len(EMOTIONS)) if why_undefined(labels[:, k]) is None]


def _facts(k: int, labels: np.ndarray, thresholds: Thresholds) -> Record:
    facts: Record = {"n": len(labels), "n_positive": int(labels.sum())}
    facts |= {f"threshold_{name}": float(chosen[k]) for name, chosen in thresholds.of.items()}
    if reason := why_undefined(labels):
        facts["undefined"] = f"in test, {reason}"
    if EMOTIONS[k] in thresholds.notes:
        facts["note"] = f"{thresholds.notes[EMOTIONS[k]]}: no threshold to choose, 0.5 taken"
    return facts
