"""Reading shards of format version 1: a group a field, offsets, one digest an utterance.

Written by trimodal until 2026-11. Layout::

    /ids (n,)   /digests (n,) uint64, over id and all fields   /rejects (k,) JSON
    /<field>/data (rows, ...)   /<field>/offsets (n + 1,)
    attributes  format, version, modality, fingerprint, config, tools, index_digest

In targets, speaker, fold and labels were fields like the characters; here they become columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from featurize.errors import ShardError
from featurize.plain_json import parse_json
from featurize.shards.layout import (
    FORMAT,
    Arrays,
    Fields,
    damaged,
    open_plain,
    read_whole,
    table_dtype,
    to_json,
)

_NO_FIELDS = {"ids", "digests", "rejects"}
_NO_LABELS = np.full(7, np.nan, np.float32)


@dataclass(frozen=True)
class Version1:
    """The index of a version 1 shard, in version 2's terms, and the digests of its utterances."""

    attributes: Mapping[str, Any]  # of ``ShardIndex``
    fields: Fields  # as stored, those that are columns now among them
    offsets: Mapping[str, np.ndarray]
    digests: np.ndarray

    def check(self, path: Path, position: int, utterance_id: str, arrays: Arrays) -> None:
        """Raises ShardError unless all ``arrays`` of an utterance match its digest."""
        digest = xxhash.xxh3_64(utterance_id.encode())
        for name in sorted(arrays):
            digest.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode())
            digest.update(np.ascontiguousarray(arrays[name]).data)
        if digest.intdigest() != int(self.digests[position]):
            raise damaged(path, f"the checksum of {utterance_id} does not match")


def is_version1(file: h5py.h5f.FileID, path: Path) -> bool:
    """Whether the file calls itself a shard, and has its header in single attributes."""
    return h5py.h5a.exists(file, b"format") and _attribute(file, path, "format") == FORMAT


def read_index(file: h5py.h5f.FileID, path: Path) -> Version1:
    """Reads and checks everything but the features.

    Raises:
        ShardError: a newer version, a missing or linked part, an unexpected type, an index that
            does not match its digest.
    """
    if int(_attribute(file, path, "version")) != 1:
        raise ShardError(f"{path}: written by a newer trimodal; update this one")
    ids = [raw.decode() for raw in read_whole(file, path, "ids", kinds="S").tolist()]
    digests = read_whole(file, path, "digests", kinds="u")
    rejects = read_whole(file, path, "rejects", kinds="u").tobytes()
    names = sorted(set(h5py.File(file)) - _NO_FIELDS)
    offsets = {name: read_whole(file, path, f"{name}/offsets", kinds="i") for name in names}
    if _index_digest(ids, digests, offsets, rejects) != _attribute(file, path, "index_digest"):
        raise damaged(path, "the index does not match its checksum")
    fields: Fields = {}
    for name in names:
        data = open_plain(file, path, f"{name}/data")
        if len(offsets[name]) != len(ids) + 1 or offsets[name][-1] != data.shape[0]:
            raise damaged(path, f"{name} has not the rows its index promises")
        fields[name] = (data.shape[1:], data.dtype.name)
    modality = _attribute(file, path, "modality")
    found = Version1({}, fields, offsets, digests)
    columns = _target_columns(file, path, ids, found) if modality == "targets" else {}
    kept = {name: spec for name, spec in fields.items() if name not in columns}
    table = _table(ids, columns, kept, offsets)
    attributes = {
        "version": 1,
        "modality": modality,
        "fingerprint": _attribute(file, path, "fingerprint"),
        "config": parse_json(_attribute(file, path, "config")),
        "tools": parse_json(_attribute(file, path, "tools")),
        "compression": "none",
        "fields": kept,
        "rejects": parse_json(rejects),
        "table": table,
        "column_names": list(columns),
    }
    return Version1(attributes, fields, offsets, digests)


def _target_columns(
    file: h5py.h5f.FileID, path: Path, ids: list[str], found: Version1
) -> dict[str, np.ndarray]:
    """speaker, fold and labels of a targets shard, each utterance checked."""
    data = {name: read_whole(file, path, f"{name}/data", kinds="fu") for name in found.fields}
    values: dict[str, list[Any]] = {"speaker": [], "fold": [], "labels": []}
    for position, utterance_id in enumerate(ids):
        arrays = {
            name: rows[found.offsets[name][position] : found.offsets[name][position + 1]]
            for name, rows in data.items()
        }
        found.check(path, position, utterance_id, arrays)
        values["speaker"].append(arrays["speaker"].tobytes())
        values["fold"].append(arrays["fold"].tobytes())
        values["labels"].append(arrays["labels"][0] if len(arrays["labels"]) else _NO_LABELS)
    return {
        "speaker": np.array(values["speaker"], dtype="S"),
        "fold": np.array(values["fold"], dtype="S"),
        "labels": np.array(values["labels"], np.float32).reshape(len(ids), len(_NO_LABELS)),
    }


def _table(
    ids: list[str],
    columns: Mapping[str, np.ndarray],
    fields: Fields,
    offsets: Mapping[str, np.ndarray],
) -> np.ndarray:
    raw = [utterance_id.encode() for utterance_id in ids]
    members = (
        ("id", f"S{max(map(len, raw), default=1) or 1}", ()),
        *((name, values.dtype.str, values.shape[1:]) for name, values in columns.items()),
    )
    table = np.zeros(len(ids), table_dtype(members, tuple(sorted(fields))))
    table["id"] = raw
    for name, values in columns.items():
        table[name] = values
    for name in fields:
        table[f"{name}_start"] = offsets[name][:-1]
        table[f"{name}_rows"] = np.diff(offsets[name])
    return table


def _attribute(file: h5py.h5f.FileID, path: Path, name: str) -> str:
    """A fixed-length string attribute of the file."""
    attribute = h5py.h5a.open(file, name.encode())
    if attribute.dtype.kind != "S" or attribute.shape != ():
        raise damaged(path, f"attribute {name} has type {attribute.dtype}")
    content = np.empty((), attribute.dtype)
    attribute.read(content)
    return content.item().decode()


def _index_digest(
    ids: list[str], digests: np.ndarray, offsets: Mapping[str, np.ndarray], rejects: bytes
) -> str:
    digest = xxhash.xxh3_64(to_json(ids).encode())
    digest.update(np.asarray(digests, dtype=np.uint64).tobytes())
    for name in sorted(offsets):
        digest.update(name.encode() + np.asarray(offsets[name], dtype=np.int64).tobytes())
    digest.update(rejects)
    return digest.hexdigest()
