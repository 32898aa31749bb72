"""A shard whose disk is full at every size: an error with the system's reason, and no file."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from featurize.shards import ShardReader, ShardWriter


def write(path: Path, n_utterances: int, compression: str = "none") -> None:
    with ShardWriter(
        path, modality="audio", fields={"features": ((40,), "float16")}, config={},
        fingerprint="f", tools={}, compression=compression,
    ) as writer:  # fmt: skip
        for number in range(n_utterances):
            rows = np.random.default_rng(number).normal(size=(500, 40))
            writer.add(f"u{number}", {"features": rows.astype(np.float16)})


def errno_of(path: Path, n_utterances: int, compression: str, limit: int | None = None) -> int:
    """What writing in a child comes to: 0, the system's reason, or 255 for any other error."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            write(path, n_utterances, compression)
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs; ``resize`` gives it a size. Skips where it may not be mounted."""
    made = subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], capture_output=True)
    if made.returncode != 0:
        pytest.skip("may not mount a file system here")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def resize(disk: Path, n_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={n_bytes}", disk], check=True)


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("n_utterances", [0, 1, 3])
def test_past_a_limit_nothing_is_there(n_utterances: int, compression: str, tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.audio.h5"
    write(path, n_utterances, compression)
    content = path.read_bytes()
    path.unlink()
    for limit in np.linspace(0, len(content) - 1, 30).astype(int).tolist():
        assert errno_of(path, n_utterances, compression, limit) == errno.EFBIG
        assert not list(tmp_path.iterdir())
    assert errno_of(path, n_utterances, compression, len(content)) == 0
    assert path.read_bytes() == content


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("n_utterances", [1, 3])
def test_on_a_full_disk_nothing_or_all_is_there(
    n_utterances: int, compression: str, small_disk: Path
) -> None:
    """HDF5 used to drop the end of a small shard without a word, which then got its name."""
    path = small_disk / "shard-00000.audio.h5"
    write(path, n_utterances, compression)
    wanted = path.read_bytes()
    path.unlink()
    codes = []
    for n_pages in range(1, -(-len(wanted) // 4096) + 2):
        resize(small_disk, 4096 * n_pages)
        codes.append(errno_of(path, n_utterances, compression))
        assert [file.read_bytes() for file in small_disk.iterdir()] == [wanted] * (not codes[-1])
        path.unlink(missing_ok=True)
    assert codes == sorted(codes, reverse=True) and set(codes) == {errno.ENOSPC, 0}


FAILING = """
import resource, sys
from pathlib import Path
from tests_of_full_disk import write

resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    write(Path(sys.argv[1]), 3)
except OSError as error:
    print(error.strerror)
"""


def test_a_process_that_could_not_write_ends_as_any_other(tmp_path: Path) -> None:
    """HDF5 used to try again at its end, and to crash."""
    (tmp_path / "tests_of_full_disk.py").write_text(Path(__file__).read_text())
    root = Path(__file__).resolve().parents[3]
    found = subprocess.run(
        [sys.executable, "-c", FAILING, tmp_path / "x.h5"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}"}, cwd=tmp_path,
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (0, "File too large\n", "")


def test_what_is_read_back_otherwise_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes everything and keeps something else: here a file cut behind our back."""
    from featurize.shards import writer

    def cut(path: Path) -> ShardReader:
        os.truncate(path, path.stat().st_size - 100)
        return ShardReader(path)

    monkeypatch.setattr(writer, "ShardReader", cut)
    with pytest.raises(OSError, match="read back otherwise"):
        write(tmp_path / "x.h5", 1)
    assert not list(tmp_path.iterdir())
