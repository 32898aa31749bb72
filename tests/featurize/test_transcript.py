"""Transcripts become words of a-z and apostrophe, by the rules that docs/features.md shows."""

import re
import string
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurize.transcript import CLITICS, is_no_word, normalise_transcript
from model.config import ALPHABET

DOCS = Path(__file__).resolve().parents[2] / "docs" / "features.md"
ROW = re.compile(
    r"^\| (?P<rule>[^|]+) \| `(?P<text>[^|]+)` \| `(?P<said>[a-z' ]+)` \|$", re.MULTILINE
)
RULES = [match.groups() for match in ROW.finditer(DOCS.read_text(encoding="utf-8"))]
TRAPS = st.lists(
    st.sampled_from([
        "n't", "'s", "'", "\u2019", "-", "\u2013", " ", "(", ")", "[", "]", "<", ">", "*",
        "laughter",
        "$", "\u00a3", "%", ".", ",", ":", "0", "1", "17", "30", "1984", "s", "th", "am", "Mr", "a",
        "k", "million", "/", "\u00bd", "\u2470", "\u00e9", "\u00df", "\u0130", "\u200b", "#",
        "!SIL",
    ])
).map("".join)  # fmt: skip


def test_the_table_is_read() -> None:
    table = (
        DOCS.read_text(encoding="utf-8").partition("| rule | from | to |")[2].partition("\n\n")[0]
    )
    assert len(RULES) == len(table.splitlines()) - 2 >= 25


@pytest.mark.parametrize(("rule", "text", "said"), RULES)
def test_a_rule_does_what_the_docs_say(rule: str, text: str, said: str) -> None:
    assert " ".join(normalise_transcript(text)) == said, rule


@settings(max_examples=1000)
@given(st.text() | TRAPS | st.text(string.printable))
def test_words_stay_in_the_alphabet_are_stable_and_bounded(text: str) -> None:
    words = normalise_transcript(text)
    assert all(word and set(word) <= set(ALPHABET) - {" "} for word in words)
    assert normalise_transcript(" ".join(words)) == words
    assert len(" ".join(words)) <= 20 * len(text)


@given(st.text("mrsdnt'") | st.sampled_from(["mr", "etc", "vs", "n't", "it's"]))
@example("'n't")
def test_a_word_alone_is_read_as_among_others(word: str) -> None:
    clitics = (word, word.strip("'"))  # as it is, or without quotation marks
    assert normalise_transcript(f"so {word} so") in (
        ["so", *normalise_transcript(word), "so"],
        *([f"so{clitic}", "so"] for clitic in clitics),
    )


@given(st.text("abc'", min_size=1))
def test_plain_words_are_left_alone(word: str) -> None:
    expected = word.strip("'")
    assert normalise_transcript(word) == ([expected] if expected else [])


@pytest.mark.parametrize("clitic", sorted(CLITICS))
def test_a_clitic_is_joined_to_a_word_and_is_none_by_itself(clitic: str) -> None:
    assert normalise_transcript(f"It {clitic} {clitic}") == [f"it{clitic}{clitic}"]
    assert normalise_transcript(f"'{clitic[1:]}' {clitic}") != []
    assert normalise_transcript(clitic) == [clitic.strip("'")]


def test_symbols_of_decoders_are_no_words() -> None:
    symbols = ["<UNK>", "<eps>", "<s>", "[noise]", "[unk]", "(laughter)", "!SIL", "{SMACK}"]
    assert all(map(is_no_word, symbols))
    assert not any(
        map(is_no_word, ["unk", "[laughter-yeah]", "yes!", "(umm)", "\uc548\ub155", "5"])
    )


def test_long_rubbish_takes_no_time() -> None:
    """No rule goes back over all that it read: that would take minutes."""
    for part in ["1,", "-a", "a-", "(", "*a", "[a", "1:0", "$1.", "'", "a.", "1 "]:
        begun_s = time.process_time()
        normalise_transcript(part * 20_000)
        assert time.process_time() - begun_s < 5, part
