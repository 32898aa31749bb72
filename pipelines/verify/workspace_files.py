"""Which files lie in a workspace, and what each of them is: a table, a shard, a leftover."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featurize.errors import ShardError
from pipelines.workspace import EMBEDDINGS, MODALITIES, Workspace

_SHARD = re.compile(
    rf"shard-(?P<number>[0-9]{{5,}})\.(?P<kind>{'|'.join((*MODALITIES, EMBEDDINGS))}|jsonl)(\.h5)?"
)


@dataclass(frozen=True)
class StageFile:
    """One file with checksums: its ``stage`` ("prepare", "decode", "select" or a modality)."""

    path: Path
    stage: str
    shard: int | None
    n_bytes: int


@dataclass
class WorkspaceFiles:
    """What lies in a workspace's folders.

    Attributes:
        n_shards: of the manifest; when that cannot be read, of the files there are.
        files: tables and shards of the manifest, by stage, then by number.
        misread: files that are none of these, but that training would take for features.
        strangers: other files among the shards. Nothing reads them.
        leftovers: temporary files of writers that were killed, or that write just now.
    """

    workspace: Workspace
    n_shards: int
    files: list[StageFile] = field(default_factory=list)
    misread: list[Path] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)

    def chosen(self, shards: Container[int]) -> list[StageFile]:
        """The files of these shards, and the tables that belong to all of them."""
        return [file for file in self.files if file.shard is None or file.shard in shards]


def list_files(workspace: Workspace) -> WorkspaceFiles:
    """Looks at names and sizes alone; a file that goes while it looks is left out."""
    shard_files = list(_shard_files(workspace))
    found = WorkspaceFiles(workspace, _n_shards(workspace, shard_files))
    for stage, path in (("prepare", workspace.manifest_path), ("select", workspace.selected_path)):
        _add(found, StageFile(path, stage, None, 0))
    known = set()
    for file in shard_files:
        if file.shard is not None and file.shard < found.n_shards:
            known.add(file.path)
            _add(found, file)
    for path in _entries(workspace):
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            found.leftovers.append(path)
        elif path.parent.name in ("decode", "features") and path not in known:
            is_misread = path.parent.name == "features" and _looks_like_features(path)
            (found.misread if is_misread else found.strangers).append(path)
    order = ("prepare", "decode", "select", *workspace.kinds)
    found.files.sort(key=lambda file: (order.index(file.stage), file.shard or 0))
    return found


def _n_shards(workspace: Workspace, shard_files: list[StageFile]) -> int:
    try:
        return workspace.n_shards
    except ShardError:
        return 1 + max((file.shard for file in shard_files if file.shard is not None), default=-1)


def _shard_files(workspace: Workspace) -> Iterator[StageFile]:
    for path in _entries(workspace):
        match = _SHARD.fullmatch(path.name)
        if match is None:
            continue
        stage = "decode" if match["kind"] == "jsonl" else match["kind"]
        number = int(match["number"])
        is_of_a_stage = stage in ("decode", *workspace.kinds)
        if is_of_a_stage and path == workspace.output_path(number, stage):
            yield StageFile(path, stage, number, 0)


def _looks_like_features(path: Path) -> bool:
    """Whether ``model.store`` would read it: it takes any name of this form for a shard."""
    modality = path.name.removesuffix(".h5").partition(".")[2]
    return path.match("shard-*.h5") and modality in MODALITIES


def _entries(workspace: Workspace) -> Iterator[Path]:
    for folder in ("", "decode", "select", "features"):
        if (workspace.root / folder).is_dir():
            yield from sorted((workspace.root / folder).iterdir())


def _add(found: WorkspaceFiles, file: StageFile) -> None:
    try:
        n_bytes = file.path.stat().st_size
    except OSError:  # there is none, or not any more
        return
    found.files.append(StageFile(file.path, file.stage, file.shard, n_bytes))
