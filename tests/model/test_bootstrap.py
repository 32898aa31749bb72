"""The bootstrap against the metric on segments drawn one by one, and against theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from model import bootstrap as b
from model import metrics as m

METRICS = (m.weighted_accuracy, m.weighted_f1, m.positive_f1, m.accuracy)
RANKINGS = (m.average_precision, m.roc_auc)


@st.composite
def decided(draw):
    n = draw(st.integers(1, 60))
    return draw(hnp.arrays(bool, n)), draw(hnp.arrays(bool, n))


@settings(max_examples=20)
@given(decided(), st.integers(0, 99))
def test_bootstrap_is_the_metric_on_the_drawn_segments(case, seed):
    labels, predicted = case
    times = b.resamples(len(labels), 7, seed)
    assert (times.sum(axis=1) == len(labels)).all()
    for metric in METRICS:
        values = b.bootstrap(labels[:, None], predicted[:, None], metric, times)
        for value, row in zip(values[:, 0], times.astype(int), strict=True):
            drawn = np.repeat(np.arange(len(labels)), row)
            expected = metric(labels[drawn], predicted[drawn])
            assert np.isnan(value) if expected is None else value == pytest.approx(expected)


@settings(max_examples=20)
@given(decided(), st.integers(0, 99))
def test_bootstrap_of_rankings_is_scikit_learn_s_score_of_the_drawn_segments(case, seed):
    """Scores with ties; more resamples than one chunk holds; None where a class was not drawn."""
    labels, ties = case
    scores = (np.arange(len(labels)) % 5 / 5 + ties / 10).astype(np.float32)
    times = b.resamples(len(labels), b.CHUNK + 3, seed)
    values = b.bootstrap_rankings(scores, labels, RANKINGS, times)
    assert values.shape == (2, len(times))
    for row in (0, b.CHUNK - 1, b.CHUNK, len(times) - 1):
        drawn = np.repeat(np.arange(len(labels)), times[row].astype(int))
        n_positive = labels[drawn].sum()
        if n_positive:
            expected = average_precision_score(labels[drawn], scores[drawn])
            assert values[0, row] == pytest.approx(expected)
        else:
            assert np.isnan(values[0, row])
        if 0 < n_positive < len(drawn):
            assert values[1, row] == pytest.approx(roc_auc_score(labels[drawn], scores[drawn]))
        else:
            assert np.isnan(values[1, row])


def test_bootstrap_interval_has_the_width_that_theory_gives():
    # Accuracy within one class of n segments is binomial: sd of (TPR + TNR) / 2 is known.
    n, rate = 2000, 0.8
    labels = np.arange(n) % 2 == 0
    predicted = labels ^ (np.arange(n) % 10 < 2)  # a fifth wrong, in both classes alike
    values = b.bootstrap(
        labels[:, None], predicted[:, None], m.weighted_accuracy, b.resamples(n, 2000, 1)
    )
    low, high = b.interval(values[:, 0])
    expected = 2 * 1.96 * np.sqrt(2 * rate * (1 - rate) / (n / 2)) / 2
    assert high - low == pytest.approx(expected, rel=0.08)
    assert low < rate < high


def test_interval_leaves_out_undefined_resamples_and_says_when_most_are():
    values = np.linspace(0, 1, 101)
    assert b.interval(values) == pytest.approx((0.025, 0.975))
    assert b.interval(np.append(values, np.nan)) == pytest.approx((0.025, 0.975))
    assert b.interval(np.array([0.5, np.nan])) is None


def test_paired_p_value():
    theirs = np.linspace(0.4, 0.6, 1000)
    assert b.paired_p_value(theirs + 0.01, theirs) == pytest.approx(2 / 1001)
    assert b.paired_p_value(theirs, theirs) == 1.0
    assert b.paired_p_value(np.array([np.nan]), np.array([0.1])) is None
    noise = np.linspace(-0.1, 0.1, 1000)
    assert b.paired_p_value(theirs + noise, theirs) > 0.9
