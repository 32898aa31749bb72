"""Where each utterance stands in the files of a ``--decoded``: an index, not their content.

As Python objects a million utterances' words would take gigabytes in every worker process. As
digests of ids and positions they take tens of megabytes; the lines are read when they are wanted.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import xxhash

from featurize.errors import TextError
from pipelines.decoding.engine import Decoded
from pipelines.decoding.imported_lines import PARSERS, json_object

_Lines = tuple[bytes, bytes, int, int]  # id and content; place and number of the first line


def digest(key: bytes) -> int:
    """Of an id in UTF-8; that two of a million ids have the same is a matter of 1 in 40 million."""
    return xxhash.xxh3_64_intdigest(key)


class Places:
    """The stretches of files of one kind (of ``PARSERS``) that tell of each utterance.

    With ``check`` every line is parsed, otherwise only as far as finding its id goes.

    Raises:
        TextError: a line is malformed, or an id occurs twice; with file and line.
    """

    def __init__(self, kind: str, paths: Iterable[Path], *, check: bool) -> None:
        self._parse = PARSERS[kind]
        self._paths = tuple(paths)
        columns = [array("Q") for _ in range(5)]
        for number, path in enumerate(self._paths):
            for key, content, start, line in _lines(kind, path):
                if check:
                    self._parsed(content, path, line)
                found = (digest(key), number, start, len(content), line)
                for column, value in zip(columns, found, strict=True):
                    column.append(value)
        self.digests, order = _sorted(columns[0])
        self._where = [_as_array(column)[order] for column in columns[1:]]
        self._refuse_repeated()

    def find(self, wanted: int) -> Decoded | None:
        """What the files say of the id with that digest; None when they do not name it."""
        at = position(self.digests, wanted)
        if at is None:
            return None
        number, start, n_bytes, line = (int(column[at]) for column in self._where)
        with self._paths[number].open("rb") as stream:
            stream.seek(start)
            return self._parsed(stream.read(n_bytes), self._paths[number], line)

    def _parsed(self, content: bytes, path: Path, line: int) -> Decoded:
        try:
            return self._parse(content.decode("utf-8"))
        except ValueError as error:
            raise _malformed(path, line + self._n_sound(content), error) from None

    def _n_sound(self, content: bytes) -> int:
        """How many lines of an utterance can be read before the first that cannot."""
        lines = content.splitlines()
        for n, one in enumerate(lines):
            try:
                self._parse(one.decode("utf-8"))
            except ValueError:
                return n
        return 0

    def _refuse_repeated(self) -> None:
        twice = np.flatnonzero(self.digests[1:] == self.digests[:-1])
        if len(twice):
            places = [
                (int(self._where[0][at]), int(self._where[3][at])) for at in twice[0] + [0, 1]
            ]
            (_, first), (number, second) = sorted(places)
            raise TextError(
                f"{self._paths[number]}, line {second}: its id was already there in line {first}; "
                "keep one of them (a CTM has to be sorted)"
            )


def _lines(kind: str, path: Path) -> Iterator[_Lines]:
    """The utterances of a file; consecutive lines of a CTM with the same id are one."""
    named = _named(kind, path)
    if kind != "ctm":
        yield from named
        return
    for key, group in groupby(named, key=lambda found: found[0]):
        lines = list(group)
        start, last = lines[0][2], lines[-1]
        content = b"".join(content for _, content, _, _ in lines)
        if last[2] + len(last[1]) - start != len(content):
            raise _malformed(path, lines[0][3], "a comment between the words of one id; remove it")
        yield key, content, start, lines[0][3]


def _named(kind: str, path: Path) -> Iterator[_Lines]:
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not (kind == "ctm" and line.startswith(b";;")):
                yield _key(kind, path, line, number), line, start, number
            start += len(line)


def _key(kind: str, path: Path, line: bytes, number: int) -> bytes:
    try:
        if kind == "json_lines":
            return json_object(line.decode("utf-8"))["id"].encode()
        return line.split(None, 1)[0]
    except (ValueError, IndexError) as error:
        reason = "is empty; remove it" if isinstance(error, IndexError) else error
        raise _malformed(path, number, reason) from None


def _malformed(path: Path, line: int, reason: object) -> TextError:
    return TextError(f"{path}, line {line}: {reason}")


def position(digests: np.ndarray, wanted: int) -> int | None:
    """Where ``wanted`` stands in sorted uint64 (N,); None when it does not."""
    at = int(np.searchsorted(digests, np.uint64(wanted)))
    return at if at < len(digests) and digests[at] == np.uint64(wanted) else None


def _sorted(column: "array[int]") -> tuple[np.ndarray, np.ndarray]:
    found = _as_array(column)
    order = np.argsort(found, kind="stable")
    return found[order], order


def _as_array(column: "array[int]") -> np.ndarray:
    return np.frombuffer(column, dtype=np.uint64) if column else np.zeros(0, np.uint64)
