"""Scores made of words alone, by hand."""

from math import nan

import pytest

from pipelines.decoding.scores import ENGLISH_SHARE, POSTERIOR, WORDS_PER_SECOND, word_scores


def test_scores_by_hand() -> None:
    words = [("Hello", 0.5, 1.0, 0.9), ("nicht", 1.0, 1.5, 0.5), ("you're", 2.0, 2.5, 0.4)]
    assert word_scores(words) == {
        ENGLISH_SHARE: pytest.approx(2 / 3),
        POSTERIOR: pytest.approx(0.6),
        WORDS_PER_SECOND: pytest.approx(1.5),
    }


def test_what_is_not_known_has_no_score() -> None:
    assert word_scores([]) == {}
    assert word_scores([("hello", nan, nan, nan)]) == {ENGLISH_SHARE: 1.0}
    assert word_scores([("hello", nan, nan, 0.5)]) == {ENGLISH_SHARE: 1.0, POSTERIOR: 0.5}
    partly = [("hello", 1.0, 1.5, 0.5), ("you", nan, nan, nan)]
    assert word_scores(partly) == {ENGLISH_SHARE: 1.0, POSTERIOR: 0.5}
    assert set(word_scores([("hello", 1.0, 1.0, 0.5)])) == {ENGLISH_SHARE, POSTERIOR}
