"""What is said in the demo: the vocabulary is complete, and sentences hold what they should."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.demo.foreign_sentences import SENTENCES, foreign_sentence
from pipelines.demo.sentences import (
    EMOTION_PHRASES,
    MAX_EMOTION_PHRASES,
    emotional_sentence,
    english_sentence,
    vocabulary,
)

EMOTIONS = tuple(EMOTION_PHRASES)


@given(st.integers(0, 2**32), st.lists(st.sampled_from(EMOTIONS), unique=True))
def test_every_english_word_is_in_the_vocabulary(seed, emotions):
    rng = np.random.default_rng(seed)
    words = {*english_sentence(rng).split(), *emotional_sentence(emotions, rng).split()}
    assert words <= set(vocabulary())


def test_vocabulary_is_a_few_hundred_plain_words():
    words = vocabulary()
    assert 300 < len(words) < 1000
    assert words == sorted(set(words))
    assert all(re.fullmatch("[a-z]+", word) for word in words)


@given(st.integers(0, 2**32), st.permutations(EMOTIONS), st.integers(0, 6))
def test_a_sentence_says_the_first_emotions_and_no_others(seed, order, n):
    sentence = emotional_sentence(order[:n], np.random.default_rng(seed))
    said = {e for e, phrases in EMOTION_PHRASES.items() if any(p in sentence for p in phrases)}
    assert said == set(order[: min(n, MAX_EMOTION_PHRASES)])


@given(st.integers(0, 2**32))
def test_english_sentences_suit_a_clip_of_a_few_seconds(seed):
    rng = np.random.default_rng(seed)
    sentence = english_sentence(rng)
    assert 7 <= len(sentence.split()) <= 20
    assert not re.search(r"\ba [aeio]", sentence)


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_foreign_sentences_are_many_and_plain(language):
    assert len(set(SENTENCES[language])) >= 24
    assert foreign_sentence(language, np.random.default_rng(0)) in SENTENCES[language]
    english = set(vocabulary()) - {"a", "des", "die", "me", "on", "was", "so", "an", "in", "he"}
    for sentence in SENTENCES[language]:
        words = sentence.lower().split()
        assert sum(word in english for word in words) <= len(words) / 4
