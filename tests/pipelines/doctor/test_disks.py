"""Disks: full ones, closed ones, ones that are lost at the next start."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.doctor import disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB and 16 files; skips where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_in_memory(small_disk: Path) -> None:
    space, inodes = disks.space_findings("space", small_disk / "not" / "yet")
    assert space.level == "problem" and "free at" in space.seen and "df -h" in str(space.mends)
    assert inodes.level == "problem" and "df -i" in str(inodes.mends)
    (kind,) = disks.kind_findings("file system", small_disk)
    assert kind.level == "warning" and "tmpfs" in kind.seen
    assert [one.level for one in disks.writing_findings("writing", small_disk)] == ["ok"]
    (small_disk / "all").write_bytes(bytes(64 * 1024))
    (full,) = disks.writing_findings("writing", small_disk)
    assert full.level == "problem" and "No space left" in full.seen
    assert [path.name for path in small_disk.iterdir()] == ["all"]  # it cleans up after itself


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    (found,) = disks.writing_findings("writing", small_disk)
    assert found.level == "problem" and found.mends == f"mount -o remount,rw {small_disk}"


def test_no_file_may_grow(look: Callable, tmp_path: Path) -> None:
    (found,) = look("disks.writing_findings", "writing", tmp_path, before="ulimit -f 0")
    assert found["level"] == "problem" and "File too large" in found["seen"]


def test_what_is_still_to_come_counts(tmp_path: Path) -> None:
    enough, *_ = disks.space_findings("space", tmp_path)
    if enough.level == "ok":
        more, *_ = disks.space_findings("space", tmp_path, needed=1e18)
        assert more.level == "problem" and "1,000,000.0 TB" in more.seen


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /data rw - nfs4 server:/data rw
31 30 0:41 / /data/my\\040disk rw - fuse.sshfs host: rw
32 22 0:42 / /work rw - overlay overlay rw
33 22 0:43 / /dev/shm rw - tmpfs tmpfs rw
"""


def test_the_kind_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    for folder, kind in {
        "/data/voxceleb2": "nfs4", "/database": "ext4", "/data/my disk/x": "fuse.sshfs",
        "/work": "overlay", "/": "ext4", "/dev/shm/x": "tmpfs",
    }.items():  # fmt: skip
        assert disks.kind_of(Path(folder), mounts) == kind, folder
    assert disks.kind_of(tmp_path, tmp_path / "none") == "unknown"
