"""The HDF5 shard: the one contract between extraction and training.

A shard holds one modality of a few hundred utterances. Every field is ragged: the rows of all
utterances lie end to end in ``/<field>/data`` and utterance ``i`` owns the rows
``offsets[i]:offsets[i + 1]`` of ``/<field>/offsets``. Layout, version 1::

    /ids        (n,)      fixed-length UTF-8, in the order written
    /digests    (n,)      uint64, xxh3_64 over the utterance's id and all its fields
    /rejects    (k,)      uint8, JSON list of {"id", "stage", "reason"}: the utterances left out
    /<field>/data         (rows, ...) chunked;  /<field>/offsets  (n + 1,) int64
    attributes  format, version, modality, fingerprint, config, tools, index_digest

``config`` and ``tools`` are JSON. A digest is checked whenever an utterance is read. Any HDF5
tool opens the file; nothing in it is an object, a reference or a link to elsewhere.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import xxhash

from featurize.atomic import atomic_path
from featurize.errors import ShardError

FORMAT = "trimodal-shard"
VERSION = 1
CHUNK_BYTES = 256 * 1024  # a few utterances of LFBE or of fc7: few reads, few bytes in vain
# HDF5 1.10's layout checksums its own structures, all but the heap of variable-length strings. In
# what has no checksum (h5py's default layout, that heap) a flipped bit can send the library into
# an endless loop: so this layout, and fixed-length strings only.
LIBVER = ("v110", "v110")
CHUNK_ROWS = 4096  # bound for narrow fields, whose chunks would otherwise be mostly empty
NAN_FIELDS = frozenset({"times_s"})  # a time may be unknown; a feature may not

Arrays = Mapping[str, np.ndarray]
FieldSpec = Mapping[str, tuple[tuple[int, ...], str]]


class ShardWriter:
    """Writes one shard; it appears under ``path`` only when the ``with`` block ends cleanly.

    Memory use is bounded by the largest utterance: rows are appended as they come.

    Args:
        path: final name of the file.
        modality: "audio", "video", "text" or "targets".
        fields: field name -> (shape of one row, NumPy dtype name).
        config: settings that made the features; stored whole.
        fingerprint: digest of settings and input (see ``pipelines.runner``).
        tools: versions of libraries, weights and word vectors used.
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
    ) -> None:
        self._path = Path(path)
        self._fields = dict(fields)
        self._attributes = {
            "format": FORMAT,
            "version": VERSION,
            "modality": modality,
            "fingerprint": fingerprint,
            "config": _to_json(config),
            "tools": _to_json(tools),
        }
        self._ids: list[str] = []
        self._digests: list[int] = []
        self._rejects: list[dict[str, str]] = []
        self._offsets: dict[str, list[int]] = {name: [0] for name in fields}
        self._stack = ExitStack()

    def __enter__(self) -> "ShardWriter":
        temporary = self._stack.enter_context(atomic_path(self._path))
        self._file = self._stack.enter_context(h5py.File(temporary, "w", libver=LIBVER))
        for name, (row_shape, dtype) in self._fields.items():
            row_bytes = int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            self._file.create_dataset(
                f"{name}/data",
                shape=(0, *row_shape),
                maxshape=(None, *row_shape),
                chunks=(min(CHUNK_ROWS, max(1, CHUNK_BYTES // row_bytes)), *row_shape),
                dtype=dtype,
            )
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
            self._write_index()

    def add(self, utterance_id: str, arrays: Arrays) -> None:
        """Appends one utterance; ``arrays`` holds every field, first axis ragged.

        Raises:
            ShardError: a field is missing, has the wrong row shape, or holds a value that is not
                finite in the stored precision. Nothing is written in that case.
        """
        cast = {name: self._cast(utterance_id, name, arrays) for name in self._fields}
        for name, array in cast.items():
            data = self._file[f"{name}/data"]
            start = data.shape[0]
            data.resize(start + len(array), axis=0)
            data[start:] = array
            self._offsets[name].append(start + len(array))
        self._ids.append(utterance_id)
        self._digests.append(_digest(utterance_id, cast))

    def reject(self, utterance_id: str, reason: str) -> None:
        """Records an utterance left out of this shard, and why."""
        stage = str(self._attributes["modality"])
        self._rejects.append({"id": utterance_id, "stage": stage, "reason": reason})

    def _cast(self, utterance_id: str, name: str, arrays: Arrays) -> np.ndarray:
        row_shape, dtype = self._fields[name]
        if name not in arrays or arrays[name].shape[1:] != tuple(row_shape):
            shape = arrays[name].shape if name in arrays else "missing"
            raise ShardError(f"{utterance_id}: field {name} is {shape}, want (n, *{row_shape})")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(arrays[name], dtype=dtype)
        bad = np.isinf(array) if name in NAN_FIELDS else ~np.isfinite(array)
        if array.dtype.kind == "f" and bad.any():
            raise ShardError(f"{utterance_id}: {int(bad.sum())} values of {name} not finite")
        return array

    def _write_index(self) -> None:
        rejects = _to_json(self._rejects).encode()
        ids = [utterance_id.encode() for utterance_id in self._ids]
        id_type = h5py.string_dtype("utf-8", max([len(i) for i in ids], default=1))
        self._file["ids"] = np.array(ids, dtype=id_type)
        self._file["digests"] = np.array(self._digests, dtype=np.uint64)
        self._file["rejects"] = np.frombuffer(rejects, dtype=np.uint8)
        for name, offsets in self._offsets.items():
            self._file[f"{name}/offsets"] = np.array(offsets, dtype=np.int64)
        index_digest = _index_digest(self._ids, self._digests, self._offsets, rejects)
        for key, value in {**self._attributes, "index_digest": index_digest}.items():
            raw = str(value).encode()
            fixed_length = h5py.string_dtype("utf-8", len(raw) or 1)
            self._file.attrs.create(key, np.array(raw, dtype=fixed_length))


class ShardReader:
    """Reads one shard; ``reader[i]`` and ``reader.read(id)`` check the utterance's digest.

    Attributes: ``path``, ``modality``, ``fingerprint``, ``config``, ``tools``, ``ids``, ``index``
    (id -> position), ``rejects``, ``fields``.

    Raises:
        ShardError: not HDF5, not a shard, a newer version, an index that does not match its
            digest, a link out of the file, or an unexpected dtype.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise ShardError(
                f"{self.path}: not a readable HDF5 file ({_first_line(error)})"
            ) from None
        try:
            self._read_index()
        except ShardError:
            self._file.close()
            raise
        except (KeyError, ValueError, TypeError, OSError, RuntimeError, UnicodeError) as error:
            self._file.close()
            raise self._damaged(_first_line(error)) from None

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        utterance_id = self.ids[position]
        try:
            arrays = {
                name: self._data[name][offsets[position] : offsets[position + 1]]
                for name, offsets in self._offsets.items()
            }
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(f"{utterance_id} cannot be read: {_first_line(error)}") from None
        if _digest(utterance_id, arrays) != int(self._digests[position]):
            raise self._damaged(f"the checksum of {utterance_id} does not match")
        return arrays

    def read(self, utterance_id: str) -> dict[str, np.ndarray]:
        """All fields of one utterance, by id. Raises KeyError when the shard lacks it."""
        return self[self.index[utterance_id]]

    def lengths(self, field: str) -> np.ndarray:
        """(n,) int64: rows of ``field`` per utterance."""
        return np.diff(self._offsets[field])

    def damaged(self) -> Iterator[str]:
        """Yields the id of each utterance whose content does not match its digest."""
        for position, utterance_id in enumerate(self.ids):
            try:
                self[position]
            except ShardError:
                yield utterance_id

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read_index(self) -> None:
        if "format" not in self._file.attrs or self._attribute("format") != FORMAT:
            raise ShardError(f"{self.path}: an HDF5 file, but not a trimodal shard")
        if int(self._attribute("version")) > VERSION:
            raise ShardError(f"{self.path}: written by a newer trimodal; update this one")
        self.modality = self._attribute("modality")
        self.fingerprint = self._attribute("fingerprint")
        self.config: dict[str, Any] = json.loads(self._attribute("config"))
        self.tools: dict[str, Any] = json.loads(self._attribute("tools"))
        self.ids = [raw.decode() for raw in self._plain("ids", "S")[:]]
        self._digests = self._plain("digests", "u")[:]
        rejects = self._plain("rejects", "u")[:].tobytes()
        self.rejects: list[dict[str, str]] = json.loads(rejects)
        self.fields = sorted(set(self._file) - {"ids", "digests", "rejects"})
        self._data = {name: self._plain(f"{name}/data", "fiu") for name in self.fields}
        self._offsets = {name: self._plain(f"{name}/offsets", "i")[:] for name in self.fields}
        self.index = {utterance_id: i for i, utterance_id in enumerate(self.ids)}
        digest = _index_digest(self.ids, self._digests, self._offsets, rejects)
        if digest != self._attribute("index_digest") or len(self.index) != len(self.ids):
            raise self._damaged("the index does not match its checksum")
        for name, offsets in self._offsets.items():
            if len(offsets) != len(self.ids) + 1 or offsets[-1] != len(self._data[name]):
                raise self._damaged(f"{name} has not the rows its index promises")

    def _attribute(self, name: str) -> str:
        """A fixed-length string attribute of the file."""
        attribute = self._file.attrs.get_id(name)
        if attribute.dtype.kind != "S" or attribute.shape != ():
            raise self._damaged(f"attribute {name} has type {attribute.dtype}")
        return bytes(self._file.attrs[name]).decode()

    def _plain(self, name: str, kinds: str) -> h5py.Dataset:
        """A dataset stored in this very file, of a plain number or byte type."""
        node: h5py.Group = self._file
        for part in name.split("/"):
            if not isinstance(node.get(part, getlink=True), h5py.HardLink):
                raise self._damaged(f"{name} is missing or a link")
            node = node[part]
        if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
            raise self._damaged(f"{name} is not a plain dataset")
        if node.dtype.kind not in kinds:
            raise self._damaged(f"{name} has type {node.dtype}")
        return node

    def _damaged(self, what: str) -> ShardError:
        return ShardError(f"{self.path}: damaged shard: {what}; delete it and run its stage again")


def _digest(utterance_id: str, arrays: Arrays) -> int:
    digest = xxhash.xxh3_64(utterance_id.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.intdigest()


def _index_digest(ids: list[str], digests: Any, offsets: Mapping[str, Any], rejects: bytes) -> str:
    digest = xxhash.xxh3_64(_to_json(ids).encode())
    digest.update(np.asarray(digests, dtype=np.uint64).tobytes())
    for name in sorted(offsets):
        digest.update(name.encode() + np.asarray(offsets[name], dtype=np.int64).tobytes())
    digest.update(rejects)
    return digest.hexdigest()


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
