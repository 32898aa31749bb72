"""What each stage has left in a workspace: done, to do, damaged, or made from other input."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from featurize.errors import ShardError, UsageError
from pipelines.doctor.finding import Finding, ok
from pipelines.embedded import Embedded
from pipelines.manifest import Table, deciding
from pipelines.retry.typed import typed_options
from pipelines.runner import made_with
from pipelines.shard_list import shard_list
from pipelines.sources import recall
from pipelines.workspace import IMPORTED_FROM, Workspace


def stage_findings(workspace: Workspace) -> Iterator[Finding]:
    """Each stage over shards, by the headers of its files."""
    for stage in workspace.stages:
        yield from _stage(workspace, stage)


def selection_findings(workspace: Workspace) -> Iterator[Finding]:
    """Whether the selection belongs to the manifest, and was made of what is decoded now."""
    if workspace.is_transcribed:
        return
    mends = shlex.join(["trimodal", "select", str(workspace.root)])
    if not workspace.selected_path.is_file():
        yield Finding("selection", "note", "nothing is selected yet", mends)
        return
    try:
        selection = workspace.selection
    except (ShardError, UsageError) as error:
        yield Finding("selection", "problem", str(error), mends)
        return
    if not isinstance(workspace, Embedded) and _is_of_other_words(workspace, selection):
        seen = "shards were decoded with other settings since it was made"
        yield Finding("selection", "problem", seen, mends)
        return
    yield ok("selection", f"{len(selection.rows):,} of {len(workspace.utterances):,} are kept")


def source_findings(workspace: Workspace) -> Iterator[Finding]:
    """The models, vectors and lists that the shards were made with: where they were noted."""
    n_there = 0
    for stage in ("decode", *workspace.kinds):
        for name, path in recall(workspace.root, stage).items():
            if Path(path).exists() or Path(path).parent.is_file():
                n_there += 1
                continue
            seen = f"the {name} of {stage} is not at {path} any more; more shards would need it"
            yield Finding("models, vectors", "warning", seen, f"ls -l {shlex.quote(path)}")
    if n_there:
        yield ok("models, vectors", f"{n_there} that were used are where they were")


def _stage(workspace: Workspace, stage: str) -> Iterator[Finding]:
    made, damaged, stale, missing = [], [], [], []
    for number in range(workspace.n_shards):
        try:
            header = made_with(workspace.output_path(number, stage))
        except ShardError:
            damaged.append(number)
            continue
        if header is None:
            missing.append(number)
        else:
            made.append(header)
            if not _is_current(workspace, stage, number, header):
                stale.append(number)
    command = _command(workspace, stage, made)
    n = workspace.n_shards
    if damaged:
        seen = f"{len(damaged):,} of {n:,} shards cannot be read"
        yield Finding(stage, "problem", seen, f"{command} --shards {shard_list(damaged)}")
    if stale:
        seen = f"{len(stale):,} of {n:,} shards are of another manifest, selection or decoding"
        mends = f"{command} --shards {shard_list(stale)} --redo"
        yield Finding(stage, "warning", seen, mends)
    if len(kinds := Counter(repr(sorted(_settings(header))) for header in made)) > 1:
        seen = f"shards of {len(kinds)} settings beside each other; a redo was stopped half-way"
        yield Finding(stage, "problem", seen, f"{command} --redo")
    if missing and len(missing) < n:
        seen = f"{len(missing):,} of {n:,} shards are still to do"
        yield Finding(stage, "note", seen, command)
    elif missing:
        yield Finding(stage, "note", "not begun", command)
    elif not damaged and not stale and len(kinds) < 2:
        yield ok(stage, f"all {n:,} shards are there")


def _settings(header: Table) -> list[tuple[str, str]]:
    """Those that decide, but for what tells the input of one shard."""
    return [(key, repr(v)) for key, v in deciding(header.config).items() if key != "boxes"]


def _is_current(workspace: Workspace, stage: str, number: int, header: Table) -> bool:
    try:
        return workspace.is_current(stage, number, header)
    except (ShardError, UsageError):  # of an earlier stage, which is told for itself
        return True


def _is_of_other_words(workspace: Workspace, selection: Table) -> bool:
    for number in range(workspace.n_shards):
        try:
            header = made_with(workspace.decode_path(number))
        except ShardError:
            continue
        if header and deciding(header.config) != deciding(selection.config["decoding"]):
            return True
    return False


def _command(workspace: Workspace, stage: str, made: list[Table]) -> str:
    """What makes the shards of a stage, with the options that can be told from those there are."""
    work = str(workspace.root)
    if isinstance(workspace, Embedded):
        return shlex.join(["trimodal", *workspace.command()])
    if made and IMPORTED_FROM in made[0].config:
        source = str(made[0].config[IMPORTED_FROM])
        return shlex.join(["trimodal", "import", source, work, "SOURCE", "--modality", stage])
    words = ["decode", work] if stage == "decode" else ["extract", work, stage]
    options = typed_options(workspace, stage, made[0].config) if made else []
    return shlex.join(["trimodal", *words, *options])
