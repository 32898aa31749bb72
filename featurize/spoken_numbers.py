"""Numbers as they are said: "21" -> "twenty one", "$5.50" -> "five dollars fifty cents".

American, as the transcripts of ASR corpora have them: no "and", no hyphens. Written out here and
not by a library: inflect takes 1.5 s to import in every worker, num2words wants docopt, which
nobody keeps, and neither reads a text. A test compares with inflect.
"""

import re

ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
TENS = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
OCLOCK = "o'clock"
LONGEST = 12  # digits; longer ones are names, and are read digit by digit
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
FRACTIONS = {
    "1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter",
    "3/4": "three quarters",
}  # fmt: skip
UNITS = {  # one, several, a hundredth, hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}
LETTER_SCALES = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion"}

WHOLE = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+"
NUMBER = rf"(?:{WHOLE})(?:\.[0-9]+)*|(?<![a-z])\.[0-9]+"
ORDINAL = re.compile(rf"(?<![0-9.])({WHOLE})(?:st|nd|rd|th)\b")
DECADE = re.compile(r"'?(?<![0-9.,$£€¥])([1-9](?:[0-9]{2})?0)'?s\b")
TIME = re.compile(r"(?<![0-9:.,])([01]?[0-9]|2[0-3]):([0-5][0-9])(?![0-9:])(\s*[ap]\.?m\b)?")
HALF_DAY = re.compile(r"(?<=[0-9])\s*([ap])\.?m\b")
MONEY = re.compile(
    rf"([$£€¥])\s?({NUMBER})"
    r"(?:\s?((?:hundred|thousand|(?:m|b|tr)illion)s?\b)|(k|m|bn?)(?![a-z0-9]))?"
)
CENTS = re.compile(rf"({NUMBER})\s?¢")
FRACTION = re.compile(r"(?<![0-9/.,])([123]/[234])(?![0-9/])")
MINUS = re.compile(r"(?<!\S)-(?=\.?[0-9])")
PLAIN = re.compile(NUMBER)


def say_numbers(text: str) -> str:
    """Lower-case text with its numbers, sums of money, times and decades written as words.

    Only the digits 0 to 9 count. A word that was made has a space on either side.
    """
    text = ORDINAL.sub(lambda m: f" {ordinal(_whole(m[1]))} ", text)
    text = DECADE.sub(lambda m: f" {_plural(say(m[1]))} ", text)
    text = TIME.sub(_time, text)
    text = HALF_DAY.sub(r" \1 m ", text)
    text = MONEY.sub(_money, text)
    text = CENTS.sub(lambda m: f" {say(m[1])} {UNITS['$'][2 + (m[1] != '1')]} ", text)
    text = FRACTION.sub(lambda m: f" {FRACTIONS.get(m[1], m[1])} ", text)
    text = MINUS.sub(" minus ", text)
    return PLAIN.sub(lambda m: f" {say(m[0])} ", text)


def say(number: str) -> str:
    """A number of digits, commas between thousands, and points, as it is said.

    Four digits from 1100 to 1999 and from 2010 to 2099 are said as years are. What begins with 0,
    or is longer than 12 digits, is said digit by digit, as is all that follows a point.
    """
    whole, *decimals = number.split(".")
    parts = [_say_whole(whole)] if whole else []
    return " ".join(parts + [f"point {_digits(part)}" for part in decimals])


def cardinal(number: int) -> str:
    """0 to 10**12 - 1: "one hundred twenty one"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens = TENS[number // 10 - 2]
        return f"{tens} {ONES[number % 10]}" if number % 10 else tens
    size, name = next(scale for scale in SCALES if number >= scale[0])
    said = f"{cardinal(number // size)} {name}"
    return f"{said} {cardinal(number % size)}" if number % size else said


def ordinal(whole: str) -> str:
    """ "21" -> "twenty first", of digits alone."""
    *before, last = (_digits(whole) if len(whole) > LONGEST else cardinal(int(whole))).split()
    usual = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, ORDINALS.get(last, usual)])


def _say_whole(whole: str) -> str:
    digits = _whole(whole)
    if len(digits) > LONGEST or (digits[0] == "0" and len(digits) > 1):
        return _digits(digits)
    number = int(digits)
    is_year = len(whole) == 4 and (1100 <= number < 2000 or 2010 <= number < 2100)
    return _year(number) if is_year else cardinal(number)


def _year(number: int) -> str:
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def _time(match: re.Match[str]) -> str:
    hours, minutes = int(match[1]), int(match[2])
    half = f" {match[3].strip()[0]} m" if match[3] else ""
    if minutes:
        said = f"{cardinal(hours)} {'oh ' if minutes < 10 else ''}{cardinal(minutes)}"
    elif half:
        said = cardinal(hours)
    else:
        said = f"{cardinal(hours)} {'hundred' if hours > 12 else OCLOCK}"
    return f" {said}{half} "


def _money(match: re.Match[str]) -> str:
    sign, number, scale, letter = match.groups()
    one, several, hundredth, hundredths = UNITS[sign]
    if scale or letter:
        return f" {say(number)} {scale or LETTER_SCALES[letter]} {several} "
    whole, _, decimals = number.partition(".")
    if len(decimals) != 2 or not decimals.isdecimal():
        return f" {say(number)} {one if number == '1' else several} "
    parts = [f"{_say_whole(whole)} {one if whole == '1' else several}"] if _value(whole) else []
    n_cents = int(decimals)
    if n_cents or not parts:
        parts.append(f"{cardinal(n_cents)} {hundredth if n_cents == 1 else hundredths}")
    return f" {' '.join(parts)} "


def _value(whole: str) -> bool:
    """Whether digits stand for more than nothing."""
    return bool(whole.strip("0,"))


def _whole(digits: str) -> str:
    return digits.replace(",", "")


def _digits(digits: str) -> str:
    return " ".join(ONES[int(digit)] for digit in digits)


def _plural(said: str) -> str:
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"
