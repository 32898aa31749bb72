"""What the commands share: joining settings, a stage and the screen."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError
from featurize.printable import printable
from pipelines.options import StageOptions
from pipelines.ranks import find_rank


def write_manifest(
    work: Path, corpus: str, root: Path, found: Any, settings: dict[str, Any], preset: str,
    config_file: Path | None, flags: dict[str, Any], redo: bool,
) -> None:  # fmt: skip
    """Cuts what an importer found into shards, writes WORK/manifest.jsonl, prints the audit."""
    from pipelines.settings import PrepareSettings, Settings
    from pipelines.status import survey, write_rejects
    from pipelines.workspace import create

    utterances, rejects, audit = found
    cut = Settings(preset, config_file).section("prepare", PrepareSettings, **flags)
    with alone(work, "prepare"):
        state = create(
            work, corpus, root, utterances, rejects, shard_size=cut.shard_size, seed=cut.seed,
            settings={**settings, "is_demo": (root / "demo.json").is_file()}, redo=redo,
        )  # fmt: skip
        write_rejects(work, survey(work).rejects)
    for line in _audit_lines(audit):
        click.echo(printable(line))
    click.echo(
        f"prepare: {len(utterances)} utterances, {len(rejects)} rejected; manifest {state}: "
        f"{work / 'manifest.jsonl'}"
    )


def _audit_lines(audit: dict[str, Any], indent: str = "  ") -> list[str]:
    """An importer's counts, nested as they are; what is None or empty is left out."""
    lines = []
    for key, value in audit.items():
        label = indent + key.replace("_", " ")
        if not isinstance(value, dict):
            lines += [] if value is None else [f"{label}: {_number(value)}"]
        elif any(isinstance(item, dict) for item in value.values()):
            lines += [f"{label}:", *_audit_lines(value, indent + "  ")]
        elif known := [f"{k} {_number(v)}" for k, v in value.items() if v is not None]:
            lines.append(f"{label}: {', '.join(known)}")
    return lines


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def notes(texts: Iterable[str]) -> None:
    """Prints what a user should know before a stage starts."""
    from pipelines.progress import note

    for text in texts:
        note(text)


def alone(folder: Path, name: str, *, makes_it: bool = True) -> AbstractContextManager[None]:
    """While entered, no other command does ``name`` in ``folder``; see ``pipelines.lock``.

    Of processes that train together the first one holds it for all. A folder that the command
    does not make is not made for the lock either: its not being there is the command's to tell.
    """
    from pipelines.lock import held
    from pipelines.progress import is_first_process, note

    if not is_first_process() or not (makes_it or folder.is_dir()):
        return nullcontext()
    return held(folder, name, tell=note)


def chosen_shards(n_shards: int, text: str | None) -> Sequence[int]:
    """The shards that ``--shards`` names, in order, each once; all without it.

    ``text`` is a list of numbers and ranges parted by commas, ``3,17,40:44``. A range A:B holds A
    to B-1; without A it begins at 0, without B it goes to the end.

    Raises:
        UsageError: not such a list, or a part of it names no shard of this workspace.
    """
    if text is None:
        return range(n_shards)
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:([0-9]+)|([0-9]*):([0-9]*))\s*", part)
        if match is None:
            raise UsageError(f"--shards {text}: write numbers and ranges, e.g. 3,17,40:44 or 0:100")
        number, first, last = match.groups()
        if number is not None:
            first, last = number, str(int(number) + 1)
        named = range(n_shards)[int(first or 0) : int(last) if last else n_shards]
        if not named:
            raise UsageError(f"--shards {text}: {_no_such(part.strip(), n_shards)}")
        chosen.update(named)
    return sorted(chosen)


def _no_such(part: str, n_shards: int) -> str:
    there = f"its shards are 0 to {n_shards - 1}" if n_shards else "it has none"
    return f"{part} names no shard of this workspace; {there}"


def own_shards(n_shards: int, stage: StageOptions) -> Sequence[int]:
    """The shards that this process is to make: those of ``--shards``, and of these its rank's.

    Raises:
        UsageError: see ``chosen_shards`` and ``pipelines.ranks.find_rank``.
    """
    chosen = chosen_shards(n_shards, stage.shards)
    rank = find_rank(stage.rank, stage.world_size, os.environ)
    own = rank.share(chosen)
    if rank.world_size > 1:
        which = f"rank {rank.number} of {rank.world_size} ({rank.source})"
        click.echo(f"{which}: {len(own)} of {len(chosen)} shards", err=True)
    return own


def run_data_stage(
    work: Path, name: str, units: Any, do: Callable, stage: StageOptions,
    *, default_jobs: int | None = None,
) -> None:  # fmt: skip
    """Runs one stage over its shards with a progress bar; writes rejects.jsonl even if it fails.

    Raises LockedError when another command is making some of these shards.
    """
    from pipelines.lock import held
    from pipelines.progress import note

    with held(work, _kind(units, name), [unit.shard for unit in units], tell=note):
        _run_data_stage(work, name, units, do, stage, default_jobs)


def _kind(units: Any, name: str) -> str:
    """What files the units make: "audio" of shard-00042.audio.h5, whichever command makes it."""
    ends = {unit.output.name.partition(".")[2].removesuffix(".h5") for unit in units}
    return name if ends <= {"jsonl"} else min(ends)


def _run_data_stage(
    work: Path, name: str, units: Any, do: Callable, stage: StageOptions, default_jobs: int | None
) -> None:
    from pipelines.backends import backend_of
    from pipelines.progress import progress_bar
    from pipelines.runner import Outcome, run_stage
    from pipelines.status import survey, write_rejects

    try:
        with progress_bar(name, sum(len(unit.utterances) for unit in units)) as advance:

            def show(outcome: Outcome) -> None:
                advance(outcome.n_done + len(outcome.reasons), len(outcome.reasons))

            summary = run_stage(
                name, units, do, backend=backend_of(stage, default_jobs), redo=stage.redo,
                max_reject_share=stage.max_reject_share, progress=show,
            )  # fmt: skip
        click.echo(summary.line())
    finally:
        write_rejects(work, survey(work).rejects)


def training_settings(
    work: Path, section: str, preset: str, config_file: Path | None, **flags: Any
) -> tuple[Any, Any]:
    """The [model] section and the ``section`` of one kind of training on complete features."""
    from model.config import ModelConfig, TrainConfig
    from pipelines.settings import Settings
    from pipelines.status import refuse_incomplete

    refuse_incomplete(work)
    settings = Settings(preset, config_file)
    return settings.section("model", ModelConfig), settings.section(section, TrainConfig, **flags)


def with_weights(model: Any, kind: str, text: str) -> Any:
    """The model settings with other weights of the modalities in fine-tuning.

    ``text`` is "learned" or three numbers, "0.4,0.4,0.2". Raises UsageError for anything else.
    """
    from dataclasses import replace

    if kind != "crossmodal":
        raise UsageError(f"{kind} has no weighted sum of modalities; leave out --weights")
    if text == "learned":
        return replace(model, learned_weights=True)
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--weights {text}: write three numbers, or learned") from None
    return replace(model, finetune_weights=numbers, learned_weights=False)


def percent(share: float | None) -> str:
    """A share in per cent, or "undefined"."""
    return "undefined" if share is None else f"{100 * share:.1f}"


def on_test(evaluation: dict[str, Any]) -> str:
    """The first figures of an evaluation for the screen: the best run's, and all runs' mean."""
    average, over = evaluation["test"]["A+V+T"]["average"], evaluation["over_runs"]
    shown = []
    for name, show in _ON_TEST[evaluation["task"]].items():
        spread = f" (runs {show(over[f'{name}_mean'])} \u00b1 {show(over[f'{name}_std'])})"
        title = evaluation["definitions"][name]["name"]
        shown.append(f"{title} {show(average[name])}{spread if over['n'] > 1 else ''}")
    return f"on test: {', '.join(shown)}"


def decimals(value: float | None) -> str:
    """A number with three digits, or "undefined"."""
    return "undefined" if value is None else f"{value:.3f}"


_ON_TEST: dict[str, dict[str, Callable[[float | None], str]]] = {
    "emotion": {"wa": percent, "f1": percent},
    "sentiment": {"mae": decimals, "correlation": decimals, "accuracy_2": percent},
}


def left_out(summary: dict[str, Any]) -> str:
    """How many utterances had no audio or no targets, for the end of a line."""
    n = summary["n_left_out"]
    return f"; {n} left out for want of audio or targets" if n else ""


def run_line(summary: dict[str, Any]) -> str:
    """One line for the screen about a finished training run."""
    best = ", ".join(
        f"{k} {v:.3g}" for k, v in summary["best"].items() if k.startswith("dev_") and v is not None
    )
    return (
        f"{summary['run']}: {summary['status']}; {summary['n_train']} utterances, "
        f"{summary['n_speakers']} speakers; best epoch {summary['best']['epoch']}: {best}"
        f"{left_out(summary)}"
    )
