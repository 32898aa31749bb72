"""The commands that write features for other tools, and take features from them."""

from pathlib import Path
from typing import Any

import click

from pipelines import launch
from pipelines.options import FILE, FOLDER, redo_option, stage_options


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
    from pipelines.export_webdataset import export_webdataset as run

    with _utterances(work, "export webdataset") as advance:
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
    from pipelines.export_lhotse import CUTS
    from pipelines.export_lhotse import export_lhotse as run

    with _utterances(work, "export lhotse") as advance:
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
    from pipelines.export_mmsa import PaddedRows
    from pipelines.export_mmsa import export_mmsa as run

    padded = PaddedRows(audio_rows, video_rows, text_rows)
    with _utterances(work, "export mmsa") as advance:
        summary = run(work, out, padded=padded, redo=redo, progress=advance)
    click.echo(f"export mmsa: {summary.line()}; {summary.status}: {out}")


@click.group("import")
def import_group() -> None:
    """Take features that were extracted elsewhere.

    \b
    Example: trimodal import csd work/mosei CMU_MOSEI_COVAREP.csd --modality audio
    """


def _utterances(work: Path, label: str) -> Any:
    """A progress bar over the utterances of a workspace."""
    from pipelines.progress import progress_bar
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    numbers = range(workspace.n_shards)
    return progress_bar(label, sum(len(workspace.selected_shard(k)) for k in numbers))
