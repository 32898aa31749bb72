"""Which number stands for which word in a decoding graph: of words.txt, or of the graph itself.

The binary form of a symbol table is that of OpenFst 1.6 to 1.8, ``symbol-table.cc`` and ``fst.cc``.
"""

import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model_files import FST_HAS_OUTPUT_SYMBOLS

_TABLE_MAGIC = 2125658996
_HAS_INPUT_SYMBOLS = 1
_LONGEST = 1 << 16  # bytes of a symbol; more is a damaged file


@lru_cache(maxsize=1)
def word_symbols(path: Path) -> dict[str, str]:
    """Words by their numbers, from words.txt (``word number`` a line) or an .fst that has them.

    Raises ModelError when the file is neither.
    """
    try:
        if path.suffix == ".fst":
            with path.open("rb") as stream:
                return _of_fst(stream)
        lines = path.read_text(encoding="utf-8").splitlines()
        return {number: word for word, number in (line.split() for line in lines if line.strip())}
    except (ValueError, struct.error):
        raise ModelError(f"{path}: holds no readable table of words; copy it again") from None


def _of_fst(stream: BinaryIO) -> dict[str, str]:
    _integer(stream, 4)
    for _ in ("kind of graph", "kind of arcs"):
        _string(stream)
    _integer(stream, 4)
    flags = _integer(stream, 4)
    stream.read(4 * 8)  # properties, start, numbers of states and of arcs
    if flags & _HAS_INPUT_SYMBOLS:
        _table(stream)
    if not flags & FST_HAS_OUTPUT_SYMBOLS:
        raise ValueError("no words")
    return _table(stream)


def _table(stream: BinaryIO) -> dict[str, str]:
    if _integer(stream, 4) != _TABLE_MAGIC:
        raise ValueError("no symbol table")
    _string(stream)
    _integer(stream, 8)
    words = {}
    for _ in range(_integer(stream, 8)):
        word = _string(stream)
        words[str(_integer(stream, 8))] = word
    return words


def _integer(stream: BinaryIO, n_bytes: int) -> int:
    (value,) = struct.unpack("<i" if n_bytes == 4 else "<q", stream.read(n_bytes))
    return value


def _string(stream: BinaryIO) -> str:
    length = _integer(stream, 4)
    if not 0 <= length <= _LONGEST:
        raise ValueError("no string")
    return stream.read(length).decode("utf-8")
