"""What the commands share: joining settings, a stage and the screen."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError


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
    state = create(
        work, corpus, root, utterances, rejects, shard_size=cut.shard_size, seed=cut.seed,
        settings={**settings, "is_demo": (root / "demo.json").is_file()}, redo=redo,
    )  # fmt: skip
    write_rejects(work, survey(work).rejects)
    for line in _audit_lines(audit):
        click.echo(line)
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


def run_data_stage(
    work: Path, stage: str, units: Any, do: Callable, *, jobs: int | None, redo: bool,
    max_reject_share: float, default_jobs: int | None = None,
) -> None:  # fmt: skip
    """Runs one stage over its shards with a progress bar; writes rejects.jsonl even if it fails."""
    from joblib import cpu_count

    from pipelines.progress import progress_bar
    from pipelines.runner import Outcome, run_stage
    from pipelines.status import survey, write_rejects

    try:
        with progress_bar(stage, sum(len(unit.utterances) for unit in units)) as advance:

            def show(outcome: Outcome) -> None:
                advance(outcome.n_done + len(outcome.reasons))

            summary = run_stage(
                stage, units, do, jobs=jobs or default_jobs or cpu_count(), redo=redo,
                max_reject_share=max_reject_share, progress=show,
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


def is_first_process() -> bool:
    """Whether this process is alone, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def tell(line: str) -> None:
    """Prints a line, once where several processes train together."""
    if is_first_process():
        click.echo(line)


def percent(share: float | None) -> str:
    """A share in per cent, or "undefined"."""
    return "undefined" if share is None else f"{100 * share:.1f}"


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
