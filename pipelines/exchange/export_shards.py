"""An export shard by shard: skip what is done, make the rest, count what is left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.exchange.export_ledger import Ledger
from pipelines.exchange.joined import complete_workspace, settings_of, source_fingerprint
from pipelines.workspace import Workspace

LEDGER = "export.json"

# Writes the files of shard ``number`` and returns how many utterances they hold.
WriteShard = Callable[[Workspace, int, Sequence[Path]], int]


@dataclass(frozen=True)
class Exported:
    """What an export came to; ``n_left_out`` of the selected utterances had no features."""

    n_shards: int
    n_resumed: int
    n_utterances: int
    n_left_out: int

    def line(self) -> str:
        """For the screen."""
        resumed = f", {self.n_resumed} of them already there" if self.n_resumed else ""
        left_out = f"; {self.n_left_out} left out" if self.n_left_out else ""
        return f"{self.n_utterances} utterances in {self.n_shards} shards{resumed}{left_out}"


def export_shards(
    work: Path,
    out: Path,
    kind: str,
    suffixes: Sequence[str],
    write_shard: WriteShard,
    *,
    settings: Mapping[str, Any],
    redo: bool,
    progress: Callable[[int], None],
) -> Exported:
    """Makes OUT/shard-00042<suffix> for every shard and suffix that is not done yet.

    Args:
        settings: what else decides the files' content, such as the version of their layout.
        progress: is told the utterances of each shard.

    Raises:
        UsageError: the features are not complete, or OUT holds another export.
        StaleError: a shard was exported from other features and ``redo`` is off.
        ShardError: a shard is damaged.
    """
    workspace = complete_workspace(work)
    ledger = Ledger(out / LEDGER, kind, settings=settings_of(workspace, 0), redo=redo)
    shards = [f"shard-{number:05d}" for number in range(workspace.n_shards)]
    ledger.keep_only(shards)
    n_resumed = n_utterances = n_selected = 0
    for number, shard in enumerate(shards):
        fingerprint = source_fingerprint(workspace, number, kind, settings)
        n = ledger.n_done(shard, fingerprint)
        n_resumed += n is not None
        if n is None:
            files = [out / f"{shard}{suffix}" for suffix in suffixes]
            n = write_shard(workspace, number, files)
            ledger.add(shard, fingerprint, n, files)
        n_utterances += n
        n_selected += len(workspace.selected_shard(number))
        progress(len(workspace.selected_shard(number)))
    return Exported(len(shards), n_resumed, n_utterances, n_selected - n_utterances)
