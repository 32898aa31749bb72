"""The ways in which others keep such features, each used as its documentation says.

All hold the same float16 arrays, audio as 160 x 200, a file a shard. A peer gives utterances in
order (``utterances``) and padded batches by its own loader (``batches``). None of them checks what
it reads.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from torch.utils.data import DataLoader, Dataset, get_worker_info

from benchmarks.collation import Arrays, Batch, padded
from benchmarks.corpus import STACKED, Corpus

Read = Callable[[str, str], Arrays]  # file, id -> arrays


class Peer(Protocol):
    """A rival: what it is and how it is set, and the two things that are timed."""

    name: str
    settings: str

    def utterances(self) -> Iterator[Arrays]:
        """All, in the order written."""

    def batches(self, batch_size: int, n_workers: int) -> Callable[[], Iterator[Batch]]:
        """What gives an epoch of padded batches; workers stay alive between epochs."""


class _ReadById:
    """A peer that reads an utterance by its id."""

    read: Read

    def __init__(self, folder: Path, corpus: Corpus, suffix: str = ".h5") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._places: list[tuple[str, str]] = []
        for number in range(corpus.n_shards):
            path = str(folder / f"{number}{suffix}")
            self._write(path, _arrays_of(corpus, number))
            self._places += [(path, utterance_id) for utterance_id, _ in corpus.shard(number)]

    def utterances(self) -> Iterator[Arrays]:
        for place in self._places:
            yield self.read(*place)

    def batches(self, batch_size: int, n_workers: int) -> Callable[[], Iterator[Batch]]:
        loader: DataLoader = DataLoader(
            _Places(self.read, self._places),
            batch_size,
            num_workers=n_workers,
            collate_fn=padded,
            persistent_workers=n_workers > 0,
        )
        return lambda: iter(loader)

    def _write(self, path: str, utterances: Iterator[tuple[str, Arrays]]) -> None:
        raise NotImplementedError


class _Places(Dataset):
    def __init__(self, read: Read, places: Sequence[tuple[str, str]]) -> None:
        self._read, self._places = read, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, position: int) -> Arrays:
        return self._read(*self._places[position])


class Hdf5Groups(_ReadById):
    """One group an utterance."""

    name = "HDF5, a group an utterance"
    settings = f"h5py {h5py.__version__}, libver latest, contiguous datasets, files kept open"

    def _write(self, path: str, utterances: Iterator[tuple[str, Arrays]]) -> None:
        with h5py.File(path, "w", libver="latest") as file:
            for utterance_id, arrays in utterances:
                group = file.create_group(utterance_id)
                for name, array in arrays.items():
                    group.create_dataset(name, data=array)

    def read(self, path: str, utterance_id: str) -> Arrays:
        group = _opened(path, os.getpid())[utterance_id]
        return {name: group[name][()] for name in STACKED}

    def utterances_at_a_low_level(self) -> Iterator[Arrays]:
        """As ``utterances``, past h5py's Python layer; few would write this."""
        for path, utterance_id in self._places:
            file, arrays = _opened(path, os.getpid()).id, {}
            for name in STACKED:
                dataset = h5py.h5d.open(file, f"{utterance_id}/{name}".encode())
                arrays[name] = np.empty(dataset.shape, np.float16)
                dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, arrays[name])
            yield arrays


@cache
def _opened(path: str, process_id: int) -> h5py.File:
    """Each process has its own handles: HDF5's do not survive a fork."""
    return h5py.File(path, "r", libver="latest")


class Lhotse(_ReadById):
    """lhotse's lossless storage of arrays; ``kind`` is its name there."""

    def __init__(self, folder: Path, corpus: Corpus, kind: str = "numpy_hdf5") -> None:
        from importlib.metadata import version

        self.name = f"lhotse, {kind}"
        self.settings = f"lhotse {version('lhotse')}, its reader with its cache of open files"
        self._kind = kind
        self._keys: dict[str, dict[str, str]] = {}  # as lhotse's manifests keep them
        super().__init__(folder, corpus, ".h5" if kind == "numpy_hdf5" else "")

    def _write(self, path: str, utterances: Iterator[tuple[str, Arrays]]) -> None:
        from lhotse.features.io import get_writer

        with get_writer(self._kind)(path) as writer:
            for utterance_id, arrays in utterances:
                flat_id = utterance_id.replace("/", "-")
                self._keys[utterance_id] = {
                    name: writer.write(f"{flat_id}-{name}", array) for name, array in arrays.items()
                }

    def read(self, path: str, utterance_id: str) -> Arrays:
        reader = _lhotse_reader(self._kind, path, os.getpid())
        return {name: reader.read(key) for name, key in self._keys[utterance_id].items()}


@cache
def _lhotse_reader(kind: str, path: str, process_id: int):  # type: ignore[no-untyped-def]
    from lhotse.features.io import close_cached_file_handles, get_reader

    if get_worker_info() is not None:
        close_cached_file_handles()  # those that a worker inherits
    return get_reader(kind)(path)


class WebDataset:
    """Tar files with a file a modality, ``.npy`` or webdataset's own ``.ten``."""

    def __init__(self, folder: Path, corpus: Corpus, suffix: str) -> None:
        import webdataset

        self.name = f"WebDataset, .{suffix} in tar"
        self.settings = f"webdataset {webdataset.__version__}, its decoder, no shuffle"
        self._suffix = suffix
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [str(folder / f"{number}.tar") for number in range(corpus.n_shards)]
        for number, path in enumerate(self._paths):
            with webdataset.TarWriter(path) as writer:
                for utterance_id, arrays in _arrays_of(corpus, number):
                    writer.write({"__key__": utterance_id, **self._members(arrays)})

    def utterances(self) -> Iterator[Arrays]:
        yield from self._pipeline()

    def batches(self, batch_size: int, n_workers: int) -> Callable[[], Iterator[Batch]]:
        from webdataset import WebLoader

        loader = WebLoader(  # batches are made in the workers, as its documentation advises
            self._pipeline().batched(batch_size, collation_fn=padded),
            batch_size=None,
            num_workers=n_workers,
            persistent_workers=n_workers > 0,
        )
        return lambda: iter(loader)

    def _members(self, arrays: Arrays) -> dict:
        if self._suffix == "ten":
            return {f"{name}.ten": [array] for name, array in arrays.items()}
        return {f"{name}.{self._suffix}": array for name, array in arrays.items()}

    def _pipeline(self):  # type: ignore[no-untyped-def]
        from webdataset import WebDataset as Tars

        return Tars(self._paths, shardshuffle=False).decode().map(self._arrays)

    def _arrays(self, sample: dict) -> Arrays:
        found = {name: sample[f"{name}.{self._suffix}"] for name in STACKED}
        return {name: array[0] for name, array in found.items()} if self._suffix == "ten" else found


def _arrays_of(corpus: Corpus, number: int) -> Iterator[tuple[str, Arrays]]:
    for utterance_id, arrays in corpus.shard(number):
        yield utterance_id, {name: arrays[name].reshape(STACKED[name]) for name in STACKED}
