"""Where the rows of a dataset lie in its file, and reading them without a copy.

Uncompressed rows are read past HDF5: its own index says at which bytes each chunk lies, the file is
mapped into memory, and an array of an utterance is a view of that map. Compressed rows go through
HDF5. A shard never changes under its name, so a map stays true as long as anyone holds an array.
"""

import io
import math
import mmap
import os
from bisect import bisect_right
from pathlib import Path

import h5py
import numpy as np

from featurize.shards.compression import filters_of
from featurize.shards.layout import MAX_CHUNK_BYTES, damaged, open_plain

# Linux 5.14: reads pages in and says so when it can't. Touching a page that can't be read (a
# failing disk, a file cut short by another program) would kill the process instead.
MADV_POPULATE_READ = 22


class FileBytes:
    """The bytes of an open file, mapped where the system reports read errors, else read when asked.

    ``descriptor`` may be closed afterwards.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._path = path
        self.n_bytes = os.fstat(descriptor).st_size
        self._map = _mapped(descriptor, self.n_bytes)
        self._file: io.FileIO | None = None
        if self._map is None:
            self._file = io.FileIO(os.dup(descriptor))
        else:
            self._bytes = np.frombuffer(self._map, np.uint8)

    def view(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) uint8, read-only. Raises ShardError when the disk does not give them."""
        try:
            if self._map is None:
                return self._read(start, stop)
            first_page = start - start % mmap.PAGESIZE
            self._map.madvise(MADV_POPULATE_READ, first_page, stop - first_page)
        except OSError as error:
            raise damaged(self._path, f"bytes {start} to {stop}: {error.strerror}") from None
        return self._bytes[start:stop]

    def close(self) -> None:
        """Lets go of the file; arrays that were read stay good."""
        if self._file is not None:
            self._file.close()
        self._bytes = np.empty(0, np.uint8)
        self._map = None

    def _read(self, start: int, stop: int) -> np.ndarray:
        assert self._file is not None
        content = os.pread(self._file.fileno(), stop - start, start)
        if len(content) < stop - start:
            raise OSError(0, "the file ends before")
        return np.frombuffer(content, np.uint8)


class PlainRows:
    """Rows of an uncompressed dataset, by their place in the file."""

    def __init__(
        self, dataset: h5py.h5d.DatasetID, path: Path, name: str, content: FileBytes
    ) -> None:
        self.dtype, self.shape = dataset.dtype, dataset.shape
        self._content = content
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        first_rows, first_bytes = _places(dataset, path, name, self._row_bytes)
        ends = first_bytes + np.diff([*first_rows, self.shape[0]]) * self._row_bytes
        if len(ends) and ends.max() > content.n_bytes:
            raise damaged(path, f"{name} claims bytes beyond the end of the file")
        joined = np.flatnonzero(first_bytes[1:] == ends[:-1]) + 1  # chunks that follow each other
        self._first_rows = np.delete(first_rows, joined).tolist()
        self._first_bytes = np.delete(first_bytes, joined).tolist()

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, of the dataset's type; read-only."""
        if start >= stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        part = bisect_right(self._first_rows, start) - 1
        pieces = []
        while start < stop:
            is_last = part + 1 == len(self._first_rows)
            end = stop if is_last else min(stop, self._first_rows[part + 1])
            offset = self._first_bytes[part] - self._first_rows[part] * self._row_bytes
            span = offset + start * self._row_bytes, offset + end * self._row_bytes
            pieces.append(self._content.view(*span))
            start, part = end, part + 1
        flat = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return flat.view(self.dtype).reshape(-1, *self.shape[1:])


class FilteredRows:
    """Rows of a compressed dataset, through HDF5; its file has to stay open."""

    def __init__(
        self, identifier: h5py.h5d.DatasetID, path: Path, name: str, allowed: frozenset[int]
    ) -> None:
        plan = identifier.get_create_plist()
        filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
        if not filters <= allowed:
            raise damaged(path, f"{name} is compressed by other filters ({filters}) than it says")
        self.dtype, self.shape = identifier.dtype, identifier.shape
        chunk_bytes = math.prod(plan.get_chunk()) * self.dtype.itemsize
        n_chunks = -(-self.shape[0] // plan.get_chunk()[0])
        if chunk_bytes > MAX_CHUNK_BYTES or identifier.get_num_chunks() != n_chunks:
            raise damaged(path, f"{name} has chunks too large, or too few of them")
        self._path, self._dataset = path, h5py.Dataset(identifier)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, of the dataset's type."""
        try:
            return self._dataset[start:stop]
        except (OSError, ValueError, RuntimeError) as error:
            what = f"rows {start} to {stop} cannot be decompressed: {error}"
            raise damaged(self._path, what) from None


Rows = PlainRows | FilteredRows


def open_rows(
    file: h5py.h5f.FileID, path: Path, name: str, compression: str, content: FileBytes
) -> Rows:
    """The rows of one dataset of a shard with the given compression."""
    allowed = filters_of(compression, path)
    dataset = open_plain(file, path, name)
    if dataset.get_create_plist().get_nfilters():
        return FilteredRows(dataset, path, name, allowed)
    return PlainRows(dataset, path, name, content)


def _mapped(descriptor: int, n_bytes: int) -> mmap.mmap | None:
    """A read-only map; None where the system cannot report read errors on one."""
    if not n_bytes:
        return None
    mapped = mmap.mmap(descriptor, n_bytes, access=mmap.ACCESS_READ)
    try:
        mapped.madvise(MADV_POPULATE_READ, 0, 1)
    except (OSError, AttributeError):
        mapped.close()
        return None
    return mapped


def _places(
    dataset: h5py.h5d.DatasetID, path: Path, name: str, row_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """First row and first byte of each stretch of rows, in the order of the rows."""
    n_rows = dataset.shape[0]
    plan = dataset.get_create_plist()
    if plan.get_layout() == h5py.h5d.CONTIGUOUS:
        place = dataset.get_offset()
        if place is None and n_rows * row_bytes:
            raise damaged(path, f"{name} was never written")
        n_stretches = int(n_rows > 0)
        return np.zeros(n_stretches, np.int64), np.full(n_stretches, place or 0, np.int64)
    chunk_shape = plan.get_chunk()
    if chunk_shape[1:] != dataset.shape[1:] or chunk_shape[0] * row_bytes > MAX_CHUNK_BYTES:
        raise damaged(path, f"{name} has chunks of shape {chunk_shape}")
    found: list[tuple[int, int]] = []
    dataset.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    found.sort()
    rows, places = np.array(found, np.int64).reshape(-1, 2).T
    n_chunks = -(-n_rows // chunk_shape[0])
    if len(rows) != n_chunks or not np.array_equal(rows, np.arange(n_chunks) * chunk_shape[0]):
        raise damaged(path, f"{name} lacks some of its chunks")
    return rows, places
