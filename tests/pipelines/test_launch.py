"""Which shards ``--shards`` names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import UsageError
from pipelines.launch import chosen_shards
from pipelines.shard_list import shard_list


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, range(50)),
        ("0:3", [0, 1, 2]),
        (":2", [0, 1]),
        ("48:", [48, 49]),
        ("48:100", [48, 49]),
        (":", range(50)),
        ("7", [7]),
        ("3,17,40:44", [3, 17, 40, 41, 42, 43]),
        ("17,3", [3, 17]),
        ("1:4, 2:6,5", [1, 2, 3, 4, 5]),
    ],
)
def test_numbers_and_ranges(text: str | None, chosen: list[int]) -> None:
    assert list(chosen_shards(50, text)) == list(chosen)


@pytest.mark.parametrize(
    "text", ["", "x", "3,", ",3", "3;4", "-1", "1-4", "1:2:3", "1.5", "\u0663"]
)
def test_what_is_no_list_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write numbers and ranges, e.g. 3,17,40:44"):
        chosen_shards(50, text)


@pytest.mark.parametrize(("text", "part"), [("3,50", "50"), ("5:5", "5:5"), ("50:60,1", "50:60")])
def test_a_part_that_names_no_shard_is_named(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"{part} names no shard .*0 to 49"):
        chosen_shards(50, text)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_a_list_that_is_printed_is_read_back(numbers: set[int]) -> None:
    assert list(chosen_shards(41, shard_list(numbers))) == sorted(numbers)
