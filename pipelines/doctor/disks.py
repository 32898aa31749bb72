"""Disks: free space, what kind they are, and whether a file can be made and renamed on them."""

import errno
import fcntl
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.doctor.finding import Finding, Level, ok
from pipelines.doctor.sizes import size

LEAST_FREE_BYTES, SCARCE_BYTES = 1e9, 5e9
LEAST_INODES, SCARCE_INODES = 100, 10_000
SLOW_S = 0.5  # for one small file; a shard is one file, so that it is felt with small shards only
CLOCK_TOLERANCE_S = 5.0
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs",
    "pvfs2", "orangefs", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse",
    "fuse.rclone", "fuse.goofys", "virtiofs",
}  # fmt: skip
IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
IN_A_CONTAINER = {"overlay", "aufs", "fuse.fuse-overlayfs"}


def space_findings(what: str, folder: Path, needed: float = 0.0) -> Iterator[Finding]:
    """Free bytes and inodes where ``folder`` is or would be; ``needed`` bytes are still to come."""
    there = existing(folder)
    state = os.statvfs(there)
    free = state.f_bavail * state.f_frsize
    total = state.f_blocks * state.f_frsize
    seen = f"{size(free)} of {size(total)} free at {there}"
    mends = f"df -h {shlex.quote(str(there))}   # make room there, or take another disk"
    if needed > free:
        seen += f", and about {size(needed)} are still to be written"
        yield Finding(what, "problem", seen, mends)
    elif free < LEAST_FREE_BYTES:
        yield Finding(what, "problem", seen, mends)
    elif free < SCARCE_BYTES:
        yield Finding(what, "warning", seen, mends)
    else:
        to_come = f"; about {size(needed)} are still to be written" if needed else ""
        yield ok(what, f"{seen}{to_come}")
    if state.f_files:  # some file systems have no such number
        yield from _inodes(what, there, state.f_favail)


def kind_findings(what: str, folder: Path) -> Iterator[Finding]:
    """Of the file system, where that means something for a workspace."""
    kind = kind_of(folder)
    quoted = shlex.quote(str(folder))
    if kind in IN_MEMORY:
        seen = f"{folder} is {kind}: in memory, and gone when the machine stops"
        yield Finding(what, "warning", seen, f"cp -a {quoted} /a/disk/")
    elif kind in NETWORK:
        seen = f"{folder} is {kind}, a network disk: locks and fsync hold as far as its server does"
        yield Finding(what, "note", seen, f"trimodal verify {quoted}")
    elif kind in IN_A_CONTAINER:
        seen = f"{folder} is inside a container ({kind}), and gone with it"
        yield Finding(what, "warning", seen, "docker run -v /a/disk/work:/work ...")
    else:
        yield ok(what, f"{folder} is {kind}")


def writing_findings(what: str, folder: Path) -> Iterator[Finding]:
    """Makes, locks, flushes, renames and deletes one small file, as every shard is made."""
    if not folder.is_dir():
        return
    quoted = shlex.quote(str(folder))
    started = time.monotonic()
    try:
        drift_s = _try_file(folder)
    except OSError as error:
        yield _unwritable(what, folder, error)
        return
    took_s = time.monotonic() - started
    if abs(drift_s) > CLOCK_TOLERANCE_S:
        seen = f"files in {folder} are {abs(drift_s):.0f} s {'ahead' if drift_s > 0 else 'behind'}"
        yield Finding(
            what, "warning", f"{seen} of this machine's clock", "timedatectl set-ntp true"
        )
    if took_s > SLOW_S:
        seen = f"a small file takes {took_s:.1f} s to be made safe in {folder}"
        yield Finding(
            what, "warning", seen, "trimodal prepare ... --shard-size 2048   # fewer files"
        )
    elif abs(drift_s) <= CLOCK_TOLERANCE_S:
        yield ok(what, f"a file is locked, flushed and renamed in {1000 * took_s:.0f} ms: {quoted}")


def kind_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that a folder lies on; "unknown" where that is not told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    path, best, kind = folder.resolve(), -1, "unknown"
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")  # a space is \040
        if path.is_relative_to(point) and len(point) >= best:  # the later one hides the earlier
            best, kind = len(point), after.split()[0]
    return kind


def _try_file(folder: Path) -> float:
    """Seconds by which the file's time is ahead of the clock. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".trimodal-doctor-", suffix=".tmp")
    final = name.removesuffix(".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(b"trimodal")
            file.flush()
            os.fsync(file.fileno())
            drift_s = os.fstat(file.fileno()).st_mtime - time.time()
        os.replace(name, final)
        return drift_s
    finally:
        for path in (name, final):
            Path(path).unlink(missing_ok=True)


def _unwritable(what: str, folder: Path, error: OSError) -> Finding:
    quoted = shlex.quote(str(folder))
    mends = {
        errno.EROFS: f"mount -o remount,rw {quoted}",
        errno.EACCES: f"chmod u+rwx {quoted}   # it belongs to uid {folder.stat().st_uid}",
        errno.ENOSPC: f"df -h {quoted}; df -i {quoted}",
        errno.EDQUOT: "quota -s",
        errno.ENOLCK: f"mount | grep {quoted}   # mount it with locks (nfs: without nolock)",
    }
    number = errno.EACCES if error.errno == errno.EPERM else error.errno
    seen = f"no file can be made in {folder}: {error.strerror}"
    return Finding(what, "problem", seen, mends.get(number or 0, f"touch {quoted}/x"))


def _inodes(what: str, folder: Path, n_free: int) -> Iterator[Finding]:
    if n_free < SCARCE_INODES:
        level: Level = "problem" if n_free < LEAST_INODES else "warning"
        seen = f"only {n_free:,} more files can be made at {folder}"
        yield Finding(what, level, seen, f"df -i {shlex.quote(str(folder))}   # delete small files")


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    path = folder.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
