"""What errors say, whatever they quote."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import LONGEST_MESSAGE, CorpusError, TrimodalError


@settings(deadline=None)
@given(text=st.text(st.characters(codec=None, exclude_categories=()), min_size=1))
def test_it_is_one_printable_line_and_survives_its_journey(text: str) -> None:
    error = pickle.loads(pickle.dumps(CorpusError(text)))
    assert str(error).isprintable() and str(error).encode()
    if text.isprintable():
        assert str(error) == text


def test_a_terminal_is_not_told_what_to_do() -> None:
    assert str(TrimodalError("id 'a\x1b[2J\nb\u2028c'")) == "id 'a\\x1b[2J\\nb\\u2028c'"


def test_a_megabyte_is_shortened_to_its_ends() -> None:
    said = str(TrimodalError(f"f.txt, line 7: {'x' * 1_000_000} is no number"))
    assert len(said) <= LONGEST_MESSAGE
    assert said.startswith("f.txt, line 7: xxx") and said.endswith("xxx is no number")
