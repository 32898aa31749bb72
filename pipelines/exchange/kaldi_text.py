"""Words as a Kaldi ``text`` can hold them."""

import re

# Symbols of Kaldi's own in words.txt, which validate_data_dir.sh refuses wherever they stand alone.
_SYMBOLS = re.compile(r"(?<!\w)(?:<s>|</s>|#0)(?!\w)")


def kaldi_text(text: str) -> str:
    """``text`` with single spaces, without unprintable characters and without Kaldi's symbols."""
    plain = " ".join(text.split())
    printable = "".join(char for char in plain if char.isprintable())
    while found := _SYMBOLS.search(printable):  # taking one out may leave another
        printable = printable[: found.start()] + " " + printable[found.end() :]
    return " ".join(printable.split())
