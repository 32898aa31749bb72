"""Writing shards: atomic, bounded, the same bytes for the same content, nothing bad let in."""

import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import ShardError
from featurize.shards import ShardReader


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_same_content_gives_the_same_bytes(tmp_path, write_shard, compression: str) -> None:
    digests = set()
    for name in ("a.h5", "b.h5"):
        write_shard(tmp_path / name, [5, 0, 300_000, 9], 1, compression=compression)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_an_error_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, open_writer, make_utterance
) -> None:
    with pytest.raises(RuntimeError), open_writer(tmp_path / "s.h5") as writer:
        writer.add("a", make_utterance(300_000, 0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"features": np.full((2, 3), 1e9), "times_s": np.zeros((2, 2))}, "not finite"),
        ({"features": np.full((2, 3), np.nan), "times_s": np.zeros((2, 2))}, "not finite"),
        ({"features": np.zeros((2, 3)), "times_s": np.full((2, 2), np.inf)}, "not finite"),
        ({"features": np.zeros((2, 4)), "times_s": np.zeros((2, 2))}, r"\(2, 4\), want"),
        ({"features": np.zeros((2, 3))}, "times_s is missing"),
    ],
    ids=["overflows float16", "nan", "infinite time", "wrong width", "missing field"],
)
def test_bad_arrays_are_refused_and_the_shard_goes_on(
    tmp_path: Path, open_writer, make_utterance, arrays: dict[str, np.ndarray], reason: str
) -> None:
    path = tmp_path / "s.h5"
    with open_writer(path) as writer:
        with pytest.raises(ShardError, match=f"bad: .*{reason}"):
            writer.add("bad", arrays)
        writer.add("good", make_utterance(2, 0))
    with ShardReader(path) as shard:
        assert shard.ids == ["good"]
        assert shard.lengths("times_s").tolist() == [2]


def test_ids_twice_too_long_or_with_nul_are_refused(
    tmp_path: Path, open_writer, make_utterance
) -> None:
    path = tmp_path / "s.h5"
    with open_writer(path) as writer:
        writer.add("a", make_utterance(2, 0))
        for utterance_id, reason in (("a", "already"), ("b\0", "NUL"), ("c" * 2000, "1024 bytes")):
            with pytest.raises(ShardError, match=reason):
                writer.add(utterance_id, make_utterance(2, 0))
    with ShardReader(path) as shard:
        assert shard.ids == ["a"]


def test_columns_are_all_wanted_and_checked(tmp_path: Path, open_writer, make_utterance) -> None:
    columns = {"speaker": "text", "labels": ((2,), "float32")}
    with open_writer(tmp_path / "s.h5", columns=columns) as writer:
        for given, reason in (
            ({"speaker": "x"}, "column labels is missing"),
            ({"speaker": "x", "labels": [1]}, r"column labels is \(1,\)"),
            ({"speaker": "x" * 2000, "labels": [1, 2]}, "1024"),
        ):
            with pytest.raises(ShardError, match=reason):
                writer.add("a", make_utterance(1, 0), given)
    with ShardReader(tmp_path / "s.h5") as shard:
        assert len(shard) == 0 and shard.columns.dtype.names == ("speaker", "labels")


def test_unknown_times_may_be_nan(tmp_path: Path, open_writer) -> None:
    with open_writer(tmp_path / "s.h5") as writer:
        writer.add("a", {"features": np.zeros((1, 3)), "times_s": np.full((1, 2), np.nan)})
    with ShardReader(tmp_path / "s.h5") as shard:
        assert np.isnan(shard[0]["times_s"]).all()


def test_two_writers_of_one_path_do_not_meet(tmp_path: Path, open_writer, make_utterance) -> None:
    path = tmp_path / "s.h5"
    with open_writer(path) as first:
        first.add("a", make_utterance(2, 0))
        with open_writer(path) as second:
            second.add("c", make_utterance(2, 2))
        with ShardReader(path) as shard:
            assert shard.ids == ["c"]
        first.add("b", make_utterance(2, 1))
    with ShardReader(path) as shard:
        assert shard.ids == ["a", "b"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_encoding_or_compression_that_is_none(tmp_path: Path, open_writer) -> None:
    with (
        pytest.raises(ValueError, match="'object'"),
        open_writer(tmp_path / "s.h5", fields={"features": ((3,), "object")}),
    ):
        pass
    with (
        pytest.raises(ShardError, match="choose from"),
        open_writer(tmp_path / "s.h5", compression="rar"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_settings_too_large_for_the_header(tmp_path: Path, open_writer) -> None:
    with (
        pytest.raises(ShardError, match="32768 bytes"),
        open_writer(tmp_path / "s.h5", config={"a": "x" * 40_000}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from featurize.shards import ShardWriter
fields = {"features": ((4096,), "float16")}
rows = np.ones((100, 4096), np.float16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ShardWriter(Path(sys.argv[1]), modality="video", fields=fields, config={}, fingerprint="",
                 tools={}) as writer:
    for i in range(int(sys.argv[2])):
        writer.add(str(i), {"features": rows})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_shard(tmp_path: Path) -> None:
    """400 MB written in less than 24 MB over what was in use."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "s.h5"), "500"]
    grown_kb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (tmp_path / "s.h5").stat().st_size > 400e6
    assert grown_kb < 24 * 1024
    assert resource.getpagesize()  # Linux counts in KiB; so does this test
