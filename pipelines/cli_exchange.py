"""The commands that write features for other tools, and take features from them."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError
from pipelines import launch
from pipelines.options import FILE, FOLDER, StageOptions, redo_option, stage_options


@click.group("export")
def export_group() -> None:
    """Write features for other tools.

    \b
    Example: trimodal export webdataset work/mosei out/webdataset
    """


@export_group.command("webdataset")
@click.argument("work", type=FOLDER)
@click.argument("out", type=FOLDER)
@redo_option
def export_webdataset(work: Path, out: Path, redo: bool) -> None:
    """Write one tar a shard, one sample an utterance, for WebDataset.

    \b
    Example: trimodal export webdataset work/mosei out/webdataset
    """
    from pipelines.exchange.export_webdataset import export_webdataset as run

    with launch.alone(out, "export"), _utterances(work, "export webdataset") as advance:
        exported = run(work, out, redo=redo, progress=advance)
    click.echo(f"export webdataset: {exported.line()}: {out / 'shard-*.tar'}")


@export_group.command("lhotse")
@click.argument("work", type=FOLDER)
@click.argument("out", type=FOLDER)
@redo_option
def export_lhotse(work: Path, out: Path, redo: bool) -> None:
    """Write a manifest of cuts and features for lhotse.

    \b
    Example: trimodal export lhotse work/mosei out/lhotse
    """
    from pipelines.exchange.export_lhotse import CUTS
    from pipelines.exchange.export_lhotse import export_lhotse as run

    with launch.alone(out, "export"), _utterances(work, "export lhotse") as advance:
        exported = run(work, out, redo=redo, progress=advance)
    click.echo(f"export lhotse: {exported.line()}: {out / CUTS}")


@export_group.command("mmsa")
@click.argument("work", type=FOLDER)
@click.argument("out", type=FILE)
@click.option(
    "--audio-rows", type=click.IntRange(1), help="Rows of audio each is padded or cut to."
)
@click.option(
    "--video-rows", type=click.IntRange(1), help="Rows of video each is padded or cut to."
)
@click.option("--text-rows", type=click.IntRange(1), help="Rows of text each is padded or cut to.")
@redo_option
def export_mmsa(
    work: Path, out: Path, audio_rows: int | None, video_rows: int | None, text_rows: int | None,
    redo: bool,
) -> None:  # fmt: skip
    """Write one file for MMSA: folds, padded features, sentiment.

    Without --*-rows the mean length plus three standard deviations, as MMSA-FET does.

    \b
    Example: trimodal export mmsa work/mosei out/mosei.pkl
    """
    from pipelines.exchange.export_mmsa import PaddedRows
    from pipelines.exchange.export_mmsa import export_mmsa as run

    padded = PaddedRows(audio_rows, video_rows, text_rows)
    with (
        launch.alone(out.parent, f"export {out.name}"),
        _utterances(work, "export mmsa") as advance,
    ):
        summary = run(work, out, padded=padded, redo=redo, progress=advance)
    click.echo(f"export mmsa: {summary.line()}; {summary.status}: {out}")


@export_group.command("kaldi")
@click.argument("work", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--wav", is_flag=True,
    help="Decode the sound to WAV files in OUT, once, in place of a pipe through ffmpeg.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Worker processes [default: all cores].")
@redo_option
def export_kaldi(work: Path, out: Path, wav: bool, jobs: int | None, redo: bool) -> None:
    """Write a Kaldi data directory: all utterances, or those that `select` kept.

    With words where there are transcripts or all is decoded, and with features where the audio is
    extracted.

    \b
    Example: trimodal export kaldi work/voxceleb2 data/voxceleb2
    """
    import shutil

    from joblib import cpu_count

    from pipelines.exchange.export_kaldi import export_kaldi as run

    place = out.absolute()  # of which nothing is kept, not even a lock, when it is replaced
    with (
        launch.alone(place.parent, f"export {place.name}"),
        _utterances(work, "export kaldi") as advance,
    ):
        exported = run(work, out, wav=wav, redo=redo, jobs=jobs or cpu_count(), progress=advance)
    if exported.runs_ffmpeg and shutil.which("ffmpeg") is None:
        launch.notes(["wav.scp runs ffmpeg, which is not installed here; or export with --wav"])
    for line in exported.lines():
        click.echo(f"export kaldi: {line}")
    click.echo(f"export kaldi: {out}")


@click.group("import")
def import_group() -> None:
    """Take features that were extracted elsewhere.

    \b
    Example: trimodal import csd work/mosei CMU_MOSEI_COVAREP.csd --modality audio
    """


modality_option = click.option(
    "--modality", type=click.Choice(["audio", "video", "text"]), required=True,
    help="What the features stand for.",
)  # fmt: skip


@import_group.command("csd")
@click.argument("work", type=FOLDER)
@click.argument("file", type=FILE)
@modality_option
@stage_options
def import_csd(work: Path, file: Path, modality: str, stage: StageOptions) -> None:
    """Take features from a CMU-MultimodalSDK file, cut to the utterances by time.

    A row goes to the utterance that holds the middle of its interval. Values that are not finite
    become 0 and are counted.

    \b
    Example: trimodal import csd work/mosei CMU_MOSEI_COVAREP.csd --modality audio
    """
    from pipelines.exchange.import_csd import find_csd
    from pipelines.progress import progress_bar
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    size = file.stat().st_size
    with progress_bar("import csd: digest", size, "B") as advance:
        found, n_unused = find_csd(file, workspace, modality, advance)
    _import(workspace, modality, found, stage, file, f"{n_unused} recordings in it unused")


@import_group.command("npz")
@click.argument("work", type=FOLDER)
@click.argument("folder", type=FOLDER)
@modality_option
@click.option(
    "--hop-s",
    type=click.FloatRange(0, min_open=True),
    help="Seconds between rows of audio, where they are constant.",
)
@stage_options
def import_npz(
    work: Path, folder: Path, modality: str, hop_s: float | None, stage: StageOptions
) -> None:
    """Take features from FOLDER/<utterance id>.npz: features (n, D) and times_s.

    Values that are not finite become 0 and are counted.

    \b
    Example: trimodal import npz work/mosei openface --modality video
    """
    from pipelines.exchange.import_npz import find_npz
    from pipelines.progress import progress_bar
    from pipelines.workspace import Workspace

    if hop_s is not None and modality != "audio":
        raise UsageError(f"--hop-s is for audio; give {modality} its times_s in the files")
    workspace = Workspace(work)
    with progress_bar("import npz: look", len(workspace.utterances), "files") as advance:
        found, n_unused = find_npz(folder, workspace, modality, hop_s, advance)
    _import(workspace, modality, found, stage, folder, f"{n_unused} files in it unused")


def _import(
    workspace: Any, modality: str, found: Any, stage: StageOptions, source: Path, unused: str
) -> None:
    """Runs the import as a stage like any other, and tells what was changed on the way."""
    from pipelines.exchange.import_features import import_work, plan, replaced

    units = plan(workspace, modality, launch.own_shards(workspace.n_shards, stage), found)
    name = f"import {modality}"
    launch.run_data_stage(workspace.root, name, units, partial(import_work, found, modality), stage)
    n_values, n_utterances = replaced([unit.output for unit in units])
    click.echo(
        f"{name}: {workspace.root / 'features'}/shard-*.{modality}.h5 from {source}; {n_values} "
        f"values of {n_utterances} utterances were not finite and are 0; {unused}"
    )


def _utterances(work: Path, label: str) -> Any:
    """A progress bar over the utterances of a workspace, or those selected."""
    from pipelines.progress import progress_bar
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    is_chosen = workspace.is_transcribed or workspace.selected_path.is_file()
    shard = workspace.selected_shard if is_chosen else workspace.shard
    return progress_bar(label, sum(len(shard(k)) for k in range(workspace.n_shards)))
