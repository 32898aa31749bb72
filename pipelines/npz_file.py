"""NumPy's ``.npz`` archives from folders that others may have written."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# What a broken or hostile zip or npy makes Python raise; the last of an array that claims too much.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError, RuntimeError),
    *(SyntaxError, TypeError, OverflowError, MemoryError),
)


def check_answers(ids: "np.ndarray", labels: "np.ndarray", scores: "np.ndarray") -> None:
    """Raises ValueError unless they are texts (n,), and numbers (n, K) that are finite, twice."""
    import numpy as np

    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ValueError(f"ids of {ids.dtype} {ids.shape}")
    for array in (labels, scores):
        if array.ndim != 2 or array.shape != (len(ids), scores.shape[1]):
            raise ValueError(f"an array of {array.shape} for {len(ids)} segments")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"an array of {array.dtype} with values that are no numbers")


def read_npz(path: Path) -> "dict[str, np.ndarray]":
    """All arrays of an archive; nothing is unpickled. Raises ValueError for a damaged one."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}
    except BROKEN as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from None
