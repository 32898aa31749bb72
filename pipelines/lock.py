"""Locks: no two commands make the same files of a folder at once.

Two that do would harm nothing, as files are renamed into place, but would do everything twice.
Each stage has one empty file, ``WORK/.locks/audio``, of which a command locks byte k for shard k,
or all of it for what is not made in shards. So any number of commands, on any number of machines,
may work on one stage, as long as their shards differ. The locks are POSIX's (``fcntl``): the
kernel drops them when a process ends, however it ends, so none can outlive its holder, and NFS
carries them to other machines. (filelock, which comes with torch, locks files as a whole.)

Beside the lock a holder leaves a record, ``audio.HOST-PID.json``, from which the others say who it
is. Records alone bind nobody: one whose shards can be locked is of a holder that was killed.
"""

import errno
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import Any

from featurize.atomic import is_running, remove_stale, write_text
from featurize.errors import LockedError
from pipelines.shard_list import runs_of

FOLDER = ".locks"
# What lockf says where the file system has no locks (Lustre mounted without -o flock: ENOSYS).
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_HOST = socket.gethostname()
_ALL = [[0, 1 << 62]]  # the bytes of a folder that is held whole
_NAMED_WITHIN_S = 1.0  # a holder leaves its record a moment after it has the lock

Tell = Callable[[str], None]
Record = dict[str, Any]


@contextmanager
def held(
    folder: Path, name: str, shards: Sequence[int] | None = None, *, tell: Tell
) -> Iterator[None]:
    """While entered, no other command makes these ``shards`` of ``name`` in ``folder``.

    Args:
        folder: need not be there; where it cannot be written to, nothing is locked, as nothing
            can be made.
        name: of the stage, "audio", or of a command, "report"; a lock of its own each.
        shards: None is the whole of it.
        tell: gets what the user should know: a holder before was killed, or the file system has
            no locks and two commands can get into each other's way.

    Raises:
        LockedError: another command holds one of them; says which, who and since when.
    """
    runs = _ALL if shards is None else runs_of(shards)
    descriptor = _opened(folder / FOLDER / name)
    if descriptor is None:
        if os.access(folder, os.W_OK, effective_ids=True):
            tell(f"{folder / FOLDER / name} may not be written to: no lock is held on {folder}")
        yield
        return
    try:
        with suppress(_NoLocksError):
            _lock(descriptor, folder, name, runs, tell)
        remove_stale(folder)  # what killed commands were writing
        record = _written(folder, name, runs, tell)
        try:
            yield
        finally:
            record.unlink(missing_ok=True)
    finally:
        os.close(descriptor)  # which also drops the locks


class _NoLocksError(Exception):
    """The file system has none."""


def _opened(path: Path) -> int | None:
    """The lock file, made when it is not there; None where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return None
        raise


def _lock(descriptor: int, folder: Path, name: str, runs: list[list[int]], tell: Tell) -> None:
    """Takes the locks, or refuses; waits a moment for a holder that has not said yet who it is."""
    until_s = time.monotonic() + _NAMED_WITHIN_S
    while not _taken(descriptor, folder, name, runs, tell):
        if holder := _in_the_way(folder, name, runs):
            raise LockedError(holder)
        if time.monotonic() >= until_s:
            who = f"{folder} ({name}) is being made by another process"
            raise LockedError(f"{who}; wait for it, or end it")
        time.sleep(0.02)


def _taken(descriptor: int, folder: Path, name: str, runs: list[list[int]], tell: Tell) -> bool:
    for first, stop in runs:
        length = 0 if runs is _ALL else stop - first  # 0: to the end, however far
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: POSIX allows both
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            tell(
                f"{folder}: its file system cannot lock ({error.strerror}), so nothing keeps two "
                f"commands from making the same {name} twice"
            )
            raise _NoLocksError from None
    return True


def _written(folder: Path, name: str, runs: list[list[int]], tell: Tell) -> Path:
    """Leaves our record in place of those of holders that are gone; on a full disk, none."""
    for path, record in _records(folder, name):
        if _common(record, runs) is not None:
            tell(f"{_holder(record)} ended before it was done; what it had finished is kept")
            path.unlink(missing_ok=True)
    ours = {"host": _HOST, "pid": os.getpid(), "since": _now(), "shards": runs}
    ours["command"] = shlex.join(["trimodal", *sys.argv[1:]])
    path = folder / FOLDER / f"{name}.{_HOST}-{os.getpid()}.json"
    with suppress(OSError):  # it is for the eyes of others; the lock is what counts
        write_text(path, json.dumps(ours) + "\n")
    return path


def _in_the_way(folder: Path, name: str, runs: list[list[int]]) -> str | None:
    """Who holds what we want and how to end it, as far as records tell."""
    for _, record in _records(folder, name):
        shard = _common(record, runs)
        if shard is not None and not (record["host"] == _HOST and not is_running(record["pid"])):
            end = f"kill {record['pid']}"
            end = end if record["host"] == _HOST else f"ssh {record['host']} {end}"
            is_whole = record["shards"] == _ALL
            what = f"{folder} ({name})" if is_whole else f"{folder}: shard {shard} of {name}"
            return f"{what} is being made by {_holder(record)}; wait for it, or end it ({end})"
    return None


def _holder(record: Record) -> str:
    command = record["command"]
    command = command if len(command) <= 200 else command[:197] + "..."
    return f"process {record['pid']} on {record['host']} (`{command}`, since {record['since']})"


def _records(folder: Path, name: str) -> Iterator[tuple[Path, Record]]:
    """Those that can be read; anybody may have left something there."""
    for path in sorted((folder / FOLDER).glob(f"{escape(name)}.*-*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            runs = [[int(first), int(stop)] for first, stop in found["shards"]]
            texts = {key: str(found[key]) for key in ("host", "since", "command")}
            yield path, {**texts, "pid": int(found["pid"]), "shards": runs}


def _common(record: Record, runs: list[list[int]]) -> int | None:
    """The first shard that both have."""
    both = (
        max(a, c) for a, b in record["shards"] for c, d in runs if max(a, c) < min(b, d)
    )  # fmt: skip
    return min(both, default=None)


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M")
