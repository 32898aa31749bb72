"""Metrics against scikit-learn, hand calculation and slow, obvious implementations."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from featurize.errors import TrainError
from model import metrics as m

METRICS = (m.weighted_accuracy, m.weighted_f1, m.positive_f1, m.accuracy)


@st.composite
def scored(draw, both_classes=True):
    """Labels and float32 scores, with ties among the scores."""
    n = draw(st.integers(2, 60))
    labels = draw(hnp.arrays(bool, n))
    if both_classes:
        labels[0], labels[1] = True, False
    steps = draw(hnp.arrays(np.int8, n, elements=st.integers(0, 12)))
    return labels, (steps / 12).astype(np.float32)


@st.composite
def decided(draw):
    n = draw(st.integers(1, 60))
    return draw(hnp.arrays(bool, n)), draw(hnp.arrays(bool, n))


@given(decided())
def test_agrees_with_scikit_learn(case):
    labels, predicted = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f1 = sk.f1_score(labels, predicted, average="weighted", zero_division=0)
        f1_positive = sk.f1_score(labels, predicted, zero_division=0)
        balanced = sk.balanced_accuracy_score(labels, predicted)
    if labels.any():
        assert m.positive_f1(labels, predicted) == pytest.approx(f1_positive)
    else:
        assert m.positive_f1(labels, predicted) is None
    if m.why_undefined(labels) is None:
        assert m.weighted_accuracy(labels, predicted) == pytest.approx(balanced)
        assert m.weighted_f1(labels, predicted) == pytest.approx(f1)
        accuracy = sk.accuracy_score(labels, predicted)
        assert m.accuracy(labels, predicted) == pytest.approx(accuracy)
    else:
        assert m.weighted_accuracy(labels, predicted) is None
        assert m.accuracy(labels, predicted) is None
        assert m.weighted_f1(labels, predicted) is None


@given(decided())
def test_weighted_accuracy_is_the_formula_of_the_paper_it_comes_from(case):
    labels, predicted = case
    positives, negatives = labels.sum(), (~labels).sum()
    if not positives or not negatives:
        return
    tp, tn = (labels & predicted).sum(), (~labels & ~predicted).sum()
    expected = (tp * negatives / positives + tn) / (2 * negatives)
    assert m.weighted_accuracy(labels, predicted) == pytest.approx(expected)


def test_hand_calculated():
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    predicted = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0], bool)
    # TP 3, FN 1, FP 1, TN 5
    assert m.weighted_accuracy(labels, predicted) == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert m.positive_f1(labels, predicted) == pytest.approx(6 / 8)
    assert m.weighted_f1(labels, predicted) == pytest.approx(0.4 * 6 / 8 + 0.6 * 10 / 12)


@given(scored())
def test_ranking_scores_agree_with_scikit_learn(case):
    labels, scores = case
    assert m.average_precision(scores, labels) == pytest.approx(
        sk.average_precision_score(labels, scores)
    )
    assert m.roc_auc(scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores))


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "no segments"), ([0, 0, 0], "none of the 3"), ([1, 1], "all of the 2")],
)
def test_undefined_is_none_with_a_reason_never_zero(labels, words):
    labels = np.array(labels, bool)
    scores = np.linspace(0, 1, len(labels), dtype=np.float32)
    assert words in m.why_undefined(labels)
    assert m.weighted_accuracy(labels, scores > 0.5) is None
    assert m.roc_auc(scores, labels) is None
    if not labels.any():
        assert m.average_precision(scores, labels) is None
        assert m.positive_f1(labels, scores > 0.5) is None
    assert m.weighted_f1(labels, scores > 0.5) is None
    assert m.choose_threshold(scores, labels, m.weighted_accuracy) == 0.5


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@given(case=scored(both_classes=False))
def test_no_threshold_is_better_than_the_chosen_one(metric, case):
    labels, scores = case
    chosen = m.choose_threshold(scores, labels, metric)
    if metric(labels, scores >= chosen) is None:
        assert chosen == 0.5
        return
    candidates = [*np.unique(scores), np.float32(2)]
    values = [metric(labels, scores >= candidate) for candidate in candidates]
    best = max(values)
    assert metric(labels, scores >= chosen) == pytest.approx(best)
    ties = [c for c, v in zip(candidates[:-1], values, strict=False) if v == pytest.approx(best)]
    nearest = min(abs(float(c) - 0.5) for c in ties) if ties else np.inf
    assert abs(chosen - 0.5) <= nearest


def test_threshold_survives_json_and_float32():
    scores = np.array([0.1, 0.7, 0.7000001], np.float32)
    labels = np.array([0, 0, 1], bool)
    chosen = m.choose_threshold(scores, labels, m.weighted_accuracy)
    assert (scores >= float(repr(chosen))).tolist() == [False, False, True]


def test_never_predicting_is_among_the_thresholds():
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.4], np.float32)
    labels = np.array([0, 1, 0, 0, 0], bool)
    chosen = m.choose_threshold(scores, labels, m.weighted_f1)
    assert not (scores >= chosen).any()


@given(scored(), st.randoms(use_true_random=False))
def test_order_of_the_segments_does_not_matter(case, random):
    labels, scores = case
    order = list(range(len(labels)))
    random.shuffle(order)
    for metric in METRICS:
        chosen = m.choose_threshold(scores, labels, metric)
        assert chosen == m.choose_threshold(scores[order], labels[order], metric)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(TrainError, match="diverged"):
        m.choose_threshold(np.array([0.1, np.nan]), np.array([True, False]), m.weighted_f1)
