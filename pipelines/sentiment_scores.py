"""From predicted sentiment to the figures of the table; as ``emotion_scores``, without thresholds.

There is nothing to choose on dev but the run: the scores round at fixed places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bootstrap import interval
from model.sentiment_metrics import DEFINITIONS as DEFINITIONS
from model.sentiment_metrics import sentiment_scores

if TYPE_CHECKING:
    from model.predict import Predictions

Record = dict[str, Any]
NAMES = tuple(DEFINITIONS)


def choose_thresholds(dev: Predictions) -> None:
    """There are none."""


def thresholds_of(figures: Record) -> None:
    """There are none."""


def rank(averages: Mapping[str, float | None]) -> float:
    """How good a run is by its figures on dev: the lower the mean absolute error the better."""
    error = averages["mae"]
    assert error is not None, "defined wherever there is a segment"
    return -error


def figures(predictions: Predictions, thresholds: None) -> Record:
    """{"average": {name: value}} of all NAMES; there is one output to average over."""
    return {"average": sentiment_scores(predictions.scores[:, 0], predictions.labels[:, 0])}


def score(test: Predictions, thresholds: None, times: np.ndarray) -> Record:
    """``figures`` with 95% intervals ("mae_ci" ...); why one is undefined under "undefined"."""
    record = figures(test, thresholds)
    average = record["average"]
    undefined = [name for name in NAMES if average[name] is None]
    resampled = resample(test, thresholds, times)
    average |= {f"{name}_ci": interval(values[:, 0]) for name, values in resampled.items()}
    average["n"] = len(test.ids)
    if undefined:
        average["undefined"] = (
            f"{', '.join(undefined)}: all predictions or all truths are the same, or all truths 0"
        )
    return record


def resample(test: Predictions, thresholds: None, times: np.ndarray) -> dict[str, np.ndarray]:
    """Each of NAMES on each resample: (R, 1), NaN where undefined."""
    drawn = [np.repeat(np.arange(len(row)), row.astype(int)) for row in times]
    found = [sentiment_scores(test.scores[rows, 0], test.labels[rows, 0]) for rows in drawn]
    return {name: np.array([[one[name]] for one in found], float) for name in NAMES}


def arrays(test: Predictions, thresholds: None) -> dict[str, np.ndarray]:
    """What is kept of a system's answers on test: scores (n, 1)."""
    return {"scores": test.scores}
