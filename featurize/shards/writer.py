"""Writing a shard, row by row, in bounded memory."""

import errno
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from featurize.atomic import atomic_path
from featurize.errors import ShardError
from featurize.shards.compression import COMPRESSED_CHUNK_BYTES, create_options
from featurize.shards.encodings import Stored, encode, is_scaled, n_not_finite, stored_dtype
from featurize.shards.hdf5_file import written_whole
from featurize.shards.layout import (
    CHUNK_BYTES,
    FORMAT,
    HEADER,
    MAX_HEADER_BYTES,
    MAX_STRETCHES,
    MAX_TEXT_BYTES,
    MAX_UTTERANCE_BYTES,
    NAN_FIELDS,
    REJECTS,
    UTTERANCES,
    VERSION,
    Arrays,
    ColumnSpec,
    FieldSpec,
    content_digest,
    row_bytes,
    rows_digest,
    scale_name,
    table_dtype,
    to_json,
)
from featurize.shards.reader import ShardReader
from featurize.shards.rows import Stretches, find_stretches

WRITE_OUT_BYTES = 4 * CHUNK_BYTES


class ShardWriter:
    """Writes one shard; it appears under ``path`` only when the ``with`` block ends cleanly.

    Memory: the largest utterance, 1 MiB a field, and about 200 bytes an utterance. Two writers of
    one path do not meet: each has a file of its own, and the last one renamed stays.

    Args:
        path: final name of the file.
        modality: "audio", "video", "text" or "targets".
        fields: field name -> (shape of one row, encoding): a NumPy dtype name, "bfloat16" or
            "int8_scaled" (see ``featurize.shards.encodings``).
        config: settings that made the features; stored whole.
        fingerprint: digest of settings and input (see ``pipelines.runner``).
        tools: versions of libraries, weights and word vectors used.
        columns: column name -> "text" or (shape, dtype) of one value an utterance.
        compression: one of ``featurize.shards.COMPRESSIONS``.

    Raises:
        ShardError: the compression is unknown, or its library missing.
        ValueError: a field or a column of a type that is not stored.
    """

    def __init__(
        self,
        path: Path,
        *,
        modality: str,
        fields: FieldSpec,
        config: Mapping[str, Any],
        fingerprint: str,
        tools: Mapping[str, Any],
        columns: ColumnSpec | None = None,
        compression: str = "none",
    ) -> None:
        self._path = Path(path)
        self._fields = dict(fields)
        self._columns = dict(columns or {})
        self._options = create_options(compression, self._path)
        self._header = {
            "format": FORMAT,
            "version": VERSION,
            "modality": modality,
            "fingerprint": fingerprint,
            "config": dict(config),
            "tools": dict(tools),
            "fields": self._fields,
            "compression": compression,
        }
        self._table: list[tuple] = []  # id, columns, then start, rows and digest of each field
        self._ids: set[str] = set()
        self._rejects: list[dict[str, str]] = []
        self._stack = ExitStack()

    def __enter__(self) -> "ShardWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            stack.enter_context(_checked(temporary))
            self._file = stack.enter_context(written_whole(temporary))
            out = _WriteOut(self._file)
            self._rows = {
                name: _RowBuffer(self._file, name, row_shape, dtype, self._options, out)
                for name, row_shape, dtype in self._datasets()
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            for buffer in self._rows.values():
                buffer.close()
            self._write_index()

    def add(
        self, utterance_id: str, arrays: Arrays, columns: Mapping[str, Any] | None = None
    ) -> None:
        """Appends one utterance; ``arrays`` holds every field (first axis ragged), ``columns``
        every column.

        Raises:
            ShardError: a field or column is missing, has the wrong shape, is too large, or holds
                a value that is not finite as stored; or the id is there already. Nothing is
                written in that case.
        """
        self._check_text(utterance_id, utterance_id)
        if utterance_id in self._ids:
            raise ShardError(f"{utterance_id}: is in this shard already")
        values = [self._column(utterance_id, name, columns or {}) for name in self._columns]
        stored = {name: self._encode(utterance_id, name, arrays) for name in sorted(self._fields)}
        row: list[Any] = [utterance_id.encode(), *values]
        for name, (numbers, scale) in stored.items():
            row += [self._rows[name].n_rows, len(numbers), rows_digest(numbers, scale)]
            self._rows[name].append(numbers)
            if scale is not None:
                self._rows[scale_name(name)].append(scale)
        self._table.append(tuple(row))
        self._ids.add(utterance_id)

    def reject(self, utterance_id: str, reason: str) -> None:
        """Records an utterance left out of this shard, and why."""
        stage = str(self._header["modality"])
        self._rejects.append({"id": utterance_id, "stage": stage, "reason": reason})

    def _datasets(self) -> Iterator[tuple[str, tuple[int, ...], np.dtype]]:
        for name, (row_shape, encoding) in self._fields.items():
            yield name, tuple(row_shape), stored_dtype(encoding)
            if is_scaled(encoding):
                yield scale_name(name), (), np.dtype(np.float32)

    def _encode(self, utterance_id: str, name: str, arrays: Arrays) -> Stored:
        row_shape, encoding = self._fields[name]
        if name not in arrays or arrays[name].shape[1:] != tuple(row_shape):
            shape = arrays[name].shape if name in arrays else "missing"
            raise ShardError(f"{utterance_id}: field {name} is {shape}, want (n, *{row_shape})")
        n_bytes = len(arrays[name]) * row_bytes(row_shape, encoding)
        if n_bytes > MAX_UTTERANCE_BYTES:
            raise ShardError(f"{utterance_id}: {name} has {n_bytes} bytes, too many; cut it")
        stored = encode(arrays[name], encoding)
        n_bad = n_not_finite(stored, encoding, may_be_nan=name in NAN_FIELDS)
        if n_bad:
            raise ShardError(f"{utterance_id}: {n_bad} values of {name} not finite")
        return stored

    def _column(self, utterance_id: str, name: str, columns: Mapping[str, Any]) -> Any:
        if name not in columns:
            raise ShardError(f"{utterance_id}: column {name} is missing")
        if self._columns[name] == "text":
            return self._check_text(utterance_id, columns[name]).encode()
        shape, dtype = self._columns[name]
        value = np.asarray(columns[name], dtype)
        if value.shape != tuple(shape):
            raise ShardError(f"{utterance_id}: column {name} is {value.shape}, want {shape}")
        return value

    def _check_text(self, utterance_id: str, text: str) -> str:
        if len(text.encode()) > MAX_TEXT_BYTES or "\0" in text:
            raise ShardError(f"{utterance_id[:80]}: a text of over {MAX_TEXT_BYTES} bytes or a NUL")
        return text

    def _write_index(self) -> None:
        columns = (
            ("id", self._width(0), ()),
            *(self._table_column(place, name) for place, name in enumerate(self._columns, 1)),
        )
        table = np.array(self._table, table_dtype(columns, tuple(sorted(self._fields))))
        place = self._file.create_dataset(UTTERANCES, data=table).id.get_offset()
        told: dict[str, Any] = {
            "columns": columns,
            "places": self._places(),
            "n_utterances": len(table),
            "utterances_offset": place or 0,
            "utterances_xxh3": content_digest(table.tobytes()),
            "rejects_xxh3": None,
        }
        if self._rejects:
            rejects = to_json(self._rejects).encode()
            self._file[REJECTS] = np.frombuffer(rejects, np.uint8)
            told["rejects_xxh3"] = content_digest(rejects)
        header = to_json({**self._header, **told}).encode()
        if len(header) > MAX_HEADER_BYTES:
            raise ShardError(f"{self._path}: its settings take over {MAX_HEADER_BYTES} bytes")
        self._file.attrs.create(HEADER, np.bytes_(header))

    def _places(self) -> dict[str, Stretches] | None:
        """Where the rows of each dataset lie; None where there is no telling in few words."""
        if self._options:
            return None
        self._file.flush()  # only now all chunks have their place
        names = [name for name, _, _ in self._datasets()]
        places = {n: find_stretches(self._file[n].id, self._path, n) for n in names}
        return places if sum(map(len, places.values())) <= MAX_STRETCHES else None

    def _table_column(self, place: int, name: str) -> tuple[str, str, tuple[int, ...]]:
        if self._columns[name] == "text":
            return name, self._width(place), ()
        shape, dtype = self._columns[name]
        return name, np.dtype(dtype).str, tuple(shape)

    def _width(self, place: int) -> str:
        """dtype of a text in the table, as wide as the longest."""
        return f"|S{max((len(row[place]) for row in self._table), default=1) or 1}"


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """On a clean exit reads the file back, before it gets its name: a disk may forget to fail.

    Raises OSError when it is not what was written.
    """
    yield
    try:
        with ShardReader(path) as shard:
            damaged = next(shard.damaged(), None)
    except ShardError as error:
        damaged = str(error)
    if damaged is not None:
        raise OSError(errno.EIO, f"written, and read back otherwise ({damaged})", str(path))


class _WriteOut:
    """Has the system write to the disk meanwhile, so that the ``fsync`` at the end need not wait.

    Linux begins to when it is told that pages will not be read soon.
    """

    def __init__(self, file: h5py.File) -> None:
        self._descriptor = file.id.get_vfd_handle()
        self._n_begun = 0

    def begin(self) -> None:
        """For all that was written since the last time, if that is enough to be worth it."""
        n_bytes = os.fstat(self._descriptor).st_size
        n_new = n_bytes - self._n_begun
        if n_new >= WRITE_OUT_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, self._n_begun, n_new, os.POSIX_FADV_DONTNEED)
            self._n_begun = n_bytes


class _RowBuffer:
    """Gathers rows to whole chunks. What fits one chunk is written contiguously, at the end."""

    def __init__(
        self,
        file: h5py.File,
        name: str,
        row_shape: tuple[int, ...],
        dtype: np.dtype,
        options: Mapping[str, Any],
        out: _WriteOut,
    ) -> None:
        self._file, self._name, self._options, self._out = file, name, options, out
        bytes_of_row = max(1, math.prod(row_shape) * dtype.itemsize)
        chunk_bytes = COMPRESSED_CHUNK_BYTES if options else CHUNK_BYTES
        self._chunk = np.zeros((max(1, chunk_bytes // bytes_of_row), *row_shape), dtype)
        self._n_waiting = 0
        self._data: h5py.Dataset | None = None
        self.n_rows = 0

    def append(self, rows: np.ndarray) -> None:
        """Adds rows of the dataset's type."""
        self.n_rows += len(rows)
        while len(rows):
            n = min(len(rows), len(self._chunk) - self._n_waiting)
            self._chunk[self._n_waiting : self._n_waiting + n] = rows[:n]
            self._n_waiting += n
            rows = rows[n:]
            if self._n_waiting == len(self._chunk):
                self._flush()

    def close(self) -> None:
        """Writes what is left."""
        if self._data is None and not (self._options and self._n_waiting):
            self._file.create_dataset(self._name, data=self._chunk[: self._n_waiting])
        elif self._n_waiting:
            self._flush()

    def _flush(self) -> None:
        shape = self._chunk.shape
        if self._data is None:
            self._data = self._file.create_dataset(
                self._name,
                shape=(0, *shape[1:]),
                maxshape=(None, *shape[1:]),
                chunks=shape,
                dtype=self._chunk.dtype,
                **self._options,
            )
        n_before = self._data.shape[0]
        self._data.resize(n_before + self._n_waiting, axis=0)
        if self._n_waiting == len(self._chunk) and not self._options:
            self._data.id.write_direct_chunk((n_before, *(0 for _ in shape[1:])), self._chunk.data)
        else:
            self._data[n_before:] = self._chunk[: self._n_waiting]
        self._n_waiting = 0
        self._out.begin()
