"""Verify, one file: every checksum in it, and which utterances it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featurize.errors import ShardError
from pipelines.manifest import Reject, Table, read_header, read_table
from pipelines.verify.workspace_files import StageFile

N_READINGS = 2  # of a file that is replaced while it is read
_ADVICE = "; delete it"  # what a reader's error says next; the commands printed do without


@dataclass(frozen=True)
class Checked:
    """What became of one file.

    Attributes:
        made: its header (no rows); None when that cannot be read.
        damaged: ids of the utterances whose content does not match its checksum.
        reason: why the file as a whole cannot be used; None when it can.
        n_foreign: utterances that it holds though its shard of the manifest does not.
        n_missing: the other way round: neither there nor among its rejects.
        is_current: made from the input there is now; None when that cannot be known.
        is_gone: deleted before it was read.
    """

    file: StageFile
    made: Table | None = None
    damaged: tuple[str, ...] = ()
    reason: str | None = None
    n_foreign: int = 0
    n_missing: int = 0
    is_current: bool | None = None
    is_gone: bool = False

    @property
    def is_damaged(self) -> bool:
        return bool(self.damaged) or self.reason is not None

    @property
    def differs(self) -> bool:
        """Whether it holds other utterances than its shard of the manifest."""
        return self.n_foreign + self.n_missing > 0


def check_file(file: StageFile, expected: frozenset[str] | None = None) -> Checked:
    """Reads one file to its end; one that is replaced in the meantime, once more.

    ``expected`` are the utterances that its shard of the manifest has; None when not known.
    """
    for _ in range(N_READINGS):
        before = _state(file.path)
        if before is None:
            break
        checked = _check(file, expected)
        after = _state(file.path)
        if after == before or (after is not None and not checked.is_damaged):
            return checked
    return Checked(file, is_gone=True) if _state(file.path) is None else checked


def _check(file: StageFile, expected: frozenset[str] | None) -> Checked:
    try:
        check = _check_table if file.path.suffix == ".jsonl" else _check_shard
        return check(file, expected)
    except MemoryError:  # no fault of the file
        raise
    except Exception as error:  # whatever a damaged file makes its reader do, it cannot be read
        reason = str(error).removeprefix(f"{file.path}: ").partition(_ADVICE)[0]
        return Checked(file, reason=reason or type(error).__name__)


def _check_shard(file: StageFile, expected: frozenset[str] | None) -> Checked:
    from featurize.shards import ShardReader

    with ShardReader(file.path) as shard:
        rejects = [Reject(**reject) for reject in shard.rejects]
        made = Table(shard.modality, shard.config, shard.fingerprint, [], rejects, len(shard))
        checked = _compared(Checked(file, made), shard.ids, expected)
        return replace(checked, damaged=tuple(shard.damaged()))


def _check_table(file: StageFile, expected: frozenset[str] | None) -> Checked:
    header = read_header(file.path)
    try:
        table = read_table(file.path)
    except ShardError as error:
        reason = str(error).removeprefix(f"{file.path}: ").partition(_ADVICE)[0]
        return Checked(file, header, reason=reason)
    return _compared(Checked(file, header), [row["id"] for row in table.rows], expected)


def _compared(checked: Checked, ids: Sequence[str], expected: frozenset[str] | None) -> Checked:
    if expected is None or checked.made is None:
        return checked
    accounted = {*ids, *(reject.id for reject in checked.made.rejects)}
    n_foreign, n_missing = len(accounted - expected), len(expected - accounted)
    return replace(checked, n_foreign=n_foreign, n_missing=n_missing)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns
