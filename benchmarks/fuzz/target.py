"""What is fuzzed: a reader of a file that a stranger hands over, and good files to begin with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz import mutations
from featurize.errors import LONGEST_MESSAGE, TrimodalError

Mutate = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: what it reads.
        file: of the file that is fuzzed, relative to a folder of its own.
        seeds: good contents; none: the file as ``prepare`` leaves it.
        read: given that folder; gives anything, or raises a TrimodalError.
        prepare: lays out what else the reader wants there, once.
        mutations: how a good content goes wrong.
        names_file: whether every error has to name the file.
    """

    name: str
    file: str
    seeds: Sequence[bytes]
    read: Callable[[Path], Any]
    prepare: Callable[[Path], Any] = lambda folder: None
    mutations: Sequence[Mutate] = (mutations.bytes_gone_wrong, mutations.lines_gone_wrong)
    names_file: bool = True


def lay_out(target: Target, folder: Path) -> Sequence[bytes]:
    """Readies a folder for a target; returns the good contents."""
    target.prepare(folder)
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    return target.seeds or (path.read_bytes(),)


def content(target: Target, seeds: Sequence[bytes], rng: Random) -> bytes:
    """One bad file; also a good one, now and then."""
    seed = rng.choice(seeds)
    return seed if rng.random() < 0.01 else rng.choice(target.mutations)(rng, seed)


def complaint(target: Target, folder: Path, bad: bytes) -> str | None:
    """What is wrong with how the target reads ``bad``; None when nothing is."""
    (folder / target.file).write_bytes(bad)
    try:
        target.read(folder)
    except TrimodalError as error:
        return _unfit(target, str(error))
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None


def _unfit(target: Target, message: str) -> str | None:
    if not message.strip() or not message.isprintable():
        return f"not one readable line: {message[:300]!r}"
    if len(message) > LONGEST_MESSAGE:
        return f"{len(message)} characters: {message[:300]!r}"
    if target.names_file and Path(target.file).name not in message:
        return f"does not name {target.file}: {message[:300]!r}"
    return None
