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
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from featurize.shards.compression import filters_of
from featurize.shards.encodings import decode
from featurize.shards.layout import MAX_CHUNK_BYTES, damaged, open_plain, rows_digest

# Linux 5.14: reads pages in and says so when it can't. Touching a page that can't be read (a
# failing disk, a file cut short by another program) would kill the process instead.
MADV_POPULATE_READ = 22


Stretches = list[tuple[int, int]]  # first row and first byte of rows that follow each other


class FileBytes:
    """The bytes of an open file, mapped where the system reports read errors, else read when asked.

    ``descriptor`` may be closed afterwards.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.path = path
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
            raise damaged(self.path, f"bytes {start} to {stop}: {error.strerror}") from None
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
    """Rows of an uncompressed dataset of some type and shape, by their place in the file.

    Raises:
        ShardError: they would lie beyond the end of the file.
    """

    def __init__(
        self, dtype: np.dtype, shape: tuple[int, ...], stretches: Stretches, content: FileBytes
    ) -> None:
        self.dtype, self.shape = dtype, shape
        self._content = content
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._first_rows = [row for row, _ in stretches]
        self._first_bytes = [place for _, place in stretches]
        ends = [*self._first_rows[1:], shape[0]]
        for (row, place), end in zip(stretches, ends, strict=False):
            if place < 0 or place + (end - row) * self._row_bytes > content.n_bytes:
                raise damaged(content.path, "rows are said to lie beyond the end of the file")

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


@dataclass(frozen=True, slots=True)
class FieldRows:
    """One field: of each utterance first row, number of rows and digest; its rows and scales."""

    starts: np.ndarray
    n_rows: np.ndarray
    digests: np.ndarray
    numbers: Rows
    scales: Rows | None
    encoding: str

    def read(self, position: int) -> np.ndarray | None:
        """The decoded rows of an utterance, read-only; None when they do not match the digest."""
        start = self.starts.item(position)
        stop = start + self.n_rows.item(position)
        stored = self.numbers(start, stop)
        scale = self.scales(start, stop) if self.scales else None
        if rows_digest(stored, scale) != self.digests.item(position):
            return None
        rows = decode(stored, scale, self.encoding)
        rows.flags.writeable = False
        return rows


def file_state(descriptor: int) -> tuple[int, int, int, int]:
    """What changes when another file takes the name, or the file is written to."""
    state = os.fstat(descriptor)
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def open_rows(
    file: h5py.h5f.FileID, path: Path, name: str, compression: str, content: FileBytes
) -> Rows:
    """The rows of one dataset of a shard with the given compression."""
    allowed = filters_of(compression, path)
    dataset = open_plain(file, path, name)
    if dataset.get_create_plist().get_nfilters():
        return FilteredRows(dataset, path, name, allowed)
    stretches = find_stretches(dataset, path, name)
    return PlainRows(dataset.dtype, dataset.shape, stretches, content)


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


def find_stretches(dataset: h5py.h5d.DatasetID, path: Path, name: str) -> Stretches:
    """Where the rows of an uncompressed dataset lie, by HDF5's own index.

    Raises:
        ShardError: some were never written, or its chunks are not whole rows.
    """
    n_rows = dataset.shape[0]
    plan = dataset.get_create_plist()
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    if plan.get_layout() == h5py.h5d.CONTIGUOUS:
        place = dataset.get_offset()
        if place is None and n_rows * row_bytes:
            raise damaged(path, f"{name} was never written")
        return [(0, place or 0)] if n_rows else []
    chunk_shape = plan.get_chunk()
    if chunk_shape[1:] != dataset.shape[1:] or chunk_shape[0] * row_bytes > MAX_CHUNK_BYTES:
        raise damaged(path, f"{name} has chunks of shape {chunk_shape}")
    found: list[tuple[int, int]] = []
    dataset.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    found.sort()
    n_chunks = -(-n_rows // chunk_shape[0])
    if len(found) != n_chunks or any(row != i * chunk_shape[0] for i, (row, _) in enumerate(found)):
        raise damaged(path, f"{name} lacks some of its chunks")
    chunk_bytes = chunk_shape[0] * row_bytes
    after = [None, *(place + chunk_bytes for _, place in found)]  # where the next would follow
    return [chunk for chunk, expected in zip(found, after, strict=False) if chunk[1] != expected]
