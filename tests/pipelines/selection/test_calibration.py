"""The logistic regression against scikit-learn's, and what is said of it against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from featurize.errors import UsageError
from pipelines.selection.calibration import calibrate, fit, roc_auc


def labelled(
    seed: int, n: int = 60, apart: float = 1.5
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    is_english = rng.permutation(n) < n // 2
    scores = {
        "good": rng.normal(0, 1, n) + apart * is_english,
        "large": 1000 + 50 * rng.normal(0, 1, n) + 20 * is_english,
        "noise": rng.normal(0, 1, n),
    }
    return scores, is_english


@pytest.mark.parametrize("apart", [0.0, 1.5, 100.0])  # the last parts completely
def test_the_fit_is_scikit_learns(apart: float) -> None:
    scores, is_english = labelled(0, apart=apart)
    columns = np.stack(list(scores.values()), axis=1)
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    weights, bias = fit(columns, is_english)
    theirs = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(columns, is_english)
    assert weights == pytest.approx(theirs.coef_[0], abs=1e-5)
    assert bias == pytest.approx(theirs.intercept_[0], abs=1e-5)
    found = calibrate(scores, is_english).probabilities(scores)
    assert found == pytest.approx(theirs.predict_proba(columns)[:, 1], abs=1e-5)


@given(
    st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20),
    st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20),
)
def test_auc_is_scikit_learns(positive: list[float], negative: list[float]) -> None:
    labels = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(labels, positive + negative)
    assert roc_auc(np.array(positive), np.array(negative)) == pytest.approx(expected)


def test_auc_is_told_of_utterances_that_were_not_fitted_to() -> None:
    scores, is_english = labelled(1, n=400, apart=0.0)
    noise = {f"noise {k}": np.random.default_rng(k).normal(0, 1, 400) for k in range(60)}
    found = calibrate(noise, is_english)
    fitted = found.probabilities(noise)
    assert roc_auc(fitted[is_english], fitted[~is_english]) > 0.65  # of its own fit it would boast
    low, high = found.auc_interval
    assert low < 0.55 and low < found.auc < high


def test_the_point_is_the_best_f1_or_the_lowest_of_a_precision() -> None:
    scores, is_english = labelled(2, n=300, apart=2.0)
    best, strict = calibrate(scores, is_english), calibrate(scores, is_english, precision=0.95)
    assert strict.threshold > best.threshold and strict.precision >= 0.95 > best.precision
    assert strict.recall < best.recall
    # About the same where it was fitted: the folds differ a little.
    kept = strict.probabilities(scores) >= strict.threshold
    assert precision_score(is_english, kept) == pytest.approx(strict.precision, abs=0.03)
    assert recall_score(is_english, kept) == pytest.approx(strict.recall, abs=0.1)


def test_scores_that_say_nothing_are_left_out() -> None:
    scores, is_english = labelled(3)
    gap = scores["good"].copy()
    gap[5] = np.nan
    found = calibrate({**scores, "same": np.ones(60), "gap": gap}, is_english)
    assert found.names == ("good", "large", "noise")
    scores["good"][7] = np.nan
    assert np.isnan(found.probabilities(scores)).tolist() == [k == 7 for k in range(60)]


def test_too_little_to_go_by_is_refused() -> None:
    scores, is_english = labelled(4)
    with pytest.raises(UsageError, match="30 of the labelled .* English and 0 are not"):
        calibrate({k: v[is_english] for k, v in scores.items()}, is_english[is_english])
    with pytest.raises(UsageError, match="no score is known of every"):
        calibrate({"same": np.ones(60)}, is_english)
    with pytest.raises(UsageError, match="--precision 1 is not reached"):
        noise = np.where(np.arange(60) == 0, 9.0, scores["noise"])
        calibrate({"noise": noise * np.where(is_english, -1, 1)}, is_english, precision=1.0)
