"""Reading a shard again by what its index said before: without HDF5, in a tenth of the time.

For who reads an utterance here and one there out of thousands of files, too many to stay open.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from featurize.errors import ShardError
from featurize.shards.encodings import is_scaled, stored_dtype
from featurize.shards.layout import scale_name
from featurize.shards.reader import ShardIndex, ShardReader
from featurize.shards.rows import FieldRows, FileBytes, PlainRows, file_state


class PlacedShard:
    """What it takes to read some fields of a shard again: 24 bytes an utterance and field.

    Args:
        index: of the shard, as it is now.
        only: names of the fields; those that the shard lacks are passed over.
    """

    def __init__(self, index: ShardIndex, only: Collection[str]) -> None:
        self.path, self._state, self._only = index.path, index.state, only
        self._fields = {name: spec for name, spec in index.fields.items() if name in only}
        scaled = {scale_name(n) for n, (_, encoding) in self._fields.items() if is_scaled(encoding)}
        wanted = scaled | self._fields.keys()
        self._places = index.places if wanted <= (index.places or {}).keys() else None
        self._columns = {}
        if self._places is not None:
            self._columns = {name: _columns(index, name) for name in self._fields}

    def open(self) -> "ShardReader | PlacedReader":
        """Opens the file; by HDF5 when it is not the one it was, or does not say where rows lie."""
        if self._places is None:
            return ShardReader(self.path, self._only)
        try:
            with self.path.open("rb", buffering=0) as file:
                if file_state(file.fileno()) != self._state:
                    return ShardReader(self.path, self._only)
                content = FileBytes(file.fileno(), self.path)
        except OSError as error:
            raise ShardError(f"{self.path}: cannot be opened ({error.strerror})") from None
        return PlacedReader(self.path, {name: self._rows(name, content) for name in self._fields})

    def _rows(self, name: str, content: FileBytes) -> FieldRows:
        assert self._places is not None
        row_shape, encoding = self._fields[name]
        starts, n_rows, digests = self._columns[name]
        n = int(starts[-1] + n_rows[-1]) if len(starts) else 0
        shape = (n, *row_shape)
        numbers = PlainRows(stored_dtype(encoding), shape, self._places[name], content)
        scales = None
        if is_scaled(encoding):
            places = self._places[scale_name(name)]
            scales = PlainRows(np.dtype(np.float32), (n,), places, content)
        return FieldRows(starts, n_rows, digests, numbers, scales, encoding)


class PlacedReader:
    """Reads arrays as ``ShardReader`` does, digests checked, by position alone."""

    def __init__(self, path: Path, fields: dict[str, FieldRows]) -> None:
        self.path, self.fields = path, fields
        self._by_hdf5: ShardReader | None = None

    def array(self, position: int, field: str) -> np.ndarray:
        """See ``ShardReader.array``."""
        rows = self.fields[field].read(position)
        if rows is None:  # damaged, or rewritten by a tool that left the header as it was
            self._by_hdf5 = self._by_hdf5 or ShardReader(self.path, list(self.fields))
            rows = self._by_hdf5.array(position, field)
        return rows


def _columns(index: ShardIndex, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, n_rows, digests = (
        np.ascontiguousarray(index.table[f"{name}_{what}"]) for what in ("start", "rows", "xxh3")
    )
    return starts, n_rows, digests
