"""JSON that Python's parser stumbles over."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.plain_json import parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(value=VALUES, ascii_only=st.booleans())
def test_what_was_written_comes_back(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_json(text) == parse_json(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '"\\ud800"', '{"\\uDFFF": 1}', "", "{", "\0"],
)
def test_all_else_is_a_value_error(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError):
            parse_json(form)


def test_bytes_in_no_encoding_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        parse_json(b'"\xff\xfe\xff"')
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
