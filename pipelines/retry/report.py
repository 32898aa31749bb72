"""What there is to retry, and what came of it, on the screen."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from featurize.errors import ShardError
from pipelines.manifest import Reject, Table, read_header
from pipelines.retry.rejected import PREPARE, Rejected, by_reason
from pipelines.retry.typed import typed_options
from pipelines.runner import made_with
from pipelines.screen import print_table
from pipelines.shard_list import shard_list
from pipelines.verify.mending import prepare_words
from pipelines.workspace import IMPORTED_FROM, Workspace

N_NAMED = 60  # characters of a list of shards


def print_rejects(
    workspace: Workspace, found: Sequence[Rejected], unlisted: Sequence[Reject]
) -> None:
    """A table of stages and reasons, most frequent first in each stage."""
    rows = []
    for (stage, reason), (n, shards) in sorted(by_reason(found).items(), key=_most_in_stage(found)):
        rows.append((stage, reason, f"{n:,}", _shortened(shard_list(shards))))
    reasons = [reject.reason for reject in unlisted]
    for reason in sorted(set(reasons)):
        rows.append((PREPARE, reason, f"{reasons.count(reason):,}", "-"))
    _table(("stage", "reason", "utterances", "in shards"), rows)


def print_outcome(found: Sequence[Rejected], now: Mapping[tuple[str, str], str]) -> None:
    """A row a stage and reason: how many were tried, are done now, are still rejected.

    ``now``: (stage, id) -> the reason of today, of those that are rejected still.
    """
    rows = []
    for stage, reason in sorted(by_reason(found)):
        ids = {
            reject.id
            for one in found
            if one.stage == stage
            for reject in one.rejects
            if reject.reason == reason
        }
        still = [now[stage, i] for i in sorted(ids) if (stage, i) in now]
        others = sum(text != reason for text in still)
        note = f"{len(still):,}" + (f" ({others:,} for another reason)" if others else "")
        rows.append((stage, reason, f"{len(ids):,}", f"{len(ids) - len(still):,}", note))
    _table(("stage", "reason", "tried", "done now", "still rejected"), rows)


def prepare_command(workspace: Workspace) -> str:
    """What lists the corpus again, with the cut of before."""
    return shlex.join(["trimodal", *prepare_words(workspace.root, workspace.manifest)])


def later_commands(workspace: Workspace, stages: Collection[str]) -> list[str]:
    """What has to be run after these stages changed, for what stands on them, in that order."""
    if "decode" not in stages:
        return []
    commands = []
    if workspace.selected_path.is_file():
        commands.append(
            ["select", str(workspace.root), *_rule(read_header(workspace.selected_path))]
        )
    for modality in workspace.kinds:
        made = _first_made(workspace, modality)
        if made is not None and IMPORTED_FROM not in made.config:
            options = typed_options(workspace, modality, made.config)
            commands.append(["extract", str(workspace.root), modality, *options, "--redo"])
    return [shlex.join(["trimodal", *words]) for words in commands]


def _first_made(workspace: Workspace, stage: str) -> Table | None:
    for number in range(workspace.n_shards):
        with suppress(ShardError):
            made = made_with(workspace.output_path(number, stage))
            if made is not None:
                return made
    return None


def _rule(selected: Table) -> list[str]:
    """The options of the selection there is, as far as they are in it."""
    config = selected.config
    flag = {"threshold": "--threshold", "keep_fraction": "--keep-fraction"}.get(config["rule"])
    words = [flag, str(config[config["rule"]])] if flag else []
    words = ["--calibrate", "CSV"] if config["rule"] == "calibrate" else words
    return words if config["rule"] == "calibrate" else [*words, "--score", config["score"]]


def _most_in_stage(found: Sequence[Rejected]) -> Callable[[Any], tuple]:
    order = list(dict.fromkeys(one.stage for one in found))
    return lambda item: (order.index(item[0][0]), -item[1][0], item[0][1])


def _shortened(text: str) -> str:
    return text if len(text) <= N_NAMED else text[: text.rindex(",", 0, N_NAMED)] + ", ..."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_table(heads, rows, right=[head for head in heads[2:] if head != "in shards"])


def still_rejected(workspace: Workspace, found: Sequence[Rejected]) -> dict[tuple[str, str], str]:
    """(stage, id) -> reason of all rejects in these shards now."""
    now = {}
    for one in found:
        made = made_with(workspace.output_path(one.shard, one.stage))
        for reject in made.rejects if made else ():
            now[one.stage, reject.id] = reject.reason
    return now
