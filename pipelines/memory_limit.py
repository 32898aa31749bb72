"""A bound on the memory that opening a stranger's file may take, kept by the system.

A media file of a few kilobytes can have FFmpeg lay out an index of many gigabytes. With a limit set
(``RLIMIT_DATA``, Linux), the allocation fails, and the file costs one utterance; without one, the
system ends some process, perhaps another user's.
"""

import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from featurize.errors import MediaError

LARGEST_BYTES = 2 << 30  # besides what the process has already: pictures of 8K take half of it
Item = TypeVar("Item")


@contextmanager
def memory_limit(n_bytes: int = LARGEST_BYTES) -> Iterator[None]:
    """What takes more than ``n_bytes`` on top of what this process has fails with MediaError."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + n_bytes
    is_tighter = any(0 <= given < limit for given in before)  # the user's own limit
    if sys.platform != "linux" or is_tighter:
        limit = before[0]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    except MemoryError:
        raise MediaError(
            f"takes more than {n_bytes / 2**30:g} GiB of memory; cut it into shorter files"
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def within_memory(items: Iterable[Item], n_bytes: int = LARGEST_BYTES) -> Iterator[Item]:
    """The same items; making each of them is under ``memory_limit``."""
    rest = iter(items)
    while True:
        with memory_limit(n_bytes):
            try:
                item = next(rest)
            except StopIteration:
                return
        yield item


def _data_bytes() -> int:
    """As the system counts it against the limit, proc(5)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), 0)
