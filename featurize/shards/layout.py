"""Names, types and bounds of the shard format, and the careful opening of its parts.

What stands here holds for the writer and the reader alike; ``docs/shard-format.md`` explains it.
"""

import json
import math
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from featurize.errors import ShardError
from featurize.shards.encodings import stored_dtype

FORMAT = "trimodal-shard"
VERSION = 2
MODALITIES = ("audio", "video", "text", "targets")
HEADER, UTTERANCES, REJECTS = "header", "utterances", "rejects"

# HDF5 1.10's layout checksums its own structures, all but the heap of variable-length strings. In
# what has no checksum (h5py's default layout, that heap) a flipped bit can send the library into
# an endless loop: so this layout, and fixed-length strings only.
MAX_STRETCHES = 200  # of rows that the header tells the place of; more are left to HDF5
LIBVER = ("v110", "v110")
CHUNK_BYTES = 1024 * 1024
MAX_CHUNK_BYTES = 16 * CHUNK_BYTES  # what a reader takes for one chunk
MAX_UTTERANCE_BYTES = 2 * 1024**3  # of one field: 70 hours of LFBE, 3 hours of fc7 at 25 fps
MAX_HEADER_BYTES = 32 * 1024  # HDF5 keeps longer attributes elsewhere, unchecked
MAX_TEXT_BYTES = 1024  # of an id or a text column, whose longest sets the width of all

NAN_FIELDS = frozenset({"times_s"})  # a time may be unknown; a feature may not

Arrays = Mapping[str, np.ndarray]
FieldSpec = Mapping[str, tuple[tuple[int, ...], str]]  # name -> (shape of one row, encoding)
ColumnSpec = Mapping[str, Any]  # name -> "text", or (shape, dtype) of one value an utterance
TableColumns = tuple[tuple[str, str, tuple[int, ...]], ...]  # name, dtype, shape; first the id
Fields = dict[str, tuple[tuple[int, ...], str]]

# Targets: what the trainer learns from. ``characters`` is the transcript's UTF-8, ``labels`` are
# (sentiment, happy, sad, anger, surprise, disgust, fear), NaN for an utterance that has none.
TARGET_FIELDS: Fields = {"characters": ((), "uint8")}
TARGET_COLUMNS: ColumnSpec = {"speaker": "text", "fold": "text", "labels": ((7,), "float32")}
NO_LABELS = (math.nan,) * 7


def scale_name(field: str) -> str:
    """Dataset of the scales of an ``int8_scaled`` field."""
    return f"{field}_scale"


@lru_cache(maxsize=256)
def table_dtype(columns: TableColumns, fields: tuple[str, ...]) -> np.dtype | None:
    """One row of ``/utterances``: id, columns, then start, rows and digest of each field.

    None when the first column is not the id, or one is neither a number nor a text.
    """
    members: list[tuple] = list(columns)
    for name in fields:
        members += [(f"{name}_start", "<i8"), (f"{name}_rows", "<i8"), (f"{name}_xxh3", "<u8")]
    dtype = np.dtype(members)
    names = dtype.names or ()
    is_plain = all(dtype[name].base.kind in "Sfiu" for name in names)
    return dtype if is_plain and names[0] == "id" and dtype["id"].kind == "S" else None


def row_bytes(row_shape: tuple[int, ...], encoding: str) -> int:
    """Bytes of one row as stored, without its scale."""
    return math.prod(row_shape) * stored_dtype(encoding).itemsize


def rows_digest(stored: np.ndarray, scale: np.ndarray | None = None) -> int:
    """xxh3_64 of the rows of an utterance as stored (C order), the scales after them."""
    if scale is None:
        return xxhash.xxh3_64_intdigest(stored.data)
    digest = xxhash.xxh3_64(stored.data)
    digest.update(scale.data)
    return digest.intdigest()


def content_digest(content: bytes | memoryview) -> str:
    """xxh3_128, in hex, of the table or of the rejects."""
    return xxhash.xxh3_128_hexdigest(content)


def to_json(value: Any) -> str:
    """JSON with sorted keys: the same value gives the same text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def damaged(path: Path, what: str) -> ShardError:
    """The error for a shard that cannot be trusted."""
    return ShardError(f"{path}: damaged shard: {what}; delete it and run its stage again")


def first_line(error: BaseException) -> str:
    """An error's text for the end of ours."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def open_file(path: Path) -> h5py.h5f.FileID:
    """Opens a file to read. Raises ShardError when it is not HDF5.

    No lock is taken: shards do not change under their name, and some network disks have none.
    """
    try:
        return h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, fapl=_access())
    except OSError as error:
        raise ShardError(f"{path}: not a readable HDF5 file ({first_line(error)})") from None


def open_plain(file: h5py.h5f.FileID, path: Path, name: str) -> h5py.h5d.DatasetID:
    """A dataset whose numbers lie in this very file.

    Raises:
        ShardError: it is missing, a link, virtual, kept in other files, or said to be larger
            than the file without being compressed.
    """
    node = h5py.h5g.open(file, b"/")
    for part in name.encode().split(b"/"):
        links = node.links if isinstance(node, h5py.h5g.GroupID) else None
        if not links or not links.exists(part) or links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise damaged(path, f"{name} is missing or a link")
        node = h5py.h5o.open(node, part)
    if not isinstance(node, h5py.h5d.DatasetID) or not node.rank:
        raise damaged(path, f"{name} is not a dataset of rows")
    plan = node.get_create_plist()
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise damaged(path, f"{name} is neither contiguous nor chunked")
    if plan.get_external_count():
        raise damaged(path, f"{name} lies in other files")
    if not plan.get_nfilters() and node.get_storage_size() > file.get_filesize():
        raise damaged(path, f"{name} claims more bytes than the file has")
    return node


def read_whole(
    file: h5py.h5f.FileID, path: Path, name: str, dtype: np.dtype | None = None, kinds: str = ""
) -> np.ndarray:
    """All of an uncompressed dataset, of just this type or of one of these kinds of number.

    Raises:
        ShardError: see ``open_plain``; or it has another type.
    """
    dataset = open_plain(file, path, name)
    if dtype is None:
        dtype = dataset.dtype
        if dtype.kind not in kinds:
            raise damaged(path, f"{name} has type {dtype}")
    elif not dataset.get_type().equal(_in_hdf5(dtype)):
        raise damaged(path, f"{name} has another type than its header says")
    shape = dataset.shape
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > file.get_filesize():
        raise damaged(path, f"{name} claims more bytes than the file has")
    content = np.empty(shape, dtype)
    if n_bytes:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, content, _in_hdf5(dtype))
    return content


@cache
def _access() -> h5py.h5p.PropFAID:
    plan = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    plan.set_file_locking(False, True)
    plan.set_fclose_degree(h5py.h5f.CLOSE_STRONG)  # no dataset holds a closed file
    return plan


@lru_cache(maxsize=256)
def _in_hdf5(dtype: np.dtype) -> h5py.h5t.TypeID:
    return h5py.h5t.py_create(dtype)
