"""Scores of how well the words of an utterance fit English: stored with them, so that no one has to
decode twice to select by another.

Those with ``likelihood`` in their name come from the engine, which states its own definition; the
others are made here, of the words alone, whatever decoded them.
"""

import functools
from collections.abc import Collection, Sequence
from importlib.metadata import version
from math import isnan

from pipelines.decoding.engine import Word

PER_FRAME = "log_likelihood_per_frame"
PER_SPEECH_FRAME = "log_likelihood_per_speech_frame"
POSTERIOR = "mean_word_posterior"
ENGLISH_SHARE = "english_word_share"
WORDS_PER_SECOND = "words_per_second"
NAMES = (PER_FRAME, PER_SPEECH_FRAME, POSTERIOR, ENGLISH_SHARE, WORDS_PER_SECOND)

OF_WORDS = {
    POSTERIOR: "mean of the words' posteriors",
    ENGLISH_SHARE: "share of the words that are in the English word list",
    WORDS_PER_SECOND: "words, by the seconds from the start of the first to the end of the last",
}


def word_scores(words: Sequence[Word]) -> dict[str, float]:
    """The scores of ``OF_WORDS``; those are left out whose times or posteriors are not known (NaN),
    and all where there is no word."""
    if not words:
        return {}
    texts, starts_s, ends_s, posteriors = zip(*words, strict=True)
    known = [posterior for posterior in posteriors if not isnan(posterior)]
    is_timed = not any(map(isnan, starts_s + ends_s))
    length_s = max(ends_s) - starts_s[0] if is_timed else 0.0
    scores = {ENGLISH_SHARE: sum(text.lower() in english_words() for text in texts) / len(texts)}
    if known:
        scores[POSTERIOR] = sum(known) / len(known)
    if length_s > 0:
        scores[WORDS_PER_SECOND] = len(texts) / length_s
    return scores


def word_list() -> str:
    """Where the English words come from, with the version."""
    return f"pyspellchecker {version('pyspellchecker')}, en"


@functools.lru_cache(maxsize=1)
def english_words() -> Collection[str]:
    """Inflected forms, lower case: those of the word list that pyspellchecker brings."""
    from spellchecker import SpellChecker

    return frozenset(SpellChecker(language="en").word_frequency.words())
