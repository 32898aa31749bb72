"""Which filter a shard may be compressed with: all of h5py's and hdf5plugin's on fc7 and LFBE.

    python -m benchmarks.compression

For each filter, level and chunk size: size, and speed of writing, of reading everything in order,
and of reading single utterances of 64 KiB (8 s: 8 pictures or 819 frames) at random. Speeds are in
MB of uncompressed float16, one thread, warm page cache; ratios are against no compression.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from hdf5plugin import Bitshuffle, Blosc, Blosc2, Zstd

from benchmarks.samples import FPS, QUICK_FPS, fc7_before_relu, lfbe_of_speech, relu, sparse
from benchmarks.timing import MIB, Options, Report, alternate, run

CHUNK_KIB = (64, 256, 1024)
UTTERANCE_BYTES = 64 * 1024
N_RANDOM = 150
ROUNDS = 3
FILTERS: dict[str, Mapping[str, Any]] = {
    "none": {},
    "gzip-1 + shuffle": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "gzip-4 + shuffle": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "lzf + shuffle": {"compression": "lzf", "shuffle": True},
    "LZ4": hdf5plugin.LZ4(),
    "Zstd-1": Zstd(clevel=1),
    "Zstd-3": Zstd(clevel=3),
    "Zstd-1 + shuffle": {**Zstd(clevel=1), "shuffle": True},
    "Zstd-3 + shuffle": {**Zstd(clevel=3), "shuffle": True},
    "Zstd-9": Zstd(clevel=9),
    "Bitshuffle LZ4": Bitshuffle(cname="lz4"),
    "Bitshuffle Zstd-1": Bitshuffle(cname="zstd", clevel=1),
    "Bitshuffle Zstd-3": Bitshuffle(cname="zstd", clevel=3),
    "Blosc LZ4-5 shuffle": Blosc("lz4", 5, Blosc.SHUFFLE),
    "Blosc LZ4-5 bitshuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "Blosc Zstd-1 shuffle": Blosc("zstd", 1, Blosc.SHUFFLE),
    "Blosc Zstd-3 shuffle": Blosc("zstd", 3, Blosc.SHUFFLE),
    "Blosc Zstd-1 bitshuffle": Blosc("zstd", 1, Blosc.BITSHUFFLE),
    "Blosc Zstd-3 bitshuffle": Blosc("zstd", 3, Blosc.BITSHUFFLE),
    "Blosc2 LZ4-5 shuffle": Blosc2("lz4", 5, Blosc2.SHUFFLE),
    "Blosc2 Zstd-1 shuffle": Blosc2("zstd", 1, Blosc2.SHUFFLE),
    "Blosc2 Zstd-3 bitshuffle": Blosc2("zstd", 3, Blosc2.BITSHUFFLE),
}
QUICK = ("none", "gzip-1 + shuffle", "LZ4", "Zstd-1", "Zstd-1 + shuffle", "Blosc Zstd-1 shuffle")


@dataclass(frozen=True)
class Candidate:
    """A filter at a chunk size, and the file in which it holds the rows of a study."""

    name: str
    kib: int
    path: Path

    def write(self, rows: np.ndarray) -> None:
        """All rows in one call."""
        chunk = (max(1, self.kib * 1024 // rows[0].nbytes), *rows.shape[1:])
        with h5py.File(self.path, "w", libver="latest") as file:
            file.create_dataset("rows", data=rows, chunks=chunk, **FILTERS[self.name])

    def read(self, ready: np.ndarray) -> None:
        """All rows, into an array that is there already."""
        with h5py.File(self.path) as file:
            file["rows"].read_direct(ready)

    def read_at_random(self, starts: Sequence[int], n_rows: int) -> None:
        """``n_rows`` from each of ``starts``; the cache holds two chunks, an utterance's."""
        with h5py.File(self.path, rdcc_nbytes=2 * self.kib * 1024, rdcc_nslots=521) as file:
            data = file["rows"]
            for start in starts:
                data[start : start + n_rows]

    def stored_bytes(self) -> int:
        """What the rows take on disk."""
        with h5py.File(self.path) as file:
            return file["rows"].id.get_storage_size()


def compression(options: Options) -> Report:
    """Every filter at every chunk size, on three kinds of rows."""
    report = Report()
    for kind, rows in _kinds(options).items():
        with tempfile.TemporaryDirectory() as folder:
            candidates = [
                Candidate(name, kib, Path(folder) / f"{number}-{kib}.h5")
                for number, name in enumerate(QUICK if options.quick else FILTERS)
                for kib in ((64,) if options.quick else CHUNK_KIB)
            ]
            _study(report, kind, rows, candidates)
    return report


def _study(report: Report, kind: str, rows: np.ndarray, candidates: list[Candidate]) -> None:
    """Writes, reads and reads at random with all candidates in turn; adds a table."""
    n_rows = UTTERANCE_BYTES // rows[0].nbytes
    starts = np.random.default_rng(0).integers(0, len(rows) - n_rows, N_RANDOM).tolist()
    ready = np.empty_like(rows)
    write_s = alternate({c: partial(c.write, rows) for c in candidates}, ROUNDS)
    read_s = alternate({c: partial(c.read, ready) for c in candidates}, ROUNDS)
    random_s = alternate({c: partial(c.read_at_random, starts, n_rows) for c in candidates}, ROUNDS)
    plain = {c.kib: c for c in candidates if c.name == "none"}
    lines = []
    for c in candidates:
        size = c.stored_bytes() / rows.nbytes
        speeds = (
            rows.nbytes / 1e6 / write_s[c],
            rows.nbytes / 1e6 / read_s[c],
            N_RANDOM * UTTERANCE_BYTES / 1e6 / random_s[c],
        )
        lines.append([c.name, c.kib, f"{size:.3f}", *(f"{speed:,.0f}" for speed in speeds)])
        key = f"{kind.split(':')[0]}/{c.name}/{c.kib}KiB"
        report.ratios[f"{key}/size"] = round(size, 4)
        report.ratios[f"{key}/read"] = round(read_s[plain[c.kib]] / read_s[c], 4)
    columns = ["filter", "chunk KiB", "size", "write MB/s", "read MB/s", "at random MB/s"]
    report.table(kind, columns, lines)


def _kinds(options: Options) -> dict[str, np.ndarray]:
    """Rows of float16 of three kinds, 32 MiB each; 8 with ``--quick``."""
    n_bytes = (8 if options.quick else 32) * MIB
    fps = QUICK_FPS if options.quick else FPS
    before = fc7_before_relu(fps)
    order = _utterances(len(before), n_bytes // (before[0].nbytes // 2), max(1, round(0.32 * fps)))
    lfbe = lfbe_of_speech().astype(np.float16)
    return {
        "fc7-80: fc7 with 80% zeros, for trained weights": sparse(before, 0.8)[order].astype("f2"),
        "fc7-random: fc7 of random weights": relu(before)[order].astype("f2"),
        "lfbe: LFBE of speech": np.resize(lfbe, (n_bytes // lfbe[0].nbytes, lfbe.shape[1])),
    }


def _utterances(n_pictures: int, n_rows: int, step: int) -> np.ndarray:
    """(n_rows,) numbers of pictures: 8 of a clip, ``step`` apart (0.3 s), from random places."""
    starts = np.random.default_rng(0).integers(0, n_pictures - 8 * step, n_rows // 8)
    return (starts[:, None] + step * np.arange(8)).reshape(-1)


if __name__ == "__main__":
    run(compression)
