"""More workers: speed-up of each stage by two, and VoxCeleb2 on 1, 8 and 64 machines, calculated.

    python -m benchmarks.cluster [--quick] [--json]

The recordings are those of ``features_audio``, the clips those of ``features_video``. ``--quick``
leaves out video and the calculation.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from benchmarks.cluster_voxceleb2 import calculate
from benchmarks.features_audio import make_recordings
from benchmarks.features_video import make_clips
from benchmarks.timing import Line, Options, Report, alternate, run
from featurize.precision import settled_precision
from pipelines.backends import Backend, Dask, Loky
from pipelines.decode import DecodeSettings, decode_work
from pipelines.extract import ExtractSettings
from pipelines.extract_work import audio_work, text_work, video_work
from pipelines.manifest import Utterance
from pipelines.runner import Outcome, Unit, run_stage
from pipelines.settings import Settings

N_SHARDS = 8
ASKED = 1.9  # of two workers over one, on two cores, where the stage is bound by them
TEXT = "the quick brown fox and the lazy dog have a long and friendly talk about the weather today"

Work = Callable[[Unit], Outcome]


def cluster(options: Options) -> Report:
    """Both tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        utterances = _corpus(folder, options.quick)
        settings = _settings()
        report = Report()
        report.lines(
            "Two workers over one, on this machine",
            chain(_limits(), _speed_ups(folder, utterances, settings, options)),
        )
        if not options.quick:
            calculate(report, folder, utterances, settings)
    return report


def _corpus(folder: Path, quick: bool) -> list[Utterance]:
    """Utterances with a recording and a clip each."""
    n = 8 if quick else 40  # different ones
    make_recordings(folder, 1)
    make_clips(folder, 4)
    sounds, clips = (sorted((folder / kind).iterdir()) for kind in ("m4a", "clips"))
    return [
        Utterance(
            f"s/{k:03d}", "s", f"m4a/{sound.name}", f"clips/{clips[k % 4].name}", text=TEXT,
            audio_bytes=sound.stat().st_size, video_bytes=clips[k % 4].stat().st_size,
        )
        for k, sound in enumerate(sounds[:n])
    ]  # fmt: skip


def _settings() -> ExtractSettings:
    found = ExtractSettings.load(
        Settings("demo"), video={}, glove=None, store={}, device="cpu", decode_jobs=1
    )
    return replace(found, vgg=replace(found.vgg, precision="auto"))


def _limits() -> Iterator[Line]:
    """What two processes of this machine are over one, for work that shares nothing."""
    works = {"products of matrices": _products, "copies of 64 MiB": _copies}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for name, work in works.items():
            runs = {n: partial(pool.map, work, range(n), chunksize=1) for n in (1, 2)}
            seconds = alternate(runs, rounds=3)
            yield Line(
                f"cluster_limit_{work.__name__[1:]}", f"{name}, 2 processes", "", "1 process",
                2 * seconds[1] / seconds[2],
            )  # fmt: skip


def _products(_: int) -> None:
    torch.set_num_threads(1)
    precision = settled_precision("auto", torch.device("cpu"))
    matrix = torch.ones(1024, 1024, dtype=getattr(torch, precision))
    for _ in range(100):
        matrix @ matrix


def _copies(_: int) -> None:
    block = np.zeros(64 << 20, np.uint8)
    for _ in range(100):
        block.copy()


def _speed_ups(
    folder: Path, utterances: list[Utterance], settings: ExtractSettings, options: Options
) -> Iterator[Line]:
    works: dict[str, Work] = {
        "decode": partial(decode_work, DecodeSettings("demo")),
        "audio": partial(audio_work, settings),
        "text": partial(text_work, settings),
    }
    if not options.quick:
        works["video"] = partial(video_work, settings)
    torch.set_num_threads(1)  # joblib runs one process here, and gives two a core each
    # Utterances of each: some seconds of work, so that processes are worth starting.
    n_of = {"decode": 80, "audio": 1200, "video": 16, "text": 64_000}
    rounds = 1 if options.quick else 2
    with _dask_workers(folder) as scheduler:
        backends: dict[str, Backend] = {"1": Loky(1), "2": Loky(2), "dask": Dask(scheduler)}
        for stage, work in works.items():
            n = n_of[stage] // (4 if options.quick else 1)
            units = _units(folder, stage, utterances, n)
            runs = {key: partial(_run, stage, units, work, b) for key, b in backends.items()}
            seconds = alternate(runs, rounds)
            speed = {key: f"{n / taken:,.1f} utterances/s" for key, taken in seconds.items()}
            is_bound = stage != "text"  # a core writes 8,000 a second: the disk's turn
            yield Line(
                f"cluster_{stage}_two_over_one", f"{stage}, 2 processes", speed["2"],
                f"1 process: {speed['1']}", seconds["1"] / seconds["2"],
                ASKED if is_bound else None,
            )  # fmt: skip
            yield Line(
                f"cluster_{stage}_dask_over_loky", f"{stage}, 2 Dask workers", speed["dask"],
                f"2 processes: {speed['2']}", seconds["2"] / seconds["dask"],
            )  # fmt: skip


def _units(folder: Path, stage: str, utterances: list[Utterance], n: int) -> list[Unit]:
    """Eight shards, each of the same recordings: no worker gets the longer ones."""
    per_shard = n // N_SHARDS
    suffix = "jsonl" if stage == "decode" else f"{stage}.h5"
    units = []
    for shard in range(N_SHARDS):
        some = (utterances[k % len(utterances)] for k in range(per_shard))
        named = [replace(one, id=f"s/{shard}-{k}") for k, one in enumerate(some)]
        output = folder / "out" / f"shard-{shard:05d}.{suffix}"
        units.append(Unit(shard, output, "", {}, folder, named))
    return units


def _run(stage: str, units: list[Unit], work: Work, backend: Backend) -> None:
    for unit in units:
        unit.output.unlink(missing_ok=True)
    summary = run_stage(
        stage, units, work, backend=backend, redo=False, max_reject_share=0,
        progress=lambda _: None,
    )  # fmt: skip
    assert summary.n_done == sum(len(unit.utterances) for unit in units)


@contextmanager
def _dask_workers(folder: Path) -> Iterator[str]:
    """A scheduler and two workers on this machine; gives the address."""
    from distributed import LocalCluster

    os.environ["OMP_NUM_THREADS"] = "1"
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None,
        local_directory=str(folder / "dask"),
    ) as found:  # fmt: skip
        os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)  # for Dask's workers, not for local ones
        yield found.scheduler_address


if __name__ == "__main__":
    run(cluster)
