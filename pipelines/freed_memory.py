"""Memory that a worker frees stays with it: the next utterance wants as much."""

import ctypes
import functools
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h


@functools.lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Sets glibc's thresholds to the largest that it comes to by itself, mallopt(3).

    Otherwise LFBE maps its arrays anew and faults their pages in, up to 300 an utterance: one part
    in twenty of the stage's time, and half of it where MALLOC_TRIM_THRESHOLD_ is set, as by Dask.
    """
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
