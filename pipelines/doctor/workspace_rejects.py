"""The rejects of a workspace by reason, and how to try them again."""

import shlex
from collections import Counter
from collections.abc import Iterator

from pipelines.doctor.finding import Finding, Level, ok
from pipelines.embedded import Embedded
from pipelines.retry.rejected import PREPARE, find_rejected, prepare_rejects
from pipelines.retry.report import prepare_command
from pipelines.workspace import Workspace

MANY = 0.05  # of the utterances: from here on it is a warning
N_SHOWN = 8


def reject_findings(workspace: Workspace) -> Iterator[Finding]:
    """A line a reason, most frequent first."""
    if isinstance(workspace, Embedded):
        return
    counts = Counter((PREPARE, r.reason) for r in prepare_rejects(workspace))
    n_kept = len(workspace.utterances)
    for one in find_rejected(workspace):
        counts.update((one.stage, reject.reason) for reject in one.rejects)
    if not counts:
        yield ok("rejects", "none")
    for (stage, reason), n in counts.most_common(N_SHOWN):
        level: Level = "warning" if n > MANY * (n_kept + n) else "note"
        yield Finding(
            "rejects", level, f"{n:,} by {stage}: {reason}", _again(workspace, stage, reason)
        )
    if len(counts) > N_SHOWN:
        rest = sum(counts.values()) - sum(n for _, n in counts.most_common(N_SHOWN))
        mends = shlex.join(["trimodal", "retry", str(workspace.root)])
        yield Finding("rejects", "note", f"{rest:,} for other reasons", mends)


def _again(workspace: Workspace, stage: str, reason: str) -> str:
    if stage == PREPARE:
        return f"{prepare_command(workspace)}   # once they are mended"
    work = str(workspace.root)
    words = ["trimodal", "retry", work, "--stage", stage, "--reason", reason]
    return f"{shlex.join(words)}   # once the cause is mended"
