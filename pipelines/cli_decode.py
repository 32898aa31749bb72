"""``trimodal decode``: a corpus to words, by one of three engines."""

from functools import partial
from pathlib import Path

import click

from featurize.errors import UsageError
from pipelines import launch
from pipelines.options import FOLDER, StageOptions, options, settings_options, stage_options

_engine_options = options(
    click.option(
        "--engine", type=click.Choice(["vosk", "kaldi", "import"]),
        help="What decodes: libvosk, your Kaldi, or nothing (--decoded) [default: vosk].",
    ),
    click.option(
        "--model",
        help="Kaldi or Vosk model directory, a model of the Vosk project's by name, or `demo`.",
    ),
    click.option(
        "--decoded", metavar="PATH",
        help="Decoded elsewhere: Kaldi's text or CTM with logs, JSON Lines, or a folder of these.",
    ),
    click.option(
        "--kaldi-root", metavar="DIR", help="Where Kaldi was built [default: KALDI_ROOT, or PATH]."
    ),
    click.option(
        "--kaldi-cmd", metavar="CMD", help="Launches Kaldi's jobs, as in cmd.sh: run.pl, "
        "queue.pl or slurm.pl with options [default: they run here].",
    ),
    click.option(
        "--kaldi-program", metavar="PROGRAM",
        help="online2-wav-nnet3-latgen-faster, as vosk decodes [default], or "
        "nnet3-latgen-faster-parallel.",
    ),
)  # fmt: skip


@click.command()
@click.argument("work", type=FOLDER)
@_engine_options
@settings_options
@stage_options
def decode(
    work: Path, engine: str | None, model: str | None, decoded: str | None, kaldi_root: str | None,
    kaldi_cmd: str | None, kaldi_program: str | None, preset: str, config_file: Path | None,
    stage: StageOptions,
) -> None:  # fmt: skip
    """Decode every utterance with a Kaldi TDNN: words, times, likelihood per frame.

    \b
    Example: trimodal decode work/voxceleb2 --model exp/librispeech_tdnn
    Example: trimodal decode work/voxceleb2 --engine kaldi --model exp/librispeech_tdnn \\
               --kaldi-root ~/kaldi --kaldi-cmd "queue.pl --mem 4G"
    Example: trimodal decode work/voxceleb2 --engine import --decoded exp/decode_voxceleb2
    """
    from pipelines.decode import DecodeSettings, decode_units, decode_work, engine_of
    from pipelines.decoding.acoustic_model import DEMO_MODEL
    from pipelines.settings import Settings
    from pipelines.sources import remember
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    if workspace.is_transcribed:
        raise UsageError(f"{work}: this corpus has transcripts; nothing to decode")
    if model is not None and engine == "import":
        raise UsageError("--model is for --engine vosk or kaldi, not import; leave one out")
    settings = Settings(preset, config_file).section(
        "decode", DecodeSettings, engine=engine, model=model, decoded=decoded,
        kaldi_root=kaldi_root, kaldi_cmd=kaldi_cmd, kaldi_program=kaldi_program,
    )  # fmt: skip
    chosen = engine_of(settings)
    launch.notes(chosen.notes([utterance.id for utterance in workspace.utterances]))
    units = decode_units(workspace, launch.own_shards(workspace.n_shards, stage), chosen)
    model = None if settings.model == DEMO_MODEL else settings.model
    remember(work, "decode", model=model, decoded=settings.decoded)
    launch.run_data_stage(work, "decode", units, partial(decode_work, settings), stage)
