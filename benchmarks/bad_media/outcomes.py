"""What became of each utterance of a workspace, and whether that is fit to be shown and used."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featurize.shards import ShardReader
from pipelines.manifest import read_table
from pipelines.workspace import Workspace

LONGEST_REASON = 250  # characters
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
# FFmpeg's own words, of no help without what was being done.
BARE = frozenset({"Invalid data found when processing input", "Invalid argument", "End of file"})


@dataclass
class Outcomes:
    """Of one workspace: (stage, id, reason or None) of each utterance and stage, and faults."""

    stages: list[str] = field(default_factory=list)
    ended: list[tuple[str, str, str | None]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, stage: str, utterance_id: str, reason: str | None) -> None:
        if stage not in self.stages:
            self.stages.append(stage)
        self.ended.append((stage, utterance_id, reason))
        if reason is not None:
            self.reasons[NUMBER.sub("N", reason)] += 1


def outcomes(work: Path, secret: Path) -> Outcomes:
    """Reads every file of a workspace. ``secret``: a folder that no reason may name."""
    workspace, found = Workspace(work), Outcomes()
    for utterance in workspace.utterances:
        found.add("prepare", utterance.id, None)
    for reject in workspace.manifest.rejects:
        found.add("prepare", reject.id, reject.reason)
    for path in sorted((work / "decode").glob("shard-*.jsonl")):
        table = read_table(path)
        for row in table.rows:
            found.add("decode", row["id"], None)
            if not all(map(math.isfinite, row["scores"].values())):
                found.faults.append(f"{work.name}: {row['id']}: scores not finite: {row['scores']}")
        for reject in table.rejects:
            found.add("decode", reject.id, reject.reason)
    for path in sorted((work / "features").glob("shard-*.h5")):
        _of_shard(path, found)
    found.faults += [f"{work.name}: {fault}" for fault in _complaints(found, str(secret))]
    return found


def _of_shard(path: Path, found: Outcomes) -> None:
    with ShardReader(path) as shard:
        for position, utterance_id in enumerate(shard.ids):
            found.add(shard.modality, utterance_id, None)
            for name, array in shard[position].items():
                if not len(array) or not np.isfinite(array).all():
                    found.faults.append(f"{path.name}: {utterance_id}: {name} not finite, or empty")
        for reject in shard.rejects:
            found.add(shard.modality, reject["id"], reject["reason"])
        found.faults += [f"{path.name}: damaged: {name}" for name in shard.damaged()]


def _complaints(found: Outcomes, secret: str) -> Iterator[str]:
    twice = [key for key, n in Counter(end[:2] for end in found.ended).items() if n > 1]
    if twice:
        yield f"counted twice: {twice[:3]}"
    for stage, utterance_id, reason in found.ended:
        if reason is None:
            continue
        if not reason.isprintable() or not 3 < len(reason) <= LONGEST_REASON or reason in BARE:
            yield f"{stage}: {utterance_id}: no readable reason: {reason!r}"
        if secret in reason:
            yield f"{stage}: {utterance_id}: the reason tells a path: {reason!r}"
