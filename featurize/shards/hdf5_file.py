"""An HDF5 file that is written, and known to be: HDF5 itself may lose what it could not write.

What fits a dataset's buffer is written when the dataset is let go of, and when that fails, as on a
full disk, h5py has nobody to tell. A file that cannot be closed crashes the process at its end,
when HDF5 tries again. So there is no such buffer here, and a file that failed is closed to memory.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py

from featurize.shards.layout import LIBVER

_ERRNO = r"errno = (\d+), error message"
METADATA_BLOCK_BYTES = 8 * 1024  # HDF5 keeps its own records in such blocks, off the chunks


@contextmanager
def written_whole(path: Path) -> Iterator[h5py.File]:
    """A new file at ``path``; on a clean exit all of it has been handed to the system.

    Raises:
        OSError: that failed, with the system's reason.
    """
    untimed = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    untimed.set_obj_track_times(False)  # the same content gives the same bytes
    made = h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fcpl=untimed, fapl=_access())
    file = h5py.File(made)
    try:
        yield file
        file.flush()
    except BaseException as error:
        _give_up(file)
        raise _of_the_system(error, path) from None
    file.close()


def _access() -> Any:
    """h5py's ``libver`` and ``locking``; small datasets go past HDF5's buffer (its sieve)."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(*(getattr(h5py.h5f, f"LIBVER_{name.upper()}") for name in LIBVER))
    access.set_meta_block_size(METADATA_BLOCK_BYTES)
    access.set_file_locking(True, True)  # "best-effort"
    access.set_sieve_buf_size(0)
    return access


def _give_up(file: h5py.File) -> None:
    """Closes it where nothing can fail: what HDF5 still has to write goes to memory."""
    descriptor = file.id.get_vfd_handle()
    with suppress(OSError):
        elsewhere = os.memfd_create("given-up")
        os.dup2(elsewhere, descriptor)
        os.close(elsewhere)
    with suppress(OSError, RuntimeError):
        file.close()


def _of_the_system(error: BaseException, path: Path) -> BaseException:
    """HDF5 tells why writing failed in the text of one kind of exception or another."""
    if isinstance(error, RuntimeError | OSError) and (found := re.search(_ERRNO, str(error))):
        return OSError(int(found[1]), os.strerror(int(found[1])), str(path))
    return error
