"""What became of every utterance: counts per stage, and rejects by reason.

Everything is read from the headers of the stages' own files, so the numbers are right after a
kill, on a half-done workspace, and when several machines work on it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from featurize.atomic import write_text
from featurize.errors import ShardError, UsageError
from featurize.shards import ShardIndex
from pipelines.embedded import open_workspace
from pipelines.manifest import Reject, Table, deciding
from pipelines.runner import made_with
from pipelines.word_vectors import Coverage, coverage
from pipelines.workspace import EMBEDDINGS, IMPORTED_FROM, MODALITIES, Workspace


class Survey(NamedTuple):
    """What became of a workspace: ``counts`` as ``workspace_status`` tells, and every reject."""

    counts: dict[str, Any]
    rejects: list[Reject]


def workspace_status(work: Path) -> dict[str, Any]:
    """Accounts for every utterance found in the corpus.

    Returns keys ``work``, ``corpus``, ``root``, ``is_demo``, ``n_utterances``, ``hours`` (of
    audio; None when unknown), ``words`` ({"n", "known"}: of the extracted text, and with a
    vector), ``stages`` and ``rejects``. In each stage
    ``in = done + rejected + dropped + pending``, and the next stage's ``in`` is this one's
    ``done``; of what ``embed`` made the stages are prepare, select and embeddings. ``rejects``
    lists {"stage", "reason", "n"}, most frequent first. A shard made from other input than there
    is now (another manifest, another selection) counts as still to do.
    """
    return survey(work).counts


def survey(work: Path) -> Survey:
    """Reads the header of every shard once; see ``workspace_status``."""
    workspace = open_workspace(work)
    rejects = list(workspace.manifest.rejects)
    n_prepared = len(workspace.utterances)
    stages = [_stage("prepare", n_prepared + len(rejects), n_prepared, len(rejects))]
    n_selected: int | None = n_prepared

    def take(stage: str, n_in: int) -> list[Table | None]:
        shards = _current(workspace, stage, _made(workspace, stage))
        lost = [reject for shard in shards if shard for reject in shard.rejects]
        rejects.extend(lost)
        stages.append(_stage(stage, n_in, sum(s.n for s in shards if s), len(lost)))
        return shards

    if not workspace.is_transcribed:
        n_decoded = n_prepared
        if EMBEDDINGS not in workspace.kinds:  # there, what was not decoded counts as dropped
            take("decode", n_prepared)
            n_decoded = stages[-1]["done"]
        n_selected = _n_selected(workspace)
        n_dropped = 0 if n_selected is None else n_decoded - n_selected
        stages.append(_stage("select", n_decoded, n_selected or 0, 0, n_dropped))
    hours, words = None, Coverage(0, 0)
    for modality in workspace.kinds if n_selected is not None else ():
        shards = take(modality, n_selected or 0)
        if modality == "audio" and stages[-1]["done"]:
            hours = _hours(workspace, shards)
        elif modality == "text":
            made = [number for number, header in enumerate(shards) if header]
            words = coverage(workspace.feature_path(number, modality) for number in made)
    counts = {
        "work": str(work),
        "corpus": workspace.manifest.config["corpus"],
        "root": str(workspace.corpus_root),
        "is_demo": workspace.manifest.config.get("is_demo", False),
        "n_utterances": n_prepared + len(workspace.manifest.rejects),
        "hours": hours,
        "words": words._asdict(),
        "stages": stages,
        "rejects": _by_reason(rejects),
    }
    return Survey(counts, rejects)


def write_rejects(work: Path, rejects: Iterable[Reject]) -> None:
    """Writes WORK/rejects.jsonl anew."""
    lines = [
        json.dumps(asdict(reject), sort_keys=True, ensure_ascii=False) + "\n" for reject in rejects
    ]
    write_text(work / "rejects.jsonl", "".join(lines))


def refuse_incomplete(work: Path) -> None:
    """Raises UsageError unless every shard of a modality that is there at all is up to date.

    Video and text may be missing altogether; audio and targets may not.
    """
    workspace = Workspace(work)
    for modality in MODALITIES:
        made = _made(workspace, modality)
        _refuse_mixture(workspace, modality, made)
        n_missing = _current(workspace, modality, made).count(None)
        is_begun = any((work / "features").glob(f"shard-*.{modality}.h5"))
        if n_missing and (is_begun or modality in ("audio", "targets")):
            raise UsageError(
                f"{work}: {n_missing} of {len(made)} {modality} shards are missing, "
                "damaged or made from other input than there is now; run "
                f"{_command(workspace, modality, made)} (with --redo if it asks for that)"
            )


def status_lines(counts: dict[str, Any]) -> list[str]:
    """The counts as lines for the screen."""
    lines = [f"{counts['work']}: {counts['corpus']}, {counts['n_utterances']} utterances found"]
    lines.append(
        f"  {'stage':<10} {'in':>9} {'done':>9} {'rejected':>9} {'dropped':>9} {'to do':>9}"
    )
    for stage in counts["stages"]:
        numbers = (stage[key] for key in ("in", "done", "rejected", "dropped", "pending"))
        lines.append(f"  {stage['stage']:<10} " + " ".join(f"{n:>9}" for n in numbers))
    if counts["hours"] is not None:
        lines.append(f"  {counts['hours']:.2f} hours of audio extracted")
    if counts["words"]["n"]:
        lines.append(f"  {Coverage(**counts['words']).line()}")
    if counts["rejects"]:
        lines.append("  rejected (each one is in rejects.jsonl):")
        lines += [f"    {r['n']:>7}  {r['stage']}: {r['reason']}" for r in counts["rejects"]]
    return lines


def _stage(
    stage: str, n_in: int, n_done: int, n_rejected: int, n_dropped: int = 0
) -> dict[str, Any]:
    return {
        "stage": stage,
        "in": n_in,
        "done": n_done,
        "rejected": n_rejected,
        "dropped": n_dropped,
        "pending": n_in - n_done - n_rejected - n_dropped,
    }


def _made(workspace: Workspace, stage: str) -> list[Table | None]:
    """The header of each shard of a stage; None where it is missing or damaged."""
    headers: list[Table | None] = []
    for number in range(workspace.n_shards):
        try:
            headers.append(made_with(workspace.output_path(number, stage)))
        except ShardError:
            headers.append(None)
    return headers


def _current(workspace: Workspace, stage: str, made: Sequence[Table | None]) -> list[Table | None]:
    """Of these headers, those made from the input as it is now; None for the others."""

    def is_current(number: int, header: Table) -> bool:
        try:
            return workspace.is_current(stage, number, header)
        except (ShardError, UsageError):  # of an earlier stage, which is then to run first
            return False

    return [h if h and is_current(number, h) else None for number, h in enumerate(made)]


def _n_selected(workspace: Workspace) -> int | None:
    """How many were kept; None before selection, and when it is damaged or of another manifest."""
    try:
        return sum(len(workspace.selected_shard(k)) for k in range(workspace.n_shards))
    except (ShardError, UsageError):
        return None


def _hours(workspace: Workspace, audio: Sequence[Table | None]) -> float | None:
    """Of the audio there is; None where rows of imported features have no constant shift."""
    length_s = 0.0
    for number, header in enumerate(audio):
        if header:
            if not header.config.get("hop_s"):
                return None
            shard = ShardIndex(workspace.output_path(number, "audio"))
            length_s += float(shard.lengths("features").sum()) * header.config["hop_s"]
    return length_s / 3600


def _refuse_mixture(workspace: Workspace, modality: str, made: Sequence[Table | None]) -> None:
    """Raises UsageError when a redo was stopped half-way: some shards have other settings."""
    settings = {number: deciding(header.config) for number, header in enumerate(made) if header}
    for number, config in settings.items():
        if config != next(iter(settings.values())):
            raise UsageError(
                f"{workspace.output_path(number, modality)} was made with other settings than the "
                f"{modality} shards before it; run {_command(workspace, modality, made)} with "
                "--redo to the end"
            )


def _command(workspace: Workspace, modality: str, made: Sequence[Table | None]) -> str:
    """What makes the shards of a modality, told from those that are there."""
    imported = {h.config[IMPORTED_FROM] for h in made if h and IMPORTED_FROM in h.config}
    if imported:
        source = f"{min(imported)} {workspace.root} ... --modality {modality}"
        return f"`trimodal import {source}` as before"
    return f"`trimodal extract {workspace.root} {modality}`"


def _by_reason(rejects: list[Reject]) -> list[dict[str, Any]]:
    counts = Counter((reject.stage, reject.reason) for reject in rejects)
    return [{"stage": s, "reason": r, "n": n} for (s, r), n in counts.most_common()]
