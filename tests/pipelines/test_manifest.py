"""Utterances, ids, paths and the JSON Lines table."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import CorpusError, ShardError
from pipelines.manifest import (
    Reject,
    Table,
    Utterance,
    check_id,
    fingerprint,
    read_header,
    read_table,
    safe_path,
    write_table,
)

JSON_VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
FINITE = JSON_VALUES.filter(lambda v: not isinstance(v, float) or abs(v) != float("inf"))


@given(rows=st.lists(st.dictionaries(st.text(), FINITE, max_size=4), max_size=6))
def test_a_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "table.jsonl"
    write_table(path, Table("a stage", {"a": 1}, "f", rows, [Reject("x", "decode", "bad")]))
    table = read_table(path)
    assert table.rows == rows
    assert (table.stage, table.config, table.fingerprint, table.n) == (
        "a stage", {"a": 1}, "f", len(rows),
    )  # fmt: skip
    assert read_header(path).rejects == [Reject("x", "decode", "bad")]


def test_any_flipped_byte_of_a_table_is_found(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    rows = [{"id": f"u{i}", "text": "some words"} for i in range(5)]
    write_table(path, Table("decode", {}, "f", rows))
    original = path.read_bytes()
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ShardError):
            read_table(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]\n", b"\xff\xfe", b'{"format": "x"}\n'])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(content)
    for read in (read_table, read_header):
        with pytest.raises(ShardError):
            read(path)


def test_a_newer_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    write_table(path, Table("decode", {}, "f"))
    header = json.loads(path.read_text())
    path.write_text(json.dumps({**header, "version": 2}) + "\n")
    with pytest.raises(ShardError, match="newer"):
        read_table(path)


@given(st.text(min_size=1))
def test_an_allowed_id_stays_below_a_folder(utterance_id: str) -> None:
    try:
        check_id(utterance_id)
    except CorpusError:
        return
    resolved = Path("/corpus", utterance_id)
    assert resolved.is_relative_to("/corpus")
    assert ".." not in resolved.parts


@pytest.mark.parametrize("bad", ["", "/etc/x", "../x", "a/../b", "a//b", "a/.", "a\nb", "a\0b"])
def test_ids_that_climb_out_or_hold_control_characters_are_refused(bad: str) -> None:
    with pytest.raises(CorpusError):
        check_id(bad)


@pytest.mark.parametrize(
    "good", ["-3g5yACwYnA/4", "81406/0", "_0efYO/1", "id00012/21Uxsk56VDQ/00001"]
)
def test_the_corpora_s_odd_ids_are_allowed(good: str) -> None:
    assert check_id(good) == good


def test_paths_stay_in_the_corpus(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "loop").symlink_to(root / "loop")
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    assert safe_path(root, "a/b.mp4") == root.resolve() / "a" / "b.mp4"
    for bad in ("../secret", "link", "/etc/passwd", "a\0b", "loop"):
        with pytest.raises(CorpusError):
            safe_path(root, bad)


def test_an_utterance_survives_json() -> None:
    utterance = Utterance("a/1", "a", "a.m4a", None, 1.5, 2.0, "hi", (0.0,) * 7, "train")
    assert Utterance.from_row(json.loads(json.dumps(asdict(utterance)))) == utterance


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(CorpusError, match="colour"):
        Utterance.from_row({"id": "a", "colour": 1})


def test_a_fingerprint_depends_on_content_not_on_order() -> None:
    one = fingerprint("audio", {"a": 1, "b": 2}, ["x", "y"])
    assert one == fingerprint("audio", {"b": 2, "a": 1}, ["x", "y"])
    others = [
        fingerprint("video", {"a": 1, "b": 2}, ["x", "y"]),
        fingerprint("audio", {"a": 1, "b": 3}, ["x", "y"]),
        fingerprint("audio", {"a": 1, "b": 2}, ["y", "x"]),
    ]
    assert one not in others


def test_names_are_told_but_do_not_decide() -> None:
    config = {"model_name": "here", "digest": "d"}
    assert fingerprint("decode", config, []) == fingerprint("decode", {"digest": "d"}, [])
    assert fingerprint("decode", config, []) != fingerprint("decode", {"digest": "e"}, [])


@pytest.mark.parametrize("bad", ["x" * 300 + "/a.mp4", "a/" + "\u00e9" * 128, "\ud800.wav"])
def test_paths_that_no_file_can_have_are_refused(tmp_path: Path, bad: str) -> None:
    """They would otherwise end a stage with an error of the system, not cost one utterance."""
    with pytest.raises(CorpusError, match="file can have|name of a file"):
        safe_path(tmp_path, bad)
