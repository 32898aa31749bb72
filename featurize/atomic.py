"""Files that appear under their final name only when they are complete.

A file is written under a temporary name in its own folder, flushed, fsynced and renamed; a
process killed at any instant leaves at most a temporary file, which ``remove_stale`` deletes
at the next start once its writer is gone.
"""

import contextlib
import errno
import itertools
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

_HOST = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())
_TEMPORARY = re.compile(r"^\..+\.(?P<host>[A-Za-z0-9_]+)-(?P<pid>\d+)(-\d+)?\.tmp(\.\w+)?$")
# What fails for want of space, whatever is written: no fault of one utterance.
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NUMBERS = itertools.count()  # no two writers share a file, not even of one path in one process


@contextlib.contextmanager
def atomic_path(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yields a temporary path beside ``path``; renames it to ``path`` on a clean exit.

    On an exception the temporary file is deleted and ``path`` stays as it was. ``suffix`` ends the
    temporary name, for writers that insist on one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{_HOST}-{os.getpid()}-{next(_NUMBERS)}"
    temporary = path.with_name(f".{path.name}.{writer}.tmp{suffix}")
    try:
        _create(temporary)
        yield temporary
        _fsync(temporary)
        os.replace(temporary, path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to ``path`` in one atomic step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes UTF-8 ``content`` to ``path`` in one atomic step."""
    write_bytes(path, content.encode("utf-8"))


def remove_stale(folder: Path) -> int:
    """Deletes the temporary files of writers on this host that no longer run; returns how many."""
    stale = left_behind(folder)
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def left_behind(folder: Path) -> list[Path]:
    """The temporary files of writers on this host that no longer run."""
    stale = []
    for entry in folder.glob(".*.tmp*") if folder.is_dir() else ():
        match = _TEMPORARY.match(entry.name)
        if match and match["host"] == _HOST and not is_running(int(match["pid"])):
            stale.append(entry)
    return stale


def _create(path: Path) -> None:
    """An empty file of our own: a link planted under the name would be followed by the writer."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_running(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
