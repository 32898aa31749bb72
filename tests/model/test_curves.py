"""Curves against scikit-learn, and against the areas that ``model.metrics`` counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from model.curves import precision_recall_curve, roc_curve, thinned, threshold_curve
from model.metrics import average_precision, choose_threshold, roc_auc, weighted_accuracy

# Few values, so that scores tie.
SCORES = arrays(np.float32, 30, elements=st.integers(0, 12).map(lambda k: k / 16))
LABELS = arrays(bool, 30).filter(lambda labels: 0 < labels.sum() < len(labels))


@settings(max_examples=50, deadline=None)
@given(SCORES, LABELS)
def test_roc_curve_is_scikit_learns(scores, labels):
    fpr, tpr = roc_curve(scores, labels)
    theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, theirs[0])
    np.testing.assert_allclose(tpr, theirs[1])
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc(scores, labels))


@settings(max_examples=50, deadline=None)
@given(SCORES, LABELS)
def test_precision_recall_curve_is_scikit_learns(scores, labels):
    recall, precision = precision_recall_curve(scores, labels)
    theirs = sklearn_metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(recall, theirs[1][:-1][::-1])  # theirs ends with a made-up point
    np.testing.assert_allclose(precision, theirs[0][:-1][::-1])
    area = (np.diff(recall, prepend=0.0) * precision).sum()
    assert area == pytest.approx(average_precision(scores, labels))


@settings(max_examples=50, deadline=None)
@given(SCORES, LABELS)
def test_threshold_curve_is_the_metric_at_each_threshold_and_peaks_where_chosen(scores, labels):
    thresholds, values = threshold_curve(scores, labels, weighted_accuracy)
    for threshold, value in zip(thresholds, values, strict=True):
        assert value == pytest.approx(weighted_accuracy(labels, scores >= threshold))
    chosen = choose_threshold(scores, labels, weighted_accuracy)
    assert weighted_accuracy(labels, scores >= chosen) == pytest.approx(values.max())


def test_curves_that_cannot_be_drawn_are_none():
    scores, none = np.array([0.1, 0.7], np.float32), np.zeros(2, bool)
    assert roc_curve(scores, none) is None
    assert precision_recall_curve(scores, none) is None
    assert threshold_curve(scores, none, weighted_accuracy) is None


def test_thinned_keeps_both_ends():
    curve = np.arange(1000.0), np.arange(1000.0) ** 2
    x, y = thinned(curve, 50)
    assert len(x) == len(y) == 50
    assert (x[0], x[-1], y[-1]) == (0, 999, 999.0**2)
    assert [len(part) for part in thinned((np.arange(3.0), np.arange(3.0)), 50)] == [3, 3]
