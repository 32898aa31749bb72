"""The bootstrap against the metric on segments drawn one by one, and against theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model import bootstrap as b
from model import metrics as m

METRICS = (m.weighted_accuracy, m.weighted_f1, m.positive_f1)


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
