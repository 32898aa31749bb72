"""The shard store against its speed targets: reading, batches, random access, opening, writing.

    python -m benchmarks.store [--quick] [--json]

All rivals hold the same float16 data on the same disk, warm in the page cache, and take turns in
one run; figures are medians. What is made up, and how, is told in ``benchmarks/corpus.py``; the
peers and their settings in ``benchmarks/peers.py``.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np

from benchmarks.batches import add_batches
from benchmarks.corpus import N_STACKED, SHAPES, Corpus, write_shard, write_workspace
from benchmarks.million import million_lines
from benchmarks.peers import Hdf5Groups, Lhotse, Peer, WebDataset
from benchmarks.timing import MIB, Line, Options, Report, alternate, run
from featurize.shards import ShardReader
from model.store import FeatureStore


def store(options: Options) -> Report:
    """Every line of the speed targets."""
    corpus = Corpus(2, 200) if options.quick else Corpus(4, 250)
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_workspace(folder / "ours", corpus)
        peers: list[Peer] = [
            Hdf5Groups(folder / "groups", corpus),
            WebDataset(folder / "npy", corpus, "npy"),
            WebDataset(folder / "ten", corpus, "ten"),
            Lhotse(folder / "lhotse-hdf5", corpus, "numpy_hdf5"),
            Lhotse(folder / "lhotse-files", corpus, "numpy_files"),
        ]
        os.sync()  # no write-back while we measure
        ours = FeatureStore(folder / "ours", n_stacked_frames=N_STACKED)
        title = f"{len(corpus):,} utterances of 404 KB, {corpus.n_bytes / MIB:,.0f} MiB"
        report.table(title, ("who", "settings"), [(p.name, p.settings) for p in peers])
        report.lines("Reading everything in order", sequential_lines(folder / "ours", options))
        add_arrays(report, ours, peers, options)
        add_batches(report, ours, peers, options)
        report.lines("Writing", writing_lines(folder / "written", corpus, options))
    report.lines("A workspace made up", million_lines(options))
    return report


def sequential_lines(folder: Path, options: Options) -> Iterator[Line]:
    """Every field of every utterance, digests checked, against one ``readinto`` a file."""
    for name, modalities in {"all": list(SHAPES), **{m: [m] for m in SHAPES}}.items():
        paths = [path for m in modalities for path in sorted(folder.glob(f"*.{m}.h5"))]
        ready = bytearray(max(path.stat().st_size for path in paths))
        n_bytes = sum(path.stat().st_size for path in paths)
        runs = {"ours": partial(_read_shards, paths), "plain": partial(_read_plain, paths, ready)}
        median_s = alternate(runs, options.rounds)
        speeds = {who: n_bytes / 1e9 / seconds for who, seconds in median_s.items()}
        yield Line(
            f"sequential_{name}_over_plain",
            f"checked reading, {name}, {n_bytes / MIB:,.0f} MiB",
            f"{speeds['ours']:.2f} GB/s",
            f"one readinto a file: {speeds['plain']:.2f} GB/s",
            speeds["ours"] / speeds["plain"],
            0.85 if name == "all" else None,
        )


def _read_shards(paths: list[Path]) -> None:
    for path in paths:
        with ShardReader(path) as shard:
            for position in range(len(shard)):
                shard[position]


def _read_plain(paths: list[Path], ready: bytearray) -> None:
    for path in paths:
        with path.open("rb", buffering=0) as file:
            file.readinto(memoryview(ready)[: path.stat().st_size])


def add_arrays(report: Report, ours: FeatureStore, peers: Sequence[Peer], options: Options) -> None:
    """Ready NumPy arrays of three modalities, in order, one process."""
    groups = next(peer for peer in peers if isinstance(peer, Hdf5Groups))
    low_level = f"{groups.name}, through h5py.h5d"
    runs: dict[str, Callable[[], object]] = {"trimodal": partial(_our_arrays, ours)}
    runs |= {peer.name: partial(_exhaust, peer.utterances) for peer in peers}
    runs[low_level] = partial(_exhaust, groups.utterances_at_a_low_level)
    per_s = {who: len(ours) / taken_s for who, taken_s in alternate(runs, options.rounds).items()}
    best = max((peer.name for peer in peers), key=lambda who: per_s[who])
    lines = [
        Line(
            key,
            "utterances to ready arrays",
            f"{per_s['trimodal']:,.0f}/s",
            f"{who}: {per_s[who]:,.0f}/s",
            per_s["trimodal"] / per_s[who],
            target,
        )
        for key, who, target in (
            ("arrays_over_best_peer", best, 4.0),
            ("arrays_over_low_level_hdf5", low_level, None),
        )
    ]
    report.lines("Ready NumPy arrays, digests of ours checked", lines)
    report.table("All rivals", ("who", "/s"), [(who, f"{v:,.0f}") for who, v in per_s.items()])


def _our_arrays(ours: FeatureStore) -> None:
    for row in range(len(ours)):
        for modality in SHAPES:
            ours.features(row, modality)


def _exhaust(utterances: Callable[[], Iterator]) -> None:
    for _ in utterances():
        pass


def writing_lines(folder: Path, corpus: Corpus, options: Options) -> Iterator[Line]:
    """A shard of each modality to new files, against one ``create_dataset`` of all its rows."""
    ids = [utterance_id for utterance_id, _ in corpus.shard(0)]
    everything = {m: np.stack([arrays[m] for _, arrays in corpus.shard(0)]) for m in SHAPES}
    for name, modalities in {"all": list(SHAPES), "video": ["video"]}.items():
        rows = {modality: everything[modality] for modality in modalities}
        n_bytes = sum(array.nbytes for array in rows.values())
        for sync, context in {"with": _as_it_is, "without": _without_fsync}.items():
            runs = {
                "ours": partial(_write_ours, folder, ids, rows),
                "plain": partial(_write_plain, folder, rows),
            }
            with context():
                median_s = alternate(runs, options.rounds, before=partial(_make_anew, folder))
            yield Line(
                f"writing_{name}_{sync}_fsync_over_plain",
                f"write {name}, {n_bytes / MIB:,.0f} MiB, {sync} fsync",
                f"{median_s['ours'] * 1e3:.0f} ms",
                f"create_dataset: {median_s['plain'] * 1e3:.0f} ms",
                median_s["ours"] / median_s["plain"],
                1.5 if (name, sync) == ("all", "with") else None,
                more_is_better=False,
            )


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _write_ours(folder: Path, ids: list[str], rows: Mapping[str, np.ndarray]) -> None:
    for modality, array in rows.items():
        utterances = ((name, {modality: one}) for name, one in zip(ids, array, strict=True))
        write_shard(folder / f"ours.{modality}.h5", modality, utterances)


def _write_plain(folder: Path, rows: Mapping[str, np.ndarray]) -> None:
    for modality, array in rows.items():
        path = folder / f"plain.{modality}.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file.create_dataset("features", data=array.reshape(-1, array.shape[-1]))
            file.flush()
        with path.open("rb") as written:
            os.fsync(written.fileno())


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _without_fsync() -> Iterator[None]:
    """The processor's part alone, where the disk is slow."""
    with patch("os.fsync"):
        yield


if __name__ == "__main__":
    run(store)
