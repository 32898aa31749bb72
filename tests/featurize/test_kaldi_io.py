"""Kaldi's tables and archives: what is refused and where; matrices by another reader."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import CorpusError
from featurize.kaldi_io import read_columns, read_table, seconds_text, table_text, write_ark

BAD = {
    b"a 1\nb 2": "2: the last line has no end",
    b"a 1\r\nb 2\r\n": "1: a Windows line end",
    b"a 1\n\nb 2\n": "2: an empty line",
    b"a 1\n b 2\n": "2: an empty line, or a blank",
    b"a 1\na 2\n": "2: 'a' occurs twice",
    b"b 1\na 2\n": "2: 'a' comes after 'b'",
    b"a 1\nb \x00\n": "2: a control character",
    b"a \xff\n": "1: not UTF-8",
    b"\xff a\n": "1: not UTF-8",
}


@pytest.mark.parametrize("content", BAD)
def test_a_bad_line_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}:{BAD[content]}")


def test_columns_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "utt2spk"
    path.write_text("a x\nb x y\n")
    with pytest.raises(CorpusError, match="utt2spk:2: 'b' has 2 columns after it, not 1"):
        read_columns(path, "utterance speaker")
    path.write_text("a x\nb\ty\n")
    assert read_columns(path, "utterance speaker") == {"a": ["x"], "b": ["y"]}
    with pytest.raises(CorpusError, match="cannot be read"):
        read_table(tmp_path)


keys = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1).filter(
    lambda key: len(key.split()) == 1
)
values = st.text(st.characters(blacklist_categories=("Cs", "Cc"))).map(str.strip)


@given(st.dictionaries(keys, values, min_size=1))
@settings(deadline=None)
def test_a_table_comes_back_and_is_as_sort_wants_it(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "table"
    path.write_bytes(table_text(table).encode())
    assert read_table(path) == table
    keys_alone = "".join(f"{key}\n" for key in read_table(path)).encode()
    checked = ["sort", "-u", "-C"]
    assert subprocess.run(checked, input=keys_alone, env={"LC_ALL": "C"}).returncode == 0


@given(
    st.binary() | st.lists(st.sampled_from([b"a", b"b", b" ", b"\n", b"\r", b"\t"])).map(b"".join)
)
@settings(deadline=None)
def test_any_bytes_are_a_table_or_the_projects_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except CorpusError:
        return
    assert list(table) == sorted(table, key=str.encode)
    assert len(table) == content.count(b"\n")


@given(st.floats(0, 1e9))
def test_seconds_keep_every_digit_and_have_no_exponent(seconds: float) -> None:
    assert float(seconds_text(seconds)) == seconds
    assert set(seconds_text(seconds)) <= set("0123456789.")


def matrix_at(line: str) -> np.ndarray:
    """What a line of feats.scp points to, by the format of kaldi-matrix.cc: no library of ours."""
    path, _, offset = line.rpartition(":")
    content = Path(path).read_bytes()[int(offset) :]
    assert content[:5] == b"\0BFM "
    one, n_rows, other, n_columns = struct.unpack("<bibi", content[5:15])
    assert one == other == 4
    return np.frombuffer(content[15:], "<f4", n_rows * n_columns).reshape(n_rows, n_columns)


def test_matrices_lie_where_the_scp_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrices = {f"\u00fc{n}": rng.normal(size=(n, 3)).astype(np.float16) for n in (1, 7, 40)}
    path = tmp_path / "a b.ark"
    lines = write_ark(path, matrices.items(), named=path)
    assert lines.keys() == matrices.keys()
    for key, line in lines.items():
        np.testing.assert_array_equal(matrix_at(line), matrices[key].astype(np.float32))
