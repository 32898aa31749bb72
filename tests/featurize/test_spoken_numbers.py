"""Numbers are said as inflect says them, and read within a text as people read them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurize.spoken_numbers import cardinal, ordinal, say, say_numbers

inflect = pytest.importorskip("inflect")
ENGINE = inflect.engine()


def plain(said: str) -> str:
    return said.replace("-", " ")


@given(st.integers(0, 10**12 - 1) | st.integers(0, 10_000))
@example(0)
@example(100)
@example(1_000_000_000)
def test_cardinals_and_ordinals_are_those_of_inflect(number: int) -> None:
    assert cardinal(number) == plain(ENGINE.number_to_words(number, andword="", comma=""))
    said = ENGINE.number_to_words(f"{number}th", andword="", comma="")
    assert ordinal(str(number)) == plain(said)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1099", "one thousand ninety nine"),
        ("1100", "eleven hundred"),
        ("1905", "nineteen oh five"),
        ("1999", "nineteen ninety nine"),
        ("2009", "two thousand nine"),
        ("2010", "twenty ten"),
        ("2100", "two thousand one hundred"),
        ("1,999", "one thousand nine hundred ninety nine"),
        ("0", "zero"),
        ("00", "zero zero"),
        ("0.50", "zero point five zero"),
        ("1234567890123", "one two three four five six seven eight nine zero one two three"),
    ],
)
def test_years_decimals_and_strings_of_digits(number: str, said: str) -> None:
    assert say(number) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$0.50 $1.01 $2", "fifty cents one dollar one cent two dollars"),
        ("£1.01 €3.20 ¥7 1¢", "one pound one penny three euros twenty cents seven yen one cent"),
        ("$1.5 million £3k $5bn", "one point five million dollars three thousand pounds "
         "five billion dollars"),
        ("$1,000.5", "one thousand point five dollars"),
        ("$.50 $0", "fifty cents zero dollars"),
        ("13:00 0:05 12:00pm", "thirteen hundred zero oh five twelve p m"),
        ("24:00 1:60", "twenty four : zero zero one : sixty"),
        ("10s 90's 1910s", "tens nineties nineteen tens"),
        ("1,000th 12th 113th", "one thousandth twelfth one hundred thirteenth"),
        ("1/4 2/4 11/2", "one quarter two / four eleven / two"),
        ("well-5 -5 -.5", "well - five minus five minus point five"),
        ("1,2,3 12,34", "one , two , three twelve , thirty four"),
    ],
)  # fmt: skip
def test_numbers_in_a_text(text: str, said: str) -> None:
    assert " ".join(re.findall(r"[a-z']+|[^\sa-z']", say_numbers(text))) == said


@given(st.text("0123456789.,:/$£€¥¢%stndrhapmkb'- "))
def test_no_digit_is_left(text: str) -> None:
    assert not set(say_numbers(text)) & set("0123456789")
