"""The filters a shard may be compressed with, and no others.

Zstandard at level 1 in chunks of 64 KiB won ``benchmarks/compression.py``: nothing made fc7 smaller
and was read faster, and small chunks are what utterances in random order want.
"""

from pathlib import Path
from typing import Any

from featurize.errors import ShardError

COMPRESSIONS = ("none", "zstd")
COMPRESSED_CHUNK_BYTES = 64 * 1024
_FILTERS = {"none": frozenset[int](), "zstd": frozenset({32015})}


def create_options(compression: str, path: Path) -> dict[str, Any]:
    """Options of ``create_dataset``. Raises ShardError when the filter cannot be had."""
    filters_of(compression, path)
    if compression == "none":
        return {}
    import hdf5plugin

    return dict(hdf5plugin.Zstd(clevel=1))


def filters_of(compression: str, path: Path) -> frozenset[int]:
    """HDF5 identifiers of the filters. Raises ShardError for an unknown or missing one."""
    if compression not in COMPRESSIONS:
        raise ShardError(f"{path}: compression {compression!r}; choose from {COMPRESSIONS}")
    if compression != "none":
        try:
            import hdf5plugin  # noqa: F401, registers the filters
        except ImportError:
            raise ShardError(
                f"{path}: compressed shards need hdf5plugin: pip install 'trimodal[compress]'"
            ) from None
    return _FILTERS[compression]
