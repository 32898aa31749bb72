"""A made-up workspace of 1,100 shards and a million utterances: opening it, one utterance by id.

The features are tiny, for none is read on opening. One shard is written by ``ShardWriter``; the
others are copies of it in which the ids and speakers are replaced and the digest of the table made
again. It is kept under ``build/`` for the next run.
"""

import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.corpus import CHARACTERS, about, targets_of
from benchmarks.samples import CACHE
from benchmarks.timing import Line, Options, in_fresh_process, peak_bytes
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, VERSION, ShardReader, ShardWriter
from featurize.shards.layout import HEADER, UTTERANCES, content_digest, to_json

N_SHARDS, QUICK_SHARDS, SHARD_SIZE = 1100, 100, 910
ROWS = {"audio": (5, 8), "video": (1, 8), "text": (2, 5)}
LIMIT_S, LIMIT_MB, LIMIT_MS = 2.0, 500, 1.0
N_RANDOM = 2000


def million_lines(options: Options) -> list[Line]:
    """Opening against its limits, a random utterance against its own."""
    n_shards = QUICK_SHARDS if options.quick else N_SHARDS
    folder = workspace(n_shards)
    seen = [in_fresh_process(_open, folder) for _ in range(options.rounds)]
    seconds, n_bytes = (statistics.median(values) for values in zip(*seen, strict=True))
    what = f"open {n_shards:,} shards, {n_shards * SHARD_SIZE:,} utterances"
    share = n_shards / N_SHARDS  # a smaller workspace has smaller limits
    lines = [
        _limit("open_s", what, seconds, LIMIT_S * share, "s"),
        _limit("open_mb", f"{what}: memory", n_bytes / 1e6, LIMIT_MB * share, "MB"),
    ]
    for key, (where, taken_s) in in_fresh_process(_random, folder).items():
        taken_ms = np.sort(taken_s) * 1e3
        lines.append(_limit(key, f"{where}, median", float(np.median(taken_ms)), LIMIT_MS, "ms"))
        high, worst = float(taken_ms[int(0.95 * len(taken_ms))]), float(taken_ms[-1])
        lines.append(_limit(f"{key}_95th", f"{where}, 95th of 100", high, LIMIT_MS, "ms"))
        lines.append(_limit(f"{key}_worst", f"{where}, worst", worst, None, "ms"))
    return lines


def _limit(key: str, what: str, seen: float, limit: float | None, unit: str) -> Line:
    against = f"at most {limit or LIMIT_MS:.3g} {unit}"
    ratio = seen / (limit or LIMIT_MS)
    target = 1.0 if limit else None
    return Line(f"{key}_over_limit", what, f"{seen:.3g} {unit}", against, ratio, target, False)


def workspace(n_shards: int) -> Path:
    """The features folder, made where it is not there."""
    folder = CACHE / f"workspace-{n_shards}-v{VERSION}"
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        for part in (*ROWS, "targets"):
            _write_first(folder, part)
        with Pool(2) as pool:
            pool.starmap(_copy, [(folder, number) for number in range(1, n_shards)], chunksize=8)
        (folder / "complete").touch()
    return folder


def _path(folder: Path, number: int, part: str) -> Path:
    return folder / f"shard-{number:05d}.{part}.h5"


def _ids(number: int) -> np.ndarray:
    first = number * SHARD_SIZE
    ids = [
        f"id{n * 7919 % 5994:05d}/{n:011x}/{n % 300:05d}" for n in range(first, first + SHARD_SIZE)
    ]
    return np.array(ids, "S")


def _write_first(folder: Path, part: str) -> None:
    is_targets = part == "targets"
    n_rows, width = ROWS.get(part, (0, 0))
    fields = TARGET_FIELDS if is_targets else {"features": ((width,), "float16")}
    rows: dict[str, np.ndarray] = {
        "characters": CHARACTERS,
        "features": np.zeros((n_rows, width), np.float16),
    }
    columns = TARGET_COLUMNS if is_targets else {}
    with ShardWriter(
        _path(folder, 0, part), **about(part), fields=fields, columns=columns
    ) as writer:
        for raw in _ids(0).tolist():
            writer.add(raw.decode(), rows, targets_of(raw.decode()) if is_targets else {})


def _copy(folder: Path, number: int) -> None:
    for part in (*ROWS, "targets"):
        path = _path(folder, number, part)
        shutil.copyfile(_path(folder, 0, part), path)
        with h5py.File(path, "r+") as file:
            table = file[UTTERANCES][:]
            table["id"] = _ids(number)
            if "speaker" in table.dtype.names:
                table["speaker"] = [raw.partition(b"/")[0] for raw in table["id"].tolist()]
            file[UTTERANCES][:] = table
            header: dict[str, Any] = json.loads(bytes(file.attrs[HEADER]))
            header["utterances_xxh3"] = content_digest(table.tobytes())
            file.attrs.modify(HEADER, np.bytes_(to_json(header).encode()))


def _open(folder: Path) -> tuple[float, int]:
    """Seconds, and bytes of memory at the peak beyond what the imports took."""
    from model.store import FeatureStore

    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    started_s = time.perf_counter()
    store = FeatureStore(folder, n_stacked_frames=5)
    taken_s = time.perf_counter() - started_s
    if len(store) % SHARD_SIZE:
        raise RuntimeError(f"{folder}: {len(store)} utterances, not whole shards")
    return taken_s, peak_bytes() - before


def _random(folder: Path) -> dict[str, tuple[str, list[float]]]:
    """Key -> (what, seconds of each of 2,000 accesses to all that there is of an utterance)."""
    from model.store import FeatureStore

    store = FeatureStore(folder, n_stacked_frames=5)
    chosen = [raw.decode() for raw in np.random.default_rng(0).choice(store.ids, N_RANDOM)]
    store.row(chosen[0])  # sorts the ids

    def from_store(utterance_id: str) -> None:
        row = store.row(utterance_id)
        for modality in ROWS:
            store.features(row, modality)
        store.transcript(row)

    def video_from_store(utterance_id: str) -> None:
        store.features(store.row(utterance_id), "video")

    reader = ShardReader(_path(folder, 0, "audio"))
    in_shard = np.random.default_rng(0).choice(reader.ids, N_RANDOM).tolist()
    reader.read(in_shard[0])  # makes the index of the ids
    return {
        "random_store": ("by id, any shard, all modalities", _each(from_store, chosen)),
        "random_video": ("by id, any shard, one modality", _each(video_from_store, chosen[::-1])),
        "random_reader": ("by id, one open shard, one modality", _each(reader.read, in_shard)),
    }


def _each(access: Callable[[Any], object], chosen: list) -> list[float]:
    taken_s = []
    for one in chosen:
        started_s = time.perf_counter()
        access(one)
        taken_s.append(time.perf_counter() - started_s)
    return taken_s
