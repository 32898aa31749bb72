"""Kaldi data directories and archives: their tables, and matrices.

A data directory is a folder of text files with a key and a value a line: ``wav.scp`` says where
recordings are, ``segments`` cuts them, ``utt2spk`` names speakers, ``text`` has the words,
``feats.scp`` points into archives of matrices (https://kaldi-asr.org/doc/data_prep.html). Keys
are sorted as bytes, as ``LC_ALL=C sort`` does, because Kaldi reads several tables side by side.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import CorpusError

if TYPE_CHECKING:
    import numpy as np

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def read_table(path: Path) -> dict[str, str]:
    """Key -> value of every line, in order; the value may be empty. Item i is line i + 1.

    Raises:
        CorpusError: the file cannot be read, or a line of it is not as Kaldi wants it; with the
            line's number.
    """
    table: dict[str, str] = {}
    last = b""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                key, value = _fields(f"{path}:{number}", line, last)
                last = key
                table[key.decode()] = value
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None
    return table


def read_columns(path: Path, names: str) -> dict[str, list[str]]:
    """As ``read_table``, of lines with exactly the columns in ``names``, e.g. "utterance speaker".

    Returns key -> the columns after it.
    """
    n = len(names.split()) - 1
    table = {key: value.split() for key, value in read_table(path).items()}
    for number, (key, values) in enumerate(table.items(), 1):
        if len(values) != n:
            raise CorpusError(
                f"{path}:{number}: {key!r} has {len(values)} columns after it, not {n}; a line is "
                f"{names!r}"
            )
    return table


def table_text(table: Mapping[str, str]) -> str:
    """The lines of a table, sorted as Kaldi wants them."""
    lines = (f"{key} {table[key]}".rstrip(" ") for key in sorted(table, key=str.encode))
    return "".join(f"{line}\n" for line in lines)


def seconds_text(seconds: float) -> str:
    """A time with all its digits and no exponent, which awk and people read alike."""
    return format(Decimal(repr(float(seconds))), "f")


def write_ark(
    path: Path, matrices: "Iterable[tuple[str, np.ndarray]]", *, named: Path
) -> dict[str, str]:
    """Writes float32 matrices (n, D) to an archive; returns the lines of its ``scp``.

    Args:
        matrices: key and matrix; one is in memory at a time.
        named: the path under which the archive will be found.
    """
    import kaldiio
    import numpy as np

    lines = {}
    with path.open("wb") as file:
        for key, matrix in matrices:
            lines[key] = f"{named}:{file.tell() + len(key.encode()) + 1}"
            kaldiio.save_ark(file, {key: np.asarray(matrix, dtype=np.float32)})
    return lines


def _fields(where: str, line: bytes, last: bytes) -> tuple[bytes, str]:
    """Key and value of a line that comes after the key ``last``."""
    if not line.endswith(b"\n"):
        raise CorpusError(f"{where}: the last line has no end; is the file a whole copy?")
    if line.endswith(b"\r\n"):
        raise CorpusError(f"{where}: a Windows line end; mend the file with `sed -i 's/\\r$//'`")
    body = line[:-1]
    if _CONTROL.search(body):
        raise CorpusError(f"{where}: a control character; this is no Kaldi table")
    key, *values = body.split(maxsplit=1)[:2] or [b""]
    if not key or not body.startswith(key):
        raise CorpusError(f"{where}: an empty line, or a blank before the key")
    if key == last:
        raise CorpusError(f"{where}: {key.decode(errors='replace')!r} occurs twice")
    if key < last:
        raise CorpusError(
            f"{where}: {key.decode(errors='replace')!r} comes after "
            f"{last.decode(errors='replace')!r}; sort the file with `LC_ALL=C sort`, or the folder "
            "with Kaldi's utils/fix_data_dir.sh"
        )
    try:
        key.decode()
        return key, values[0].strip().decode() if values else ""
    except UnicodeDecodeError:
        raise CorpusError(f"{where}: not UTF-8; convert the file with iconv") from None
