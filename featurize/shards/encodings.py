"""How the numbers of a field are stored: as they are, as bfloat16, or as int8 with a scale a row.

What each loses is measured in ``benchmarks/encodings.py`` and told in ``docs/shard-format.md``.
"""

import numpy as np

BFLOAT16 = "bfloat16"  # kept as the upper 16 bits of a float32, in a uint16
INT8_SCALED = "int8_scaled"  # round(x / scale), scale = max |x| / 127 of the row
ENCODINGS = ("float16", "float32", BFLOAT16, INT8_SCALED)  # those for features
_STORED_AS = {BFLOAT16: "uint16", INT8_SCALED: "int8"}
_INT8_MAX = 127

# What is stored of some rows: the numbers and, for ``int8_scaled`` alone, (n,) float32 scales.
Stored = tuple[np.ndarray, np.ndarray | None]


def stored_dtype(encoding: str) -> np.dtype:
    """The dtype in the file. Raises ValueError for what is neither an encoding nor a number."""
    try:
        dtype = np.dtype(_STORED_AS.get(encoding, encoding))
    except TypeError:
        raise ValueError(f"no such encoding: {encoding!r}") from None
    if dtype.kind not in "fiu" or dtype.itemsize > 8 or not dtype.isnative:
        raise ValueError(f"no such encoding: {encoding!r}")
    return dtype


def is_scaled(encoding: str) -> bool:
    """Whether each row has a scale beside it."""
    return encoding == INT8_SCALED


def encode(rows: np.ndarray, encoding: str) -> Stored:
    """``rows`` (n, ...) as they are stored; contiguous. Overflow becomes infinite, not an error."""
    if encoding == BFLOAT16:
        return _to_bfloat16(np.asarray(rows, np.float32)), None
    if encoding == INT8_SCALED:
        return _to_int8(np.asarray(rows, np.float32))
    dtype = stored_dtype(encoding)
    if rows.dtype == dtype:
        return np.ascontiguousarray(rows), None
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, dtype=dtype), None


def decode(stored: np.ndarray, scale: np.ndarray | None, encoding: str) -> np.ndarray:
    """The rows: as stored, but float32 for ``bfloat16`` and ``int8_scaled``."""
    if encoding == BFLOAT16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if scale is not None:
        return stored * scale.reshape(-1, *(1 for _ in stored.shape[1:]))
    return stored


def n_not_finite(stored: Stored, encoding: str, *, may_be_nan: bool = False) -> int:
    """How many of the stored numbers are infinite or, unless ``may_be_nan``, not a number."""
    numbers, scale = stored
    if encoding == BFLOAT16:
        return int((numbers & 0x7F80 == 0x7F80).sum())
    checked = numbers if scale is None else scale
    if checked.dtype.kind != "f" or not checked.size:
        return 0
    if checked.dtype == np.float16 and _is_finite(checked):
        return 0
    return int((np.isinf(checked) if may_be_nan else ~np.isfinite(checked)).sum())


def _is_finite(half: np.ndarray) -> bool:
    """By the bits, as NumPy's own test of float16 takes 25 times as long: infinity and NaN are
    the largest of the positive numbers and, without sign, of the negative ones."""
    return bool(half.view(np.int16).max() < 0x7C00 and half.view(np.uint16).max() < 0xFC00)


def _to_bfloat16(rows: np.ndarray) -> np.ndarray:
    """Rounded to nearest, ties to even, as IEEE 754 rounds; NaN stays one."""
    bits = np.ascontiguousarray(rows).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(rows), 0x7FC0, rounded).astype(np.uint16)


def _to_int8(rows: np.ndarray) -> Stored:
    flat = rows.reshape(len(rows), -1) if rows.size else np.zeros((len(rows), 1), np.float32)
    scale = (np.abs(flat).max(axis=1) / _INT8_MAX).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = np.rint(flat / np.where(scale > 0, scale, 1)[:, None])
        levels = np.nan_to_num(levels, nan=0, posinf=0, neginf=0)  # the scale tells, see above
    bounded = np.clip(levels, -_INT8_MAX, _INT8_MAX).astype(np.int8)
    return np.ascontiguousarray(bounded.reshape(rows.shape)), scale
