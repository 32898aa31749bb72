"""Words as they are spoken, from a transcript as it is written: for characters to be recognised
and for word vectors alike. The rules are a table in docs/text.md, which the tests read.
"""

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import inflect

NORMALISER = 2  # of these rules: a change here needs another

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"}
)
# Symbols of transcripts that are no words: <UNK>, [noise], {breath}, !SIL, and (laughter), but not
# a remark of several words in brackets, which is spoken.
_SYMBOLS = re.compile(
    r"<[^<>\s]*>|\[[^\[\]]*\]|\{[^{}]*\}|\(\s*[^()\s]*\s*\)|(?<!\S)![A-Z_]+(?!\S)"
)
# wor- and -ord: what was broken off is no word. Not a dash between words, nor -5.
_FRAGMENTS = re.compile(r"(?<!\S)(?:[^\W\d_]+(?:'[^\W\d_]+)?-(?!\S)|-[^\W\d_]+(?!\S))")
_MONEY = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yen"}
_AMOUNT = re.compile(
    r"([$£€¥])\s?(\d+(?:,\d{3})*(?:\.\d+)?)(?:\s(thousand|million|billion|trillion)\b)?"
)
_NUMBER = re.compile(
    r"(?P<time>\b\d{1,2}:[0-5]\d\b)"
    r"|(?P<ordinal>\b(?:\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b)"
    r"|(?P<decade>\b\d{1,2}0'?s\b|\b\d{3}0'?s\b)"
    r"|(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?)(?P<percent>\s?%)?"
)
_LONGEST = 15  # digits that are one number; more are read out one by one
_SEPARATORS = re.compile(r"[\s/\-\u2010-\u2015_.,;:!?\u2026]+")


def spoken_words(text: str) -> list[str]:
    """The words of a transcript in the alphabet a-z and apostrophe, lower case.

    What has no letter or number in it is left out. The words, joined by spaces, give themselves.
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).translate(_APOSTROPHES)
    text = _FRAGMENTS.sub(" ", _SYMBOLS.sub(" ", text))
    text = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS)).lower()
    text = "".join(char for char in text if not unicodedata.combining(char))
    text = _NUMBER.sub(_said, _AMOUNT.sub(_amount_said, text)).replace("&", " and ")
    words = (re.sub(r"[^a-z']", "", word) for word in _SEPARATORS.split(text))
    return [word for word in (re.sub(r"'+", "'", word).strip("'") for word in words) if word]


def _amount_said(found: re.Match[str]) -> str:
    """$5.50 -> 5 dollars 50 cents; its numbers are said afterwards."""
    sign, amount, power = found.groups()
    whole, _, part = amount.partition(".")
    unit = _MONEY[sign]
    if power or (part and len(part) != 2):
        return f" {amount} {power or ''} {_plural(unit)} "
    several = unit if whole == "1" else _plural(unit)
    smaller = "pence" if unit == "pound" else "cents"
    return f" {whole} {several} " + (f"{int(part)} {smaller} " if part.strip("0") else "")


def _said(found: re.Match[str]) -> str:
    """One number, with spaces round it so that it parts from letters: mp3 -> mp three."""
    kind = next(name for name in ("time", "ordinal", "decade", "number") if found[name])
    text = found[kind].replace(",", "")
    if kind == "time":
        said = _time(*text.split(":"))
    elif kind == "ordinal":
        said = _words(_engine().ordinal(_number(text[:-2]).replace(" and ", " ")))
    elif kind == "decade":
        said = _plural(_year(text.rstrip("s'")) or _number(text.rstrip("s'")))
    else:
        year = _year(text) if "," not in found[kind] and not found["percent"] else None
        said = year or _number(text)
    return f" {said}{' percent' if found['percent'] else ''} "


def _number(digits: str) -> str:
    """A whole number or a decimal fraction."""
    whole, point, part = digits.partition(".")
    if len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0"):
        whole_said = _one_by_one(whole)
    else:
        whole_said = _words(_engine().number_to_words(whole, andword=""))
    return f"{whole_said} point {_one_by_one(part)}" if point else whole_said


def _year(digits: str) -> str | None:
    """1999 and 2015 in pairs, 1905 with oh, 1900 in hundreds; None for what is no such year."""
    if not re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", digits):
        return None
    first, last = _number(digits[:2]), int(digits[2:])
    if last == 0:
        return f"{first} hundred"
    return f"{first} oh {_number(str(last))}" if last < 10 else f"{first} {_number(str(last))}"


def _time(hour: str, minute: str) -> str:
    if minute == "00":
        return f"{_number(str(int(hour)))} o'clock"
    said = _number(str(int(minute)))
    return f"{_number(str(int(hour)))} {'oh ' if minute[0] == '0' else ''}{said}"


def _one_by_one(digits: str) -> str:
    return " ".join(_words(_engine().number_to_words(digit)) for digit in digits)


def _plural(text: str) -> str:
    return _engine().plural_noun(text)


def _words(text: object) -> str:
    """What inflect says, without its commas and hyphens."""
    return re.sub(r"[\s,-]+", " ", str(text)).strip()


@functools.lru_cache(maxsize=1)
def _engine() -> "inflect.engine":
    import inflect

    return inflect.engine()
