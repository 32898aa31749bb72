"""All that is looked at of a workspace, in the order told."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from featurize.errors import ShardError, TrimodalError, UsageError
from pipelines.doctor import disks
from pipelines.doctor.finding import Check, Finding, ok
from pipelines.doctor.machine import Group
from pipelines.embedded import open_workspace
from pipelines.workspace import Workspace

Look = Callable[[Workspace], Iterator[Finding]]


def workspace_checks(work: Path, *, all_media: bool = False) -> list[Group]:
    """The group of a workspace's checks. Raises UsageError when the folder is none."""
    from pipelines.doctor import workspace_folders as folders
    from pipelines.doctor import workspace_media as media
    from pipelines.doctor import workspace_rejects as rejects
    from pipelines.doctor import workspace_stages as stages

    workspace = open_workspace(work)
    if (broken := manifest_problem(workspace)) is not None:
        checks = [Check("manifest", lambda: [broken])]
    else:
        looks: list[tuple[str, Look]] = [
            ("manifest", _manifest),
            ("corpus", media.corpus_findings),
            ("media files", lambda w: media.media_findings(w, all_of_them=all_media)),
            ("stages", stages.stage_findings),
            ("selection", stages.selection_findings),
            ("models and vectors", stages.source_findings),
            ("rejects", rejects.reject_findings),
        ]
        checks = [Check(doing, _bound(look, workspace)) for doing, look in looks]
    checks += [
        Check("space for what is still to do", lambda: _space(workspace)),
        Check("file system", lambda: disks.kind_findings("file system", work)),
        Check("writing", lambda: disks.writing_findings("writing", work)),
        Check("folders", lambda: folders.folder_findings(workspace)),
        Check("leftovers", lambda: folders.leftover_findings(workspace)),
    ]
    return [(f"Workspace {work}", checks)]


def manifest_problem(workspace: Workspace) -> Finding | None:
    """Why nothing can be done with a workspace before its manifest is made again."""
    from pipelines.manifest import read_header
    from pipelines.verify.mending import prepare_words

    try:
        _ = workspace.utterances, workspace.n_shards, workspace.corpus_root
        return None
    except (TrimodalError, KeyError, TypeError, ValueError) as error:
        try:
            made = read_header(workspace.manifest_path)
        except ShardError:
            made = None
        words = shlex.join(["trimodal", *prepare_words(workspace.root, made)])
        return Finding("manifest", "problem", _text(error), words)


def _bound(look: Look, workspace: Workspace) -> Callable[[], Iterator[Finding]]:
    return lambda: look(workspace)


def _manifest(workspace: Workspace) -> Iterator[Finding]:
    config = workspace.manifest.config
    n = len(workspace.utterances)
    seen = f"{config['corpus']}, {n:,} utterances in {workspace.n_shards:,} shards"
    yield ok("manifest", seen)


def _space(workspace: Workspace) -> Iterator[Finding]:
    from pipelines.doctor.needed import bytes_needed

    try:
        needed = bytes_needed(workspace)
    except (TrimodalError, UsageError):
        needed = 0.0
    yield from disks.space_findings("space", workspace.root, needed)


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, TrimodalError) else f"not readable ({error!r})"
