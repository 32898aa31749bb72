"""Phones, words, their frequencies and their pronunciations by espeak-ng."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from featurize.errors import UsageError
from pipelines.demo.speech import Voice, pronounce

SILENCE = "sil"
# espeak-ng's symbols (its English voices use about 70) folded into 50 classes that sound alike.
PHONES = (
    SILENCE,
    *("p", "b", "t", "d", "k", "g", "t#", "tS", "dZ", "f", "v", "T", "D", "s", "z", "S", "Z"),
    *("h", "m", "n", "N", "l", "r", "w", "j"),
    *("i:", "I", "E", "a", "aa", "A:", "0", "O:", "U", "u:", "V", "3:", "3", "@", "@L"),
    *("eI", "aI", "aU", "OI", "oU", "i@", "e@", "U@", "A@", "O@", "aI@"),
)
_FOLDED = {
    **{"i": "i:", "I2": "I", "I#": "I", "a#": "@", "@-": "@", "@2": "@", "@5": "@"},
    **{"O": "0", "O2": "0", "o@": "O@", "i@3": "i@", "aI3": "aI@", "aI2": "aI", "VR": "3:"},
    **{"IR": "3:", "r-": "r", "t2": "t", "t[": "t", "?": "t", "n-": "n", "x": "k", "w#": "w"},
}
_STRESS = "',%="
_NOT_A_SOUND = {"", ";", "|", "||"}

N_WORDS = 4000
_WORD_LIST = Path(__file__).parent / "words.txt"
DIALECTS = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp")
_DEMO_SHARE = 0.25  # of the unigram's mass, for the words the demo's speakers use


def phone_of(symbol: str) -> str | None:
    """The phone of an espeak-ng symbol; None for marks that are no sound of their own."""
    bare = symbol.lstrip(_STRESS)
    if bare.startswith(("_", "(")):
        return SILENCE
    if bare in _NOT_A_SOUND:
        return None
    phone = _FOLDED.get(bare, bare)
    if phone not in PHONES:
        raise UsageError(f"espeak-ng's symbol {symbol!r} has no phone; add it to lexicon.py")
    return phone


def phones_of(symbols: Iterable[str]) -> tuple[str, ...]:
    """Phones of a word, pauses left out."""
    phones = (phone_of(symbol) for symbol in symbols)
    return tuple(phone for phone in phones if phone not in (None, SILENCE))


def common_words() -> list[str]:
    """The N_WORDS commonest alphabetic words, by the order of GloVe 6B (words.txt)."""
    words = _WORD_LIST.read_text(encoding="utf-8").split()
    if len(words) != N_WORDS or not all(re.fullmatch("[a-z]+", word) for word in words):
        raise UsageError(f"{_WORD_LIST.name} should hold {N_WORDS} lower-case words, one a line")
    return words


def word_probabilities(common: Sequence[str], demo: Sequence[str]) -> dict[str, float]:
    """Unigram over both lists: Zipf's law by rank, mixed with an even share for the demo."""
    weights = {word: 1 / (rank + 2.7) for rank, word in enumerate(common, start=1)}
    total = sum(weights.values())
    mixed = {word: (1 - _DEMO_SHARE) * weight / total for word, weight in weights.items()}
    for word in demo:
        mixed[word] = mixed.get(word, 0.0) + _DEMO_SHARE / len(demo)
    return mixed


def pronunciations(
    words: Sequence[str], sentences: Sequence[str]
) -> dict[str, set[tuple[str, ...]]]:
    """Phones of each word alone in every dialect, and as it is said inside the sentences.

    The sentences bring the weak forms ("a", "to"). Where espeak-ng joins words its groups cannot
    be told apart, and the sentence is passed over.
    """
    lexicon: dict[str, set[tuple[str, ...]]] = {word: set() for word in words}
    texts = [*words, *sentences]
    for dialect in DIALECTS:
        for text, groups in zip(texts, pronounce(texts, Voice(dialect)), strict=True):
            spoken = text.split()
            if len(groups) != len(spoken):
                continue
            for word, symbols in zip(spoken, groups, strict=True):
                phones = phones_of(symbols)
                if word in lexicon and phones:
                    lexicon[word].add(phones)
    return {word: found for word, found in lexicon.items() if found}
