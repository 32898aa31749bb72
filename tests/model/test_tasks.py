"""Scores on dev and the weights of the losses, by hand and by definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from model.metrics import weighted_accuracy
from model.predict import Predictions
from model.tasks import best_mean, edit_distance, positive_weights

words = st.text(alphabet="ab ", max_size=7)


@given(found=words, truth=words)
def test_edit_distance_equals_the_recursive_definition(found: str, truth: str) -> None:
    def distance(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return distance(a[1:], b[1:])
        return 1 + min(distance(a[1:], b), distance(a, b[1:]), distance(a[1:], b[1:]))

    assert edit_distance(found[:5], truth[:5]) == distance(found[:5], truth[:5])


def test_edit_distance_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3


def test_positive_weights_by_hand() -> None:
    shown = [(True, i < 2, i < 1, False, i < 3, i % 2 == 0) for i in range(4)]
    expected = [1 / 20, 1.0, 3.0, 4.0, 1 / 3, 1.0]
    torch.testing.assert_close(positive_weights(np.array(shown)), torch.tensor(expected))


def test_best_mean_skips_what_is_undefined() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((30, 6)) < 0.4
    labels[:, 2] = False
    scores = (labels * 0.3 + rng.random((30, 6))).astype(np.float32) / 1.3
    found = best_mean(Predictions(["u"] * 30, scores, labels), weighted_accuracy)
    each = [
        max(balanced_accuracy_score(labels[:, e], scores[:, e] >= t) for t in scores[:, e])
        for e in (0, 1, 3, 4, 5)
    ]
    assert found == pytest.approx(np.mean(each))
    labels[:] = False
    assert best_mean(Predictions(["u"] * 30, scores, labels), weighted_accuracy) is None
