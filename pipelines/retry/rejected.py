"""The rejects of a workspace by stage, reason and shard, from the headers of the shards."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from featurize.errors import ShardError
from pipelines.manifest import Reject, Table
from pipelines.runner import made_with
from pipelines.workspace import Workspace

PREPARE = "prepare"


@dataclass(frozen=True)
class Rejected:
    """A shard that holds rejects: those asked for, and the header that says what made it."""

    stage: str
    shard: int
    made: Table
    rejects: tuple[Reject, ...]


def find_rejected(
    workspace: Workspace, stage: str | None = None, reason: str | None = None
) -> list[Rejected]:
    """The shards of all stages, or of one, that hold rejects whose reason has this text in it.

    Upper and lower case are alike. Shards made from other input than there is now count too, as
    the file that was mended may be another now; rejects that are not in the shard any more, as
    another manifest or selection has it, do not.

    Raises UsageError when an earlier stage has not been run.
    """
    found = []
    for name in workspace.stages:
        if stage in (None, name):
            for number, made in _made(workspace, name):
                there = {u.id for u in _utterances(workspace, name, number)}
                asked = [r for r in made.rejects if r.id in there and has_reason(r, reason)]
                if asked:
                    found.append(Rejected(name, number, made, tuple(asked)))
    return found


def prepare_rejects(workspace: Workspace, reason: str | None = None) -> list[Reject]:
    """What `prepare` could not list: no shard holds it, so that only it can try again."""
    return [reject for reject in workspace.manifest.rejects if has_reason(reject, reason)]


def has_reason(reject: Reject, text: str | None) -> bool:
    """Whether a reject is of the reason asked for."""
    return text is None or text.casefold() in reject.reason.casefold()


def by_reason(found: Iterable[Rejected]) -> dict[tuple[str, str], tuple[int, list[int]]]:
    """(stage, reason) -> how many utterances, in which shards; as found."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    shards: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in found:
        for reject in one.rejects:
            key = one.stage, reject.reason
            counts[key] += 1
            if one.shard not in shards[key]:
                shards[key].append(one.shard)
    return {key: (counts[key], shards[key]) for key in counts}


def _made(workspace: Workspace, stage: str) -> Iterator[tuple[int, Table]]:
    for number in range(workspace.n_shards):
        try:
            made = made_with(workspace.output_path(number, stage))
        except ShardError:  # damaged: not done, so that its own stage makes it
            continue
        if made is not None and made.rejects:
            yield number, made


def _utterances(workspace: Workspace, stage: str, number: int) -> list:
    return (workspace.shard if stage == "decode" else workspace.selected_shard)(number)
