"""Files appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from featurize.atomic import atomic_path, remove_stale, write_text

WRITER = """
import sys, time
from pathlib import Path
from featurize.atomic import atomic_path
with atomic_path(Path(sys.argv[1]), suffix=sys.argv[2]) as temporary:
    assert temporary.name.endswith(sys.argv[2])
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_text(path, "old")
    with pytest.raises(ValueError), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise ValueError
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_a_killed_writer_leaves_only_a_temporary_file_that_is_swept(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "file.txt"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), suffix], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    assert writer.stdout.readline() == "writing\n"
    assert remove_stale(tmp_path) == 0  # its writer is alive
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not path.exists()
    assert remove_stale(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in (".x.otherhost-1.tmp", "x.tmp", ".hidden"):
        (tmp_path / name).write_text("")
    assert remove_stale(tmp_path) == 0


def test_links_planted_in_a_shared_folder_are_not_written_through(tmp_path: Path) -> None:
    """Neither under the final name nor under the temporary one, which can be foretold."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "out.txt"
    with atomic_path(target) as first:
        number = int(first.name.split(".tmp")[0].rpartition("-")[2])
    target.unlink()
    target.symlink_to(victim)
    foretold = first.name.replace(f"-{number}.tmp", f"-{number + 1}.tmp")
    (tmp_path / foretold).symlink_to(victim)
    with atomic_path(target) as temporary:
        assert temporary.name == foretold and not temporary.is_symlink()
        temporary.write_text("new")
    assert victim.read_text() == "precious"
    assert target.read_text() == "new" and not target.is_symlink()
