"""The cache of word vectors: read once, shared, and never trusted when damaged."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize import glove_cache
from featurize.errors import TextError
from featurize.glove import Glove, identity
from featurize.glove_cache import cache_folder, is_cached, open_vocabulary, source_digest

LINES = "the 1 2 3\nof 4 5 6\nand 7 8 9\n"


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "glove.txt").write_text(LINES)
    return str(tmp_path / "glove.txt")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse_reading(monkeypatch) -> None:
    def refuse(source: str) -> None:
        raise AssertionError("the source was read again")

    monkeypatch.setattr(glove_cache, "read_rows", refuse)


def test_is_read_once(source: str, cache: Path, monkeypatch) -> None:
    assert not is_cached(source, cache)
    first = open_vocabulary(source, cache)
    assert is_cached(source, cache)
    refuse_reading(monkeypatch)
    again = open_vocabulary(source, cache, check=True)
    np.testing.assert_array_equal(again.vectors, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert again.words() == ["the", "of", "and"] and again.digest == first.digest
    assert [again.row(word) for word in ("and", "the", "of", "off", "")] == [2, 0, 1, None, None]
    assert isinstance(again.vectors.base, np.memmap) and not again.vectors.flags.writeable


def test_follows_the_content_not_the_name(source: str, cache: Path, monkeypatch) -> None:
    open_vocabulary(source, cache)
    copy = Path(source).with_name("other.txt")
    copy.write_text(LINES)
    with monkeypatch.context() as patch:
        refuse_reading(patch)
        open_vocabulary(str(copy), cache)
    status = os.stat(source)
    Path(source).write_text(LINES.replace("1", "5"))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))  # as old, and as long
    assert open_vocabulary(source, cache).vectors[0, 0] == 5


def test_a_digest_is_remembered_only_of_a_file_that_rests(
    source: str, cache: Path, monkeypatch
) -> None:
    digest = source_digest(source, cache)
    assert not cache.exists()  # changed just now
    monkeypatch.setattr(glove_cache, "SETTLED_S", -1.0)
    assert source_digest(source, cache) == digest
    monkeypatch.setattr(glove_cache, "_file_digest", lambda path: "read again")
    assert source_digest(source, cache) == digest
    Path(source).write_text(LINES)
    assert source_digest(source, cache) == "xxh3_128:read again"


@pytest.mark.parametrize("name", [*glove_cache.ARRAYS, "json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_what_is_damaged_is_made_again(source: str, cache: Path, name: str, damage: str) -> None:
    open_vocabulary(source, cache)
    good = contents(cache)
    (path,) = cache.glob(f"*.{name}" if name == "json" else f"*.{name}.npy")
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed if damage == "flip" else changed[:-1])
    if damage == "gone":
        path.unlink()
    vocabulary = open_vocabulary(source, cache, check=True)
    assert [vocabulary.row(word) for word in ("the", "of", "and", "it")] == [0, 1, 2, None]
    assert contents(cache) == good


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), unique=True))
def test_finds_every_word_even_where_all_digests_are_one(words: list[str]) -> None:
    rows = [(word, np.array([k, 1], np.float32)) for k, word in enumerate(words)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(glove_cache, "read_rows", lambda source: iter(rows))
        patch.setattr(glove_cache, "source_digest", lambda source, folder: "same")
        patch.setattr(glove_cache.xxhash, "xxh3_64_intdigest", lambda raw: len(raw) % 2)
        if not words:
            with pytest.raises(TextError, match="holds no word vectors"):
                open_vocabulary("x.txt", Path(folder))
            return
        vocabulary = open_vocabulary("x.txt", Path(folder))
        assert [vocabulary.row(word) for word in words] == list(range(len(words)))
        assert vocabulary.row("absent") is None and vocabulary.row("\ud800") is None


def start(code: str, *words: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


SLOWLY = """
import sys, time
from featurize import glove_cache
read_rows = glove_cache.read_rows
def slow_rows(source):
    for row in read_rows(source):
        time.sleep(0.2)
        yield row
glove_cache.read_rows = slow_rows
print(glove_cache.open_vocabulary(sys.argv[1]).digest)
"""


def test_processes_that_build_at_once_do_no_harm(source: str, tmp_path: Path) -> None:
    together = [start(SLOWLY, source, TRIMODAL_CACHE=str(tmp_path / "c")) for _ in range(4)]
    printed = {process.communicate()[0] for process in together}
    assert printed == {open_vocabulary(source, tmp_path / "c" / "glove").digest + "\n"}
    alone = open_vocabulary(source, tmp_path / "alone")
    assert contents(tmp_path / "c" / "glove") == contents(tmp_path / "alone")
    assert alone.words() == ["the", "of", "and"]


def test_a_builder_that_was_killed_leaves_nothing_that_counts(
    source: str, tmp_path: Path, wait_until: Callable
) -> None:
    folder = tmp_path / "c" / "glove"
    process = start(SLOWLY, source, TRIMODAL_CACHE=str(tmp_path / "c"))
    wait_until(lambda: folder.is_dir() and list(folder.glob(".*.vectors.npy.*.tmp")))
    process.kill()
    process.communicate()
    assert all(path.name.startswith(".") for path in folder.iterdir())
    assert open_vocabulary(source, folder).row("and") == 2
    assert len(list(folder.iterdir())) == len(glove_cache.ARRAYS) + 1


@pytest.fixture
def wait_until() -> Callable:
    import time

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait


FULL = """
import resource, signal, sys
from featurize.errors import TextError
from featurize.glove import Glove
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Glove.open(sys.argv[1])
except TextError as error:
    print(error)
"""


def test_no_room_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("".join(f"w{k} {k} 0 1\n" for k in range(20_000)))
    process = start(FULL, str(path), TRIMODAL_CACHE=str(tmp_path / "c"))
    message, trace = process.communicate()
    assert not trace and message.count("\n") == 1
    assert "cannot be written (File too large); make room there, or set TRIMODAL_CACHE" in message
    assert not list((tmp_path / "c" / "glove").iterdir())


def test_a_cache_that_cannot_be_made_is_one_clear_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"glove.txt/c: .*\(Not a directory\).*TRIMODAL_CACHE"):
        Glove.open(source, cache=Path(source) / "c")
    assert identity(source, "zero")["vectors"].startswith("xxh3_128:")  # needs no cache


def test_where_the_cache_is(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIMODAL_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/a/glove")
    monkeypatch.delenv("TRIMODAL_CACHE")
    assert cache_folder() == Path("/b/trimodal/glove")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert cache_folder() == Path("/c/.cache/trimodal/glove")


OPENED = """
import json, resource, sys, time
from featurize.glove import Glove
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, started = peak(), time.perf_counter()
glove = Glove.open(sys.argv[1])
words = [f"w{k}" for k in range(0, 200_000, 2_000)]
assert (glove(words)[:, 0] == [int(word[1:]) for word in words]).all()
print(json.dumps({"s": time.perf_counter() - started, "kb": peak() - before}))
"""


def test_opening_is_fast_and_takes_little_memory(tmp_path: Path) -> None:
    """200,000 words of 50: 40 MB of vectors, and 30 MB would be their dict."""
    path, cache = tmp_path / "large.txt", str(tmp_path)
    zeros = " 0" * 49
    path.write_text("".join(f"w{k} {k}{zeros}\n" for k in range(200_000)))
    built, opened = (
        json.loads(start(OPENED, str(path), TRIMODAL_CACHE=cache).communicate()[0])
        for _ in range(2)
    )
    assert opened["s"] < built["s"] / 5
    assert opened["kb"] < 8_000
