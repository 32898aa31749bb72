"""Figures of sentiment against the metrics on segments drawn one by one."""

import numpy as np
import pytest

from model.bootstrap import interval, resamples
from model.predict import Predictions
from model.sentiment_metrics import sentiment_scores
from pipelines import sentiment_scores as ss


def answers(truth: np.ndarray, predicted: np.ndarray) -> Predictions:
    columns = (np.asarray(values, np.float32)[:, None] for values in (predicted, truth))
    return Predictions([str(i) for i in range(len(truth))], *columns)


def test_every_figure_has_the_bootstrap_s_interval():
    rng = np.random.default_rng(0)
    truth = np.round(rng.uniform(-3, 3, 60) * 3) / 3
    test = answers(truth, truth + rng.normal(0, 1, 60))
    times = resamples(60, 30, 1)
    average = ss.score(test, None, times)["average"]
    assert average["n"] == 60 and "undefined" not in average
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in times]
    each = [sentiment_scores(test.scores[rows, 0], test.labels[rows, 0]) for rows in drawn]
    assert {name: average[name] for name in ss.NAMES} == sentiment_scores(
        test.scores[:, 0], test.labels[:, 0]
    )
    for name in ss.NAMES:
        expected = interval(np.array([one[name] for one in each]))
        assert average[f"{name}_ci"] == pytest.approx(expected)


def test_what_is_undefined_is_said():
    average = ss.score(answers(np.zeros(4), np.ones(4)), None, resamples(4, 5, 0))["average"]
    for name in ("correlation", "accuracy_2", "f1_2", "f1_2_with_zero"):
        assert average[name] is None and average[f"{name}_ci"] is None
        assert name in average["undefined"]
    assert average["mae"] == 1.0


def test_rank_prefers_the_lower_error():
    assert ss.rank({"mae": 0.6}) > ss.rank({"mae": 0.7})
