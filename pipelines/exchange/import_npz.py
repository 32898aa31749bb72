"""Import from one ``.npz`` an utterance: ``FOLDER/<utterance id>.npz``.

Each holds ``features`` (n, D) and, if known, ``times_s`` in seconds from the utterance's start:
(n,) for video, (n, 2) start and end for text. Nothing in it is unpickled, no size is believed
before it is checked, and no id or link leads out of FOLDER.
"""

import json
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from featurize.errors import CorpusError, UsageError
from pipelines.exchange.import_features import MAX_BYTES, Found, ReadFeatures
from pipelines.manifest import Utterance, existing_folder, safe_path
from pipelines.workspace import IMPORTED_FROM, Workspace

if TYPE_CHECKING:
    import numpy as np

NAMES = ("features", "times_s")
MAX_ROWS = 10_000_000  # or columns
# What a broken or hostile zip or npy makes Python raise.
BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, SyntaxError)


@dataclass(frozen=True)
class NpzSource:
    """A folder of npz files, one an utterance."""

    folder: Path

    @contextmanager
    def opened(self) -> Iterator[ReadFeatures]:
        """Yields a function that reads the rows of one utterance."""

        def read(utterance: Utterance) -> "dict[str, np.ndarray]":
            with _archive(self.folder, utterance.id) as archive:
                arrays = {name: _array(archive, name) for name in NAMES if _has(archive, name)}
            if "features" not in arrays:
                raise CorpusError("no array named features")
            if arrays["features"].ndim != 2:
                raise CorpusError(f"features is {arrays['features'].shape}, want (n, D)")
            return arrays

        yield read


def find_npz(
    folder: Path,
    workspace: Workspace,
    modality: str,
    hop_s: float | None,
    progress: Callable[[int], None],
) -> tuple[Found, int]:
    """Looks at the files of all utterances; ``progress`` is told of each.

    The digest is of what the zip's directories say: names, sizes and CRCs of the arrays. So it
    costs no reading, and still another content is another digest.

    ``hop_s`` is the time between rows of audio, None where it is unknown.

    Returns the source, and how many ``.npz`` files of the folder no utterance has.

    Raises:
        UsageError: no such folder, or no utterance has a readable file.
    """
    existing_folder(folder, "one .npz an utterance")
    digest, widths, n_found = xxhash.xxh3_128(), Counter[int](), 0
    for utterance in sorted(workspace.utterances, key=lambda u: u.id):
        facts, width = _facts(folder, utterance.id)
        digest.update(json.dumps([utterance.id, facts]).encode())
        widths.update([] if width is None else [width])
        n_found += facts is not None
        progress(1)
    if not widths:
        raise UsageError(
            f"{folder}: no utterance has a readable file; expected names such as "
            f"{workspace.utterances[0].id}.npz, with features (n, D)"
        )
    width = widths.most_common(1)[0][0]
    config = {
        IMPORTED_FROM: "npz",
        "folder_name": folder.resolve().name,
        "files_xxh3": digest.hexdigest(),
        "width": width,
        **({"hop_s": hop_s} if modality == "audio" else {}),
    }
    n_files = sum(1 for _ in folder.rglob("*.npz"))
    return Found(NpzSource(folder), width, config, {}), max(0, n_files - n_found)


def _facts(folder: Path, utterance_id: str) -> tuple[Any, int | None]:
    """What identifies the arrays of a file (None without one), and the features' width."""
    try:
        with _archive(folder, utterance_id) as archive:
            facts = [[i.filename, i.file_size, i.CRC] for i in archive.infolist()]
            shape, _ = _header(archive, "features")
            return facts, shape[1] if len(shape) == 2 else None
    except CorpusError:
        return _unreadable(folder, utterance_id), None


def _unreadable(folder: Path, utterance_id: str) -> Any:
    """What identifies a file that cannot be read; None when there is none."""
    try:
        path = _path(folder, utterance_id)
    except CorpusError as error:
        return str(error)
    return ["unreadable", path.stat().st_size] if path.is_file() else None


def _path(folder: Path, utterance_id: str) -> Path:
    try:
        return safe_path(folder, f"{utterance_id}.npz")
    except CorpusError:
        raise CorpusError("its .npz leads out of the folder") from None


@contextmanager
def _archive(folder: Path, utterance_id: str) -> Iterator[zipfile.ZipFile]:
    path = _path(folder, utterance_id)
    if not path.is_file():
        raise CorpusError("no .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN as error:
        raise CorpusError(f"its .npz cannot be read ({error})") from None


def _has(archive: zipfile.ZipFile, name: str) -> bool:
    return f"{name}.npy" in archive.namelist()


def _header(archive: zipfile.ZipFile, name: str) -> "tuple[tuple[int, ...], np.dtype]":
    """Shape and dtype of an array, checked against its size in the zip."""
    from numpy.lib import format as npy

    if not _has(archive, name):
        raise CorpusError(f"no array named {name}")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        n_bytes = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "fiu" or dtype.hasobject:
            raise CorpusError(f"{name} has dtype {dtype}, want real numbers")
        is_odd = min(shape, default=0) < 0 or max(shape, default=0) > MAX_ROWS
        if is_odd or n_bytes > MAX_BYTES or info.file_size != file.tell() + n_bytes:
            raise CorpusError(f"{name} claims {shape}, which is not what its file holds")
    return shape, dtype


def _array(archive: zipfile.ZipFile, name: str) -> "np.ndarray":
    from numpy.lib import format as npy

    _header(archive, name)
    with archive.open(f"{name}.npy") as file:
        array = npy.read_array(file, allow_pickle=False)
        file.read(1)  # the end: only now zipfile compares the checksum
        return array
