"""Members of HDF5 files from strangers: no links followed, no objects, nothing in other files."""

import math
from typing import Any

from featurize.errors import CorpusError

MAX_COLUMNS = 1_000_000
MAX_CHUNK = 10_000_000  # values; a small array stored in a huge chunk would fill the memory


def member(group: Any, name: str, kind: type) -> Any:
    """Member of an HDF5 group; never one that a soft or external link leads to.

    Raises:
        CorpusError: there is none, it is a link, or not of this kind (h5py.Group or h5py.Dataset).
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise CorpusError(f"no {name!r} in {group.name}")
    if not isinstance(link, h5py.HardLink):
        raise CorpusError(f"{name!r} in {group.name} is a link, which is not followed")
    found = group[name]
    if not isinstance(found, kind):
        raise CorpusError(f"{found.name} is not a {kind.__name__.lower()}")
    return found


def numeric_matrix(group: Any, name: str, *, max_rows: int, n_columns: int | None = None) -> Any:
    """A dataset (n, n_columns) of real numbers that lies wholly inside its file; not yet read.

    Raises:
        CorpusError: it is something else, or larger than allowed.
    """
    import h5py

    dataset = member(group, name, h5py.Dataset)
    shape: tuple[int, ...] = dataset.shape or ()
    if _kind(dataset) not in "fiu" or len(shape) != 2 or n_columns not in (None, shape[1]):
        width = "d" if n_columns is None else n_columns
        raise CorpusError(f"{dataset.name} is not a numeric array of shape (n, {width})")
    if dataset.external or dataset.is_virtual:
        raise CorpusError(f"{dataset.name} keeps its values in another file")
    is_large = shape[0] > max_rows or shape[1] > MAX_COLUMNS
    if is_large or math.prod(dataset.chunks or ()) > MAX_CHUNK:
        raise CorpusError(f"{dataset.name} is too large: {shape} in chunks of {dataset.chunks}")
    return dataset


def _kind(dataset: Any) -> str:
    """NumPy's letter for the values' type; "V" for one that NumPy does not have."""
    try:
        return dataset.dtype.kind
    except (TypeError, ValueError):
        return "V"
