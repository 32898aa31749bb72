"""Verify: every checksum of every file of a workspace, read again from the disk.

``status`` reads headers; this reads everything: each utterance of each HDF5 shard against its
digest, each table against its own, and which utterances a shard holds against the manifest.
Nothing is written. ``pipelines.verify.mending`` tells the commands that make again what is damaged.
"""

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from featurize.errors import StageError, TrimodalError
from pipelines.manifest import Table
from pipelines.verify.notes import notes_on
from pipelines.verify.one_file import Checked, check_file
from pipelines.verify.workspace_files import StageFile, WorkspaceFiles
from pipelines.workspace import Workspace


@dataclass
class Verification:
    """What ``verify`` found.

    Attributes:
        files: all that were read, by stage, then by number.
        misread: files of no shard that training would take for features.
        notes: lines on what is odd but no damage.
        n_utterances: of the manifest, in the shards looked at; 0 when it cannot be read.
    """

    files: list[Checked]
    misread: list[Path]
    notes: list[str] = field(default_factory=list)
    n_utterances: int = 0
    seconds: float = 0.0

    @property
    def damaged(self) -> list[Checked]:
        return [checked for checked in self.files if checked.is_damaged]

    @property
    def is_sound(self) -> bool:
        return not self.damaged and not self.misread

    @property
    def n_bytes(self) -> int:
        return sum(checked.file.n_bytes for checked in self.files)


def verify(
    found: WorkspaceFiles,
    shards: Container[int],
    *,
    jobs: int,
    progress: Callable[[int], None] = lambda n_bytes: None,
) -> Verification:
    """Reads the files of these shards in ``jobs`` processes; ``progress`` gets each one's bytes.

    Damage is in the result, not raised. Memory: the headers of all files, and one utterance a
    process.

    Raises:
        StageError: a worker process died, so that not everything was read.
    """
    started = time.monotonic()
    read = []
    for checked in _map(found, found.chosen(shards), jobs):
        progress(checked.file.n_bytes)
        read.append(_judged(found.workspace, checked))
    place = {file.path: i for i, file in enumerate(found.files)}
    read.sort(key=lambda checked: place[checked.file.path])
    result = Verification([c for c in read if not c.is_gone], list(found.misread))
    result.n_utterances = _n_utterances(found, shards)
    result.notes = notes_on(found, shards, read)
    result.seconds = time.monotonic() - started
    return result


def _map(found: WorkspaceFiles, files: Sequence[StageFile], jobs: int) -> Iterator[Checked]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = {file.path for file in files}
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    try:
        calls = (delayed(check_file)(file, _expected_ids(found.workspace, file)) for file in files)
        for checked in parallel(calls):
            waiting.remove(checked.file.path)
            yield checked
    except (TerminatedWorkerError, MemoryError):
        raise StageError(
            "verify: a worker process died (out of memory, or a crash in a native library); "
            f"{len(waiting)} of {len(files)} files were not checked, the first is {min(waiting)}; "
            "run the same command again, with fewer --jobs or some --shards at a time"
        ) from None


def _judged(workspace: Workspace, checked: Checked) -> Checked:
    """A shard that claims to be made from the input there is, and is not, is damaged."""
    if checked.made is None or not (checked.differs or checked.is_damaged):
        return checked
    is_current = _is_current(workspace, checked.file, checked.made)
    if not is_current or not checked.differs or checked.is_damaged:
        return replace(checked, is_current=is_current)
    reason = (
        f"holds {checked.n_foreign} utterances that its shard of the manifest does not, and lacks "
        f"{checked.n_missing} that it does, though its fingerprint matches; delete it first"
    )
    return replace(checked, reason=reason)


def _is_current(workspace: Workspace, file: StageFile, made: Table) -> bool | None:
    """Whether it is made from the input there is now; None when an earlier stage is damaged."""
    if file.shard is None:
        return None
    try:
        return workspace.is_current(file.stage, file.shard, made)
    except TrimodalError:
        return None


def _expected_ids(workspace: Workspace, file: StageFile) -> frozenset[str] | None:
    if file.shard is None:
        return None
    shard = workspace.shard if file.stage == "decode" else workspace.selected_shard
    try:
        return frozenset(utterance.id for utterance in shard(file.shard))
    except TrimodalError:  # manifest or selection cannot be read, or nothing is selected yet
        return None


def _n_utterances(found: WorkspaceFiles, shards: Container[int]) -> int:
    try:
        return sum(len(found.workspace.shard(k)) for k in range(found.n_shards) if k in shards)
    except TrimodalError:
        return 0
