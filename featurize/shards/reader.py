"""Reading a shard: what it says of itself (``ShardIndex``), and its arrays (``ShardReader``)."""

import os
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from featurize.errors import ShardError
from featurize.plain_json import parse_json
from featurize.shards import version1
from featurize.shards.encodings import is_scaled, stored_dtype
from featurize.shards.layout import (
    FORMAT,
    HEADER,
    MAX_HEADER_BYTES,
    MAX_UTTERANCE_BYTES,
    REJECTS,
    UTTERANCES,
    VERSION,
    Fields,
    TableColumns,
    content_digest,
    damaged,
    first_line,
    open_file,
    read_whole,
    row_bytes,
    scale_name,
    table_dtype,
)
from featurize.shards.rows import FieldRows, FileBytes, Rows, Stretches, file_state, open_rows

# What a broken or hostile file makes h5py, numpy and json raise; all of it means a damaged shard.
Value = TypeVar("Value")
BROKEN = (KeyError, ValueError, TypeError, OSError, RuntimeError, OverflowError)


class ShardIndex:
    """What a shard says of itself, without its features: opened, checked and closed again.

    Attributes: ``path``, ``version``, ``modality``, ``fingerprint``, ``config``, ``tools``,
    ``fields`` (name -> (shape of a row, encoding)), ``compression``, ``rejects`` (list of
    {"id", "stage", "reason"}), ``table`` (NumPy structured array, a row an utterance),
    ``column_names``, those of its columns that the writer was given, ``places`` (where rows lie,
    None when not told) and ``state`` (of the file, see ``file_state``).

    Raises:
        ShardError: not HDF5, not a shard, a newer version, a table that does not match its digest,
            a link out of the file, an unexpected type, sizes beyond the file's.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._version1: version1.Version1 | None = None
        self.places: dict[str, Stretches] | None = None
        file = open_file(self.path)
        self.state = file_state(file.get_vfd_handle())
        try:
            self._read(file)
        except BaseException as error:
            file.close()
            if isinstance(error, BROKEN):
                raise damaged(self.path, first_line(error)) from None
            raise

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def ids(self) -> list[str]:
        """Utterance ids in the order written."""
        return [raw.decode() for raw in self.table["id"].tolist()]

    @property
    def columns(self) -> np.ndarray:
        """(n,) structured: what the writer was given for each utterance, texts as UTF-8 bytes."""
        return self.table[self.column_names]

    @cached_property
    def index(self) -> dict[str, int]:
        """id -> position. Raises ShardError when an id occurs twice."""
        index = {utterance_id: i for i, utterance_id in enumerate(self.ids)}
        if len(index) != len(self.ids):
            raise damaged(self.path, "an utterance occurs more than once")
        return index

    def lengths(self, field: str) -> np.ndarray:
        """(n,) int64: rows of ``field`` per utterance."""
        return self.table[f"{field}_rows"]

    def _read(self, file: h5py.h5f.FileID) -> None:
        self._read_index(file)
        file.close()

    def _read_index(self, file: h5py.h5f.FileID) -> None:
        """Header, table and rejects, of this version or an earlier one."""
        if h5py.h5a.exists(file, HEADER.encode()):
            self._read_header(file)
        elif version1.is_version1(file, self.path):
            self._version1 = version1.read_index(file, self.path)
            self.__dict__.update(self._version1.attributes)
        else:
            raise ShardError(f"{self.path}: an HDF5 file, but not a trimodal shard")
        self._check_table()
        if not all({"id", "stage", "reason"} == set(reject) for reject in self.rejects):
            raise damaged(self.path, "its list of rejects is none")

    def _read_header(self, file: h5py.h5f.FileID) -> None:
        header = _typed(parse_json(_header_text(file, self.path)), dict)
        if header["format"] != FORMAT:
            raise ShardError(f"{self.path}: an HDF5 file, but not a trimodal shard")
        self.version = _typed(header["version"], int)
        if self.version > VERSION:
            raise ShardError(f"{self.path}: written by a newer trimodal; update this one")
        self.modality = _typed(header["modality"], str)
        self.fingerprint = _typed(header["fingerprint"], str)
        self.config: dict[str, Any] = _typed(header["config"], dict)
        self.tools: dict[str, Any] = _typed(header["tools"], dict)
        self.compression = _typed(header["compression"], str)
        self.fields: Fields = {
            name: (tuple(_typed(shape, list)), _typed(encoding, str))
            for name, (shape, encoding) in _typed(header["fields"], dict).items()
        }
        columns = tuple((name, dtype, tuple(shape)) for name, dtype, shape in header["columns"])
        self.column_names = [name for name, _, _ in columns[1:]]
        self.table = _read_table(file, self.path, columns, self.fields, header)
        self.places = _places(header.get("places"))
        self.rejects: list[dict[str, str]] = []
        if header["rejects_xxh3"] is not None:
            content = read_whole(file, self.path, REJECTS, np.dtype(np.uint8)).tobytes()
            if content_digest(content) != header["rejects_xxh3"]:
                raise damaged(self.path, "the rejects do not match their checksum")
            self.rejects = parse_json(content)

    def _check_table(self) -> None:
        """Rows lie end to end, and no utterance is larger than a reader takes."""
        for name, (row_shape, encoding) in self.fields.items() if len(self.table) else ():
            starts, rows = self.table[f"{name}_start"], self.table[f"{name}_rows"]
            longest = MAX_UTTERANCE_BYTES // max(1, row_bytes(row_shape, encoding))
            if not 0 <= rows.min() <= rows.max() <= longest:
                raise damaged(self.path, f"an utterance has {rows.max()} rows of {name}")
            if starts[0] or (starts[:-1] + rows[:-1] != starts[1:]).any():
                raise damaged(self.path, f"the rows of {name} do not lie end to end")


class ShardReader(ShardIndex):
    """Reads one shard; ``reader[i]`` and ``reader.read(id)`` check the digests of what they read.

    Arrays are read-only and, where nothing is compressed or encoded, views of the file: copy what
    you want to change. They stay good after the reader is closed. With ``only`` the other fields
    are neither opened nor read.
    """

    def __init__(self, path: Path, only: Collection[str] | None = None) -> None:
        self._only = only
        super().__init__(path)

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return {name: self.array(position, name) for name in self._chosen}

    def read(self, utterance_id: str, fields: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Some or all fields of one utterance, by id. Raises KeyError when the shard lacks it."""
        position = self.index[utterance_id]
        return {name: self.array(position, name) for name in fields or self._chosen}

    def array(self, position: int, field: str) -> np.ndarray:
        """(n, ...) rows of one field: as stored, but float32 where encoded; read-only.

        Raises:
            ShardError: they do not match their digest, or cannot be read.
        """
        if self._version1 is not None:
            return self._checked_as_version1(position)[field]
        rows = self._fields[field].read(position)
        if rows is None:
            which = f"{self.ids[position]} ({field})"
            raise damaged(self.path, f"the checksum of {which} does not match")
        return rows

    def damaged(self) -> Iterator[str]:
        """Yields the id of each utterance whose content does not match its digest."""
        for position, utterance_id in enumerate(self.ids):
            try:
                self[position]
            except ShardError:
                yield utterance_id

    def close(self) -> None:
        """Lets go of the file."""
        self._content.close()
        self._file.close()

    def _read(self, file: h5py.h5f.FileID) -> None:
        self._read_index(file)
        self._file = file
        self._content = FileBytes(file.get_vfd_handle(), self.path)
        self._chosen = [name for name in self.fields if self._only is None or name in self._only]
        self._fields: dict[str, FieldRows] = {}
        self._old_rows: dict[str, Rows] = {}
        if self._version1 is not None:
            self._open_version1(self._version1)
        else:
            self._fields = {name: self._open_field(name) for name in self._chosen}
        if self.compression == "none":
            file.close()  # the rest is read past HDF5

    def _open_field(self, name: str) -> FieldRows:
        row_shape, encoding = self.fields[name]
        starts, n_rows, digests = (
            self.table[f"{name}_{what}"] for what in ("start", "rows", "xxh3")
        )
        n = int(n_rows.sum())
        numbers = self._open_rows(name, n, row_shape, stored_dtype(encoding))
        scales = None
        if is_scaled(encoding):
            scales = self._open_rows(scale_name(name), n, (), np.dtype(np.float32))
        return FieldRows(starts, n_rows, digests, numbers, scales, encoding)

    def _open_version1(self, old: version1.Version1) -> None:
        for name, (row_shape, dtype) in old.fields.items():
            n = int(old.offsets[name][-1])
            self._old_rows[name] = self._open_rows(f"{name}/data", n, row_shape, np.dtype(dtype))

    def _open_rows(
        self, name: str, n_rows: int, row_shape: tuple[int, ...], dtype: np.dtype
    ) -> Rows:
        rows = open_rows(self._file, self.path, name, self.compression, self._content)
        if rows.shape != (n_rows, *row_shape) or rows.dtype != dtype:
            what = f"{rows.dtype} of shape {rows.shape}, not {dtype} of {(n_rows, *row_shape)}"
            raise damaged(self.path, f"{name} holds {what}")
        return rows

    def _checked_as_version1(self, position: int) -> dict[str, np.ndarray]:
        assert self._version1 is not None
        arrays = {
            name: self._old_rows[name](*offsets[position : position + 2].tolist())
            for name, offsets in self._version1.offsets.items()
        }
        self._version1.check(self.path, position, self.ids[position], arrays)
        return arrays


def _header_text(file: h5py.h5f.FileID, path: Path) -> str:
    attribute = h5py.h5a.open(file, HEADER.encode())
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str() or attribute.shape:
        raise damaged(path, "its header is no text of fixed length")
    if kind.get_size() > MAX_HEADER_BYTES:
        raise damaged(path, f"its header takes {kind.get_size()} bytes")
    content = np.empty((), f"S{kind.get_size()}")
    attribute.read(content, kind)
    return content.item().decode()


def _read_table(
    file: h5py.h5f.FileID, path: Path, columns: TableColumns, fields: Fields, header: dict[str, Any]
) -> np.ndarray:
    """``/utterances``, of exactly the type that columns and fields make it.

    Read where the header says it lies, which takes a tenth of the time that HDF5 takes to find it;
    through HDF5 when it is not there, because another tool has rewritten the file.
    """
    dtype = table_dtype(columns, tuple(sorted(fields)))
    if dtype is None:
        raise damaged(path, f"its table has columns {columns}")
    n_bytes = _typed(header["n_utterances"], int) * dtype.itemsize
    if not 0 <= n_bytes <= file.get_filesize():
        raise damaged(path, f"its table claims {n_bytes} bytes")
    content = os.pread(file.get_vfd_handle(), n_bytes, _typed(header["utterances_offset"], int))
    if content_digest(content) != header["utterances_xxh3"]:
        table = read_whole(file, path, UTTERANCES, dtype)
        if table.nbytes != n_bytes or table.ndim != 1:
            raise damaged(path, f"its table has shape {table.shape}")
        if content_digest(table.tobytes()) != header["utterances_xxh3"]:
            raise damaged(path, "the table does not match its checksum")
        return table
    return np.frombuffer(content, dtype)


def _places(told: Any) -> dict[str, Stretches] | None:
    """A header's ``places``: in each dataset the stretches ascend from row 0."""
    if told is None:
        return None
    places: dict[str, Stretches] = {}
    for name, stretches in _typed(told, dict).items():
        rows = [_typed(row, int) for row, _ in stretches]
        if rows != sorted(set(rows)) or rows[:1] not in ([], [0]):
            raise ValueError(f"its header has no order in the places of {name}")
        places[name] = [(row, _typed(place, int)) for row, place in stretches]
    return places


def _typed(value: Any, kind: type[Value]) -> Value:
    if type(value) is not kind:
        raise TypeError(f"its header holds {str(value)[:40]!r} where {kind.__name__} was expected")
    return value
