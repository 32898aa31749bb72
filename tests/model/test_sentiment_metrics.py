"""Sentiment scores against the Multimodal Transformer's own results, scikit-learn and SciPy."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from featurize.errors import TrainError
from model.metrics import weighted_f1
from model.sentiment_metrics import sentiment_scores

# What src/eval_metrics.py of yaohungt/Multimodal-Transformer printed for `random_case`.
OF_MULT = json.loads((Path(__file__).parent / "fixtures/sentiment_of_mult.json").read_text())


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and truths in thirds; every third case has predictions in halves, zeros too."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 400))
    truth = np.round(rng.uniform(-3, 3, n) * 3) / 3
    predicted = truth * rng.uniform(0, 1) + rng.normal(0, 1.5, n)
    return (np.round(predicted * 2) / 2 if seed % 3 == 0 else predicted), truth


@pytest.mark.parametrize("row", OF_MULT, ids=lambda row: f"seed {row['seed']}")
def test_equals_the_multimodal_transformer_s_evaluation(row: dict) -> None:
    row = dict(row)
    predicted, truth = random_case(row.pop("seed"))
    found = sentiment_scores(predicted, truth)
    its_f1 = {name: row.pop(name) for name in ("f1_2", "f1_2_with_zero")}
    assert {name: found[name] for name in row} == pytest.approx(row, abs=1e-12)
    is_clear = truth != 0  # its F1 takes what was predicted for the truth
    swapped = weighted_f1(predicted[is_clear] > 0, truth[is_clear] > 0)
    assert its_f1["f1_2"] == pytest.approx(swapped, abs=1e-12)
    assert its_f1["f1_2_with_zero"] == pytest.approx(weighted_f1(predicted > 0, truth > 0))


@given(
    hnp.arrays(np.float64, st.shared(st.integers(2, 50), key="n"), elements=st.floats(-4, 4)),
    hnp.arrays(np.float64, st.shared(st.integers(2, 50), key="n"), elements=st.floats(-3, 3)),
)
def test_agrees_with_scikit_learn_and_scipy(predicted: np.ndarray, truth: np.ndarray) -> None:
    found = sentiment_scores(predicted, truth)
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    if found["f1_2_with_zero"] is not None:
        f1 = f1_score(truth > 0, predicted > 0, average="weighted")
        assert found["f1_2_with_zero"] == pytest.approx(f1)
    assert found["accuracy_2_with_zero"] == pytest.approx(accuracy_score(truth > 0, predicted > 0))
    seven = [np.round(np.clip(values, -3, 3)).astype(int) for values in (truth, predicted)]
    assert found["accuracy_7"] == pytest.approx(accuracy_score(*seven))
    if np.std(predicted) > 1e-6 and np.std(truth) > 1e-6:
        assert found["correlation"] == pytest.approx(pearsonr(predicted, truth)[0], abs=1e-9)


def test_hand_calculated() -> None:
    predicted = np.array([2.6, -0.4, 0.5, -3.5, 1.0])
    truth = np.array([3.0, -1.0, 0.0, -3.0, -2.0])
    found = sentiment_scores(predicted, truth)
    assert found["mae"] == pytest.approx((0.4 + 0.6 + 0.5 + 0.5 + 3.0) / 5)
    assert found["accuracy_7"] == 3 / 5  # 3, -0, 0 (a half, to even), -3, 1
    assert found["accuracy_5"] == 3 / 5
    assert found["accuracy_2"] == 3 / 4  # without the third
    assert found["accuracy_2_with_zero"] == 3 / 5


def test_what_is_undefined_is_none_and_what_is_broken_an_error() -> None:
    constant = sentiment_scores(np.zeros(3), np.array([1.0, 2.0, -1.0]))
    assert constant["correlation"] is None and constant["accuracy_2"] == pytest.approx(1 / 3)
    neutral = sentiment_scores(np.array([1.0, -1.0]), np.zeros(2))
    assert neutral["accuracy_2"] is None and neutral["f1_2"] is None
    with pytest.raises(TrainError, match="no segment"):
        sentiment_scores(np.zeros(0), np.zeros(0))
    with pytest.raises(TrainError, match="not finite"):
        sentiment_scores(np.array([np.nan]), np.zeros(1))
