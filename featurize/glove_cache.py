"""Word vectors read once into files that every process maps and none holds in memory of its own.

A source becomes, in the cache folder and under a key made of its content:

    KEY.vectors.npy   (n, dimension) float32      KEY.words.npy   UTF-8 bytes, end to end
    KEY.hashes.npy    (n,) uint64, sorted         KEY.ends.npy    (n,) int64, of each word there
    KEY.rows.npy      (n,) uint32, of each hash   KEY.json        written last: sizes, digests, mean

A word is found by its xxh3_64 in ``hashes``; the word itself is then compared. Against a dict of
words, which takes 130 bytes a word in each process, that costs some microseconds a word, and the
pages are shared.

The folder is ``$TRIMODAL_CACHE``, else ``$XDG_CACHE_HOME/trimodal``, else ``~/.cache/trimodal``.
It can be deleted at any time.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from featurize.atomic import atomic_path, remove_stale, write_text
from featurize.errors import TextError
from featurize.glove_sources import PACKAGED, Row, file_of, is_binary, packaged_version, read_rows
from featurize.plain_json import parse_json

LAYOUT = 1  # of the files above
ARRAYS = ("vectors", "words", "ends", "hashes", "rows")
BLOCK_BYTES = 1 << 20
SETTLED_S = 2.0  # a file changed later than this before it was read may change unseen once more


def cache_folder() -> Path:
    """Where the cache is, whether or not it is there."""
    if chosen := os.environ.get("TRIMODAL_CACHE"):
        return Path(chosen) / "glove"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trimodal" / "glove"


class Vocabulary:
    """Vectors and words of one source, mapped from the cache.

    Attributes: ``vectors`` (n, dimension) float32, ``mean`` (dimension,) float32 of all of them,
    ``uncased`` (no word has an upper-case letter), ``digest`` of words and vectors.
    """

    def __init__(self, folder: Path, key: str, facts: dict[str, Any]) -> None:
        arrays = {  # as plain arrays: each look into a memmap makes a memmap
            name: np.asarray(np.load(_path(folder, key, name), mmap_mode="r")) for name in ARRAYS
        }
        self.vectors = arrays["vectors"]
        self.mean = np.array(facts["mean"], np.float32)
        self.uncased: bool = facts["uncased"]
        self.digest: str = facts["digest"]
        self._words, self._ends = arrays["words"], arrays["ends"]
        self._hashes, self._rows = arrays["hashes"], arrays["rows"]

    def __len__(self) -> int:
        return len(self.vectors)

    def row(self, word: str) -> int | None:
        """The row of a word, as it is written; None when it has none."""
        raw = word.encode("utf-8", "surrogatepass")
        wanted = np.uint64(xxhash.xxh3_64_intdigest(raw))
        position = int(np.searchsorted(self._hashes, wanted))
        while position < len(self) and self._hashes[position] == wanted:
            row = int(self._rows[position])
            if self._raw(row) == raw:
                return row
            position += 1
        return None

    def words(self) -> list[str]:
        """All words, in the order of the rows."""
        content, ends = self._words.tobytes(), [0, *self._ends.tolist()]
        return [content[a:b].decode() for a, b in zip(ends, ends[1:], strict=False)]

    def _raw(self, row: int) -> bytes:
        start = int(self._ends[row - 1]) if row else 0
        return self._words[start : int(self._ends[row])].tobytes()


def open_vocabulary(source: str, folder: Path | None = None, *, check: bool = False) -> Vocabulary:
    """Maps a source's vectors from the cache, where they are put first if they are not there.

    Sizes are always checked, and with ``check`` the content too; what is damaged is made again.

    Raises:
        TextError: the source cannot be read (``glove_sources.read_rows``), or the cache cannot be
            written.
    """
    folder = folder or cache_folder()
    key = _key(source, folder)
    facts = _facts(folder, key, check)
    if facts is None:
        try:
            facts = _build(folder, key, read_rows(source), source)
        except OSError as error:
            raise TextError(
                f"{folder}: the cache of word vectors cannot be written ({error.strerror}); make "
                "room there, or set TRIMODAL_CACHE to another folder"
            ) from None
    return Vocabulary(folder, key, facts)


def is_cached(source: str, folder: Path | None = None) -> bool:
    """Whether opening a source reads the cache alone."""
    folder = folder or cache_folder()
    return _facts(folder, _key(source, folder), check=False) is not None


def source_digest(source: str, folder: Path | None = None) -> str:
    """What a source holds, in a word: its version or the digest of its file.

    The digest is remembered with the file's size, inode and times, so that a large file is read
    once. Raises TextError when there is no such file or package.
    """
    if source == PACKAGED:
        return f"{source} {packaged_version()}"
    path = file_of(Path(source))
    try:
        status = path.stat()
        stamp = [status.st_dev, status.st_ino, status.st_size]
        stamp += [status.st_mtime_ns, status.st_ctime_ns]
        name = xxhash.xxh3_128_hexdigest(os.fsencode(path.absolute()))
        note = (folder or cache_folder()) / f"{name}.digest.json"
        known = _read_json(note)
        if known.get("stamp") == stamp and isinstance(known.get("digest"), str):
            return known["digest"]
        digest = f"xxh3_128:{_file_digest(path)}"
    except OSError as error:
        raise TextError(f"{source}: cannot be read: {error.strerror}") from None
    if time.time() - status.st_ctime > SETTLED_S:
        with suppress(OSError):  # of no consequence: it is computed again next time
            write_text(note, json.dumps({"stamp": stamp, "digest": digest}))
    return digest


def _key(source: str, folder: Path) -> str:
    path = Path(source)
    member = "" if source == PACKAGED or file_of(path) == path else path.name
    kind = "binary" if source != PACKAGED and is_binary(path) else "text"
    described = [LAYOUT, source_digest(source, folder), member, kind]
    return xxhash.xxh3_128_hexdigest(json.dumps(described).encode())


def _path(folder: Path, key: str, name: str) -> Path:
    return folder / f"{key}.{name}.npy"


def _facts(folder: Path, key: str, check: bool) -> dict[str, Any] | None:
    """What ``KEY.json`` says, when the files are as it says; None otherwise."""
    facts = _read_json(folder / f"{key}.json")
    try:
        for name in ARRAYS:
            n_bytes, digest = facts["files"][name]
            path = _path(folder, key, name)
            if path.stat().st_size != n_bytes or (check and _file_digest(path) != digest):
                return None
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return facts


def _build(folder: Path, key: str, rows: Iterable[Row], source: str) -> dict[str, Any]:
    """Writes the files of a source. Two processes that do so at once write the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    with ExitStack() as stack:
        paths = {n: stack.enter_context(atomic_path(_path(folder, key, n))) for n in ARRAYS}
        row_of, mean = _write_vectors(paths["vectors"], rows)
        if not row_of:
            raise TextError(f"{source}: holds no word vectors")
        raw = [word.encode() for word in row_of]
        hashes = np.array([xxhash.xxh3_64_intdigest(word) for word in raw], np.uint64)
        order = np.argsort(hashes, kind="stable")
        arrays: dict[str, np.ndarray] = {
            "words": np.frombuffer(b"".join(raw), np.uint8),
            "ends": np.cumsum([len(word) for word in raw], dtype=np.int64),
            "hashes": hashes[order],
            "rows": order.astype(np.uint32),
        }
        for name, array in arrays.items():
            with paths[name].open("wb") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        facts = {
            "source": Path(source).name,
            "mean": mean.tolist(),
            "uncased": all(word == word.lower() for word in row_of),
            "digest": _content_digest(row_of, paths["vectors"]),
            "files": {n: [p.stat().st_size, _file_digest(p)] for n, p in paths.items()},
        }
    write_text(folder / f"{key}.json", json.dumps(facts))
    return facts


def _write_vectors(path: Path, rows: Iterable[Row]) -> tuple[dict[str, int], np.ndarray]:
    """Streams the vectors to a ``.npy`` file; the first row counts of a word that comes twice.

    Returns the rows of the words, and the vectors' mean in float32.
    """
    row_of: dict[str, int] = {}
    total = np.zeros(0)
    with path.open("wb") as file:
        for word, vector in rows:
            if not row_of:
                total = np.zeros(len(vector))
                _write_header(file, 0, len(vector))
            if row_of.setdefault(word, len(row_of)) == len(row_of) - 1:
                file.write(np.ascontiguousarray(vector, np.float32).data)
                total += vector
        file.seek(0)
        _write_header(file, len(row_of), len(total))  # of the same length, whatever the number
    return row_of, (total / max(len(row_of), 1)).astype(np.float32)


def _write_header(file: Any, n_words: int, dimension: int) -> None:
    shape = {"descr": "<f4", "fortran_order": False, "shape": (n_words, dimension)}
    np.lib.format.write_array_header_1_0(file, shape)


def _content_digest(words: Iterable[str], vectors: Path) -> str:
    digest = xxhash.xxh3_128("\n".join(words).encode())
    digest.update(np.load(vectors, mmap_mode="r").data)
    return f"xxh3_128:{digest.hexdigest()}"


def _file_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one when there is none."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
