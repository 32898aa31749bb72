"""What ``verify`` saw that is odd but no damage, a line each."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from pipelines.verify.one_file import Checked
from pipelines.verify.workspace_files import WorkspaceFiles
from pipelines.workspace import EMBEDDINGS, MODALITIES


def notes_on(found: WorkspaceFiles, shards: Container[int], read: Sequence[Checked]) -> list[str]:
    """Lines about leftovers, strangers, files of another manifest, and what is not there."""
    notes = [*_about_names(found), *_about_others(read)]
    if any(checked.file.stage == "prepare" and checked.is_damaged for checked in read):
        notes.append("without a manifest, what each shard must hold could not be compared")
        return notes
    return notes + list(_about_absent(found, shards))


def _about_names(found: WorkspaceFiles) -> Iterator[str]:
    if found.leftovers:
        yield (
            f"{_several(found.leftovers, 'temporary file')}, of a stage that was killed or is "
            "running; the stage's next start deletes those whose writer is gone"
        )
    if found.strangers:
        yield (
            f"{_several(found.strangers, 'file')} of no shard of the manifest; nothing reads them"
        )


def _about_others(read: Sequence[Checked]) -> Iterator[str]:
    for stage in ("decode", *MODALITIES, EMBEDDINGS):
        others = [
            c.file.path for c in read if c.file.stage == stage and c.differs and not c.is_damaged
        ]
        if others:
            yield (
                f"{_several(others, f'{stage} file')} made for another manifest or selection; "
                "`trimodal status` counts them as still to do"
            )
    if gone := [checked.file.path for checked in read if checked.is_gone]:
        yield f"{_several(gone, 'file')} deleted before it was read"


def _about_absent(found: WorkspaceFiles, shards: Container[int]) -> Iterator[str]:
    """Stages that are begun, but not done; of a modality nobody began there is nothing to say."""
    for stage in ("decode", *found.workspace.kinds):
        there = {file.shard for file in found.files if file.stage == stage}
        absent = [k for k in range(found.n_shards) if k in shards and k not in there]
        if there and absent:
            yield (
                f"{stage}: {len(absent)} of {found.n_shards} shards are not there, the first is "
                f"{absent[0]}; `trimodal status` tells what is still to do"
            )


def _several(paths: Sequence[Path], what: str) -> str:
    if len(paths) == 1:
        return f"1 {what} ({paths[0]})"
    return f"{len(paths)} {what}s (the first is {paths[0]})"
