"""What became of every utterance: counts per stage, and rejects by reason.

Everything is read from the headers of the stages' own files, so the numbers are right after a
kill, on a half-done workspace, and when several machines work on it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from featurize.atomic import write_text
from featurize.errors import ShardError, UsageError
from featurize.shards import ShardReader
from pipelines.manifest import Reject, Table, deciding, read_header
from pipelines.runner import made_with
from pipelines.workspace import MODALITIES, Workspace


def workspace_status(work: Path) -> dict[str, Any]:
    """Accounts for every utterance found in the corpus.

    Returns keys ``work``, ``corpus``, ``root``, ``is_demo``, ``n_utterances``, ``hours`` (None
    before audio is extracted), ``stages`` and ``rejects``. In each stage
    ``in = done + rejected + dropped + pending``, and the next stage's ``in`` is this one's
    ``done``. ``rejects`` lists {"stage", "reason", "n"}, most frequent first. A shard made from
    other input than there is now (another manifest, another selection) counts as still to do.
    """
    workspace = Workspace(work)
    rejects = list(workspace.manifest.rejects)
    n_prepared = len(workspace.utterances)
    stages = [_stage("prepare", n_prepared + len(rejects), n_prepared, len(rejects))]
    n_selected: int | None = n_prepared
    if not workspace.is_transcribed:
        decoded, lost = _decoded(workspace)
        rejects += lost
        stages.append(_stage("decode", n_prepared, decoded, len(lost)))
        n_selected = _n_selected(workspace)
        n_dropped = 0 if n_selected is None else decoded - n_selected
        stages.append(_stage("select", decoded, n_selected or 0, 0, n_dropped))
    hours = None
    for modality in MODALITIES if n_selected is not None else ():
        n_done, lost, length_s = _extracted(workspace, modality)
        rejects += lost
        stages.append(_stage(modality, n_selected or 0, n_done, len(lost)))
        hours = length_s / 3600 if modality == "audio" and n_done else hours
    return {
        "work": str(work),
        "corpus": workspace.manifest.config["corpus"],
        "root": str(workspace.corpus_root),
        "is_demo": workspace.manifest.config.get("is_demo", False),
        "n_utterances": n_prepared + len(workspace.manifest.rejects),
        "hours": hours,
        "stages": stages,
        "rejects": _by_reason(rejects),
    }


def collect_rejects(work: Path) -> int:
    """Writes WORK/rejects.jsonl anew from all stages' files; returns how many there are."""
    workspace = Workspace(work)
    rejects = list(workspace.manifest.rejects)
    if not workspace.is_transcribed:
        rejects += _decoded(workspace)[1]
    if _n_selected(workspace) is not None:
        for modality in MODALITIES:
            rejects += _extracted(workspace, modality)[1]
    rows = [{"id": r.id, "stage": r.stage, "reason": r.reason} for r in rejects]
    lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows]
    write_text(work / "rejects.jsonl", "".join(lines))
    return len(rejects)


def refuse_incomplete(work: Path) -> None:
    """Raises UsageError unless every shard of a modality that is there at all is up to date.

    Video and text may be missing altogether; audio and targets may not.
    """
    workspace = Workspace(work)
    for modality in MODALITIES:
        _refuse_mixture(workspace, modality)
        current = [_current_shard(workspace, k, modality) for k in range(workspace.n_shards)]
        is_begun = any((work / "features").glob(f"shard-*.{modality}.h5"))
        if not all(current) and (is_begun or modality in ("audio", "targets")):
            raise UsageError(
                f"{work}: {current.count(False)} of {len(current)} {modality} shards are missing, "
                "damaged or made from other input than there is now; run "
                f"`trimodal extract {work} {modality}` (with --redo if it asks for that)"
            )


def status_lines(counts: dict[str, Any]) -> list[str]:
    """The counts as lines for the screen."""
    lines = [f"{counts['work']}: {counts['corpus']}, {counts['n_utterances']} utterances found"]
    lines.append(
        f"  {'stage':<8} {'in':>9} {'done':>9} {'rejected':>9} {'dropped':>9} {'to do':>9}"
    )
    for stage in counts["stages"]:
        numbers = (stage[key] for key in ("in", "done", "rejected", "dropped", "pending"))
        lines.append(f"  {stage['stage']:<8} " + " ".join(f"{n:>9}" for n in numbers))
    if counts["hours"] is not None:
        lines.append(f"  {counts['hours']:.2f} hours of audio extracted")
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


def _decoded(workspace: Workspace) -> tuple[int, list[Reject]]:
    n_done, rejects = 0, []
    for number in range(workspace.n_shards):
        try:
            table = read_header(workspace.decode_path(number))
        except ShardError:
            continue
        if workspace.is_current("decode", number, table):
            n_done += table.n
            rejects += table.rejects
    return n_done, rejects


def _n_selected(workspace: Workspace) -> int | None:
    """How many were kept; None before selection, and when that was of another manifest."""
    try:
        return sum(len(workspace.selected_shard(k)) for k in range(workspace.n_shards))
    except UsageError:
        return None


def _extracted(workspace: Workspace, modality: str) -> tuple[int, list[Reject], float]:
    """Utterances done, rejects, and for audio the length in seconds."""
    n_done, rejects, length_s = 0, [], 0.0
    for number in range(workspace.n_shards):
        if not _current_shard(workspace, number, modality):
            continue
        with ShardReader(workspace.feature_path(number, modality)) as shard:
            n_done += len(shard)
            rejects += [Reject(**reject) for reject in shard.rejects]
            if modality == "audio":
                length_s += float(shard.lengths("features").sum()) * shard.config["hop_s"]
    return n_done, rejects, length_s


def _refuse_mixture(workspace: Workspace, modality: str) -> None:
    """Raises UsageError when a redo was stopped half-way: some shards have other settings."""
    first: Table | None = None
    for number in range(workspace.n_shards):
        path = workspace.feature_path(number, modality)
        try:
            made = made_with(path)
        except ShardError:
            continue
        first = first or made
        if made and first and deciding(made.config) != deciding(first.config):
            raise UsageError(
                f"{path} was made with other settings than the {modality} shards before it; run "
                f"`trimodal extract {workspace.root} {modality} --redo` to the end"
            )


def _current_shard(workspace: Workspace, number: int, modality: str) -> bool:
    try:
        made = made_with(workspace.feature_path(number, modality))
        return made is not None and workspace.is_current(modality, number, made)
    except (ShardError, UsageError):
        return False


def _by_reason(rejects: list[Reject]) -> list[dict[str, Any]]:
    counts = Counter((reject.stage, reject.reason) for reject in rejects)
    return [{"stage": s, "reason": r, "n": n} for (s, r), n in counts.most_common()]
