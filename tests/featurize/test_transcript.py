"""The normaliser: the table of docs/text.md, numbers against another reading, random text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.transcript import spoken_words

PAGE = Path(__file__).parents[2] / "docs/text.md"
# A rule of the table; a transcript may hold a backtick itself.
ROWS = re.findall(r"^\| (.+?) \| `(.+)` \| `(.*)` \|$", PAGE.read_text(encoding="utf-8"), re.M)
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
UNITS = f"{ONES} fifteen sixteen seventeen eighteen nineteen".split(" ")
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
POWERS = {10**9: "billion", 10**6: "million", 1000: "thousand", 100: "hundred"}


def test_the_page_has_all_its_rules() -> None:
    assert len(ROWS) == sum(line.startswith("| ") for line in PAGE.read_text().splitlines()) - 1


@pytest.mark.parametrize(("written", "words"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_a_rule_of_the_page(written: str, words: str) -> None:
    assert " ".join(spoken_words(written)) == words


def said(number: int) -> str:
    """English numerals by the school's rule, written here once more."""
    for power, name in (
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
        (100, "hundred"),
    ):
        if number >= power:
            rest = f" {said(number % power)}" if number % power else ""
            return f"{said(number // power)} {name}{rest}"
    if number < 20:
        return UNITS[number]
    return TENS[number // 10] + (f" {UNITS[number % 10]}" if number % 10 else "")


@given(st.integers(0, 10**12 - 1))
def test_any_number_is_said_as_at_school(number: int) -> None:
    assert " ".join(spoken_words(f"{number:,}")) == said(number)


@given(st.text() | st.text(alphabet="0123456789.,:%$£'- sthndrd(<[>])!&a"))
def test_words_stay_in_the_alphabet_and_give_themselves(text: str) -> None:
    words = spoken_words(text)
    assert all(re.fullmatch(r"[a-z]+(?:'[a-z]+)*", word) for word in words)
    assert spoken_words(" ".join(words)) == words


@given(st.text(alphabet="0123456789.,:-$", max_size=200))
def test_a_row_of_digits_is_a_bounded_row_of_words(text: str) -> None:
    assert len(spoken_words(text)) <= 6 * len(text)
