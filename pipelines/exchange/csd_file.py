"""A computational sequence (``.csd``) of the CMU-MultimodalSDK, opened with care.

The file is HDF5: ``/<name>/data/<recording>/features`` (n, D) and ``intervals`` (n, 2), seconds in
the recording, and ``/<name>/metadata``. Others write it: no link in it is followed, no object read,
and sizes are checked before anything is.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import CorpusError, MediaError
from pipelines.hdf5_members import member, numeric_matrix
from pipelines.memory_limit import memory_limit

if TYPE_CHECKING:
    import numpy as np

MAX_ROWS = 10_000_000  # of one recording: a day at 100 a second
METADATA = (
    "root name",
    "computational sequence description",
    "computational sequence version",
    "dataset name",
    "dataset version",
    "creator",
)
MAX_METADATA = 200  # characters of one of these that are kept
METADATA_BYTES = 256 << 20  # HDF5 believes any length of a text, and takes it for minutes
_PART = re.compile(r"\[\d+\]$")
# What HDF5 and NumPy raise on damaged files.
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
EXPECTED = "expected a computational sequence (.csd) of the CMU-MultimodalSDK"

Entries = Mapping[str, list[str]]  # recording -> its entries in the file


@contextmanager
def open_csd(path: Path) -> Iterator[tuple[Any, Entries]]:
    """Yields the group ``/<name>/data`` and the names of its entries by recording.

    Raises:
        CorpusError: the file is no csd.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({first_line(error)}); {EXPECTED}") from None
    with file:
        try:
            if len(file) != 1:
                raise CorpusError(f"{len(file)} groups at its root, not one")
            data = member(member(file, next(iter(file)), h5py.Group), "data", h5py.Group)
            entries = _entries(data)
        except (CorpusError, *BROKEN) as error:
            raise CorpusError(f"{path}: {first_line(error)}; {EXPECTED}") from None
        yield data, entries


def _entries(data: Any) -> Entries:
    entries: dict[str, list[str]] = defaultdict(list)
    for name in data:
        entries[_PART.sub("", name)].append(name)
    return entries


def read_entry(data: Any, name: str) -> "tuple[Any, np.ndarray]":
    """Features, unread, and intervals (n, 2) float64 of one entry.

    Raises:
        CorpusError: they are missing, links, not numbers, too large or of different length; or one
            of BROKEN.
    """
    import h5py
    import numpy as np

    group = member(data, name, h5py.Group)
    features = numeric_matrix(group, "features", max_rows=MAX_ROWS)
    intervals = numeric_matrix(group, "intervals", max_rows=MAX_ROWS, n_columns=2)
    if len(features) != len(intervals):
        raise CorpusError(f"{len(features)} rows of features for {len(intervals)} intervals")
    return features, intervals[()].astype(np.float64)


def read_metadata(root: Any) -> dict[str, str]:
    """What the file says of itself, kept short; what cannot be read is left out."""
    import h5py

    found = {}
    for key in METADATA:
        try:
            dataset = member(member(root, "metadata", h5py.Group), key, h5py.Dataset)
            if h5py.check_string_dtype(dataset.dtype) and dataset.shape in ((), (1,)):
                with memory_limit(METADATA_BYTES):
                    text = dataset.asstr(errors="replace")[...].reshape(-1)[0]
                found[key] = str(text)[:MAX_METADATA]
        except (CorpusError, MediaError, *BROKEN):
            continue
    return found


def first_line(error: Exception) -> str:
    """HDF5's messages have several."""
    return (str(error).splitlines() or [type(error).__name__])[0]
