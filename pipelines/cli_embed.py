"""The command that writes embeddings."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError
from model.config import MODALITIES
from pipelines import launch
from pipelines.options import FOLDER, device_option, stage_options


@click.command()
@click.argument("work", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--pool",
    type=click.Choice(["sequence", "mean"]),
    default="sequence",
    show_default=True,
    help="An embedding every 50 ms, or their mean an utterance.",
)
@click.option(
    "--modalities",
    metavar="LIST",
    default=",".join(MODALITIES),
    show_default=True,
    help="Whose parts of the sum to keep; the audio's are the queries in any case.",
)
@click.option(
    "--encoding",
    type=click.Choice(["float16", "float32", "bfloat16"]),
    default="float16",
    show_default=True,
    help="How embeddings are stored.",
)
@device_option
@stage_options
def embed(
    work: Path, run: Path, out: Path, pool: str, modalities: str, encoding: str, device: str,
    shards: str | None, **stage: Any,
) -> None:  # fmt: skip
    """Write the embeddings of a trained encoder to HDF5 shards.

    RUN is a pretraining run, a fine-tuned one (its best seed on dev), or one of its seeds.
    OUT is then a workspace for `status`, `verify` and `inspect`.

    \b
    Example: trimodal embed work/mosei runs/pretrained out/mosei --modalities audio,text
    """
    from pipelines.embed import plan, prepare_embedding
    from pipelines.embed_work import embed_work
    from pipelines.status import refuse_incomplete

    refuse_incomplete(work)
    embedded, job = prepare_embedding(
        work, run, out, modalities=_listed(modalities), pool=pool, encoding=encoding,
        device=device, redo=stage["redo"],
    )  # fmt: skip
    units = plan(embedded, launch.chosen_shards(embedded.n_shards, shards))
    n_jobs = None if job.device == "cpu" else 1
    launch.run_data_stage(
        out, "embed", units, partial(embed_work, job), default_jobs=n_jobs, **stage
    )


def _listed(text: str) -> tuple[str, ...]:
    """ "text,audio" -> ("text", "audio")."""
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(MODALITIES):
        raise UsageError(f"--modalities {text}: name some of {', '.join(MODALITIES)}, each once")
    return names
