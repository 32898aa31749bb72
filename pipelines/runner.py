"""Shards as units of work: skip what is done, map the rest onto processes, count what is lost.

A unit is one shard of one stage: the file it makes, the fingerprint of its settings and input,
and a picklable ``work`` that makes it. A unit is done when its file opens, its checksums hold
and its fingerprint matches; only then is it skipped.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from featurize.atomic import remove_stale
from featurize.errors import ShardError, StageError, StaleError
from featurize.shards import ShardIndex, ShardReader
from pipelines.backends import Backend
from pipelines.manifest import Reject, Table, Utterance, deciding, read_header, read_table


@dataclass(frozen=True)
class Unit:
    """One shard of one stage."""

    shard: int
    output: Path
    fingerprint: str
    config: dict[str, Any]
    root: Path  # of the corpus
    utterances: list[Utterance]
    source: Path | None = None  # a file of an earlier stage that belongs to this shard


@dataclass(frozen=True)
class Outcome:
    """What one unit came to."""

    n_done: int
    reasons: list[str]
    resumed: bool = False


@dataclass
class Summary:
    """What a stage came to."""

    stage: str
    n_shards: int = 0
    n_resumed: int = 0
    n_done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def n_rejected(self) -> int:
        return self.reasons.total()

    def line(self) -> str:
        """One line for the screen."""
        resumed = f", {self.n_resumed} of them already there" if self.n_resumed else ""
        return (
            f"{self.stage}: {self.n_done} utterances in {self.n_shards} shards{resumed}; "
            f"{self.n_rejected} rejected; {self.seconds:.1f} s"
        )


Work = Callable[[Unit], Outcome]
Progress = Callable[[Outcome], None]


def run_stage(
    stage: str,
    units: Sequence[Unit],
    work: Work,
    *,
    backend: Backend,
    redo: bool,
    max_reject_share: float,
    progress: Progress,
) -> Summary:
    """Makes every unit that is not done yet, by the worker processes of ``backend``.

    With ``redo`` also those made with other settings or input, and those that rejected an
    utterance, whose cause may have been mended since.

    Raises:
        StaleError: a finished shard was made with other settings or input, or one that is not
            among the units with other settings, and ``redo`` is off.
        StageError: the workers were lost, or more than ``max_reject_share`` was rejected. The
            shards finished until then are kept.
    """
    started = time.monotonic()
    folders = {unit.output.parent for unit in units}
    for folder in folders:
        remove_stale(folder)
    if not redo:
        _refuse_stale(units)
        _refuse_mixture(units)
    summary = Summary(stage, n_shards=len(units))
    for outcome in backend.map(partial(_run_unit, work, redo), units):
        summary.n_done += outcome.n_done
        summary.n_resumed += outcome.resumed
        summary.reasons.update(outcome.reasons)
        progress(outcome)
    for folder in folders:  # of workers that were killed on the way
        remove_stale(folder)
    summary.seconds = time.monotonic() - started
    _refuse_losses(summary, max_reject_share)
    return summary


def _run_unit(work: Work, redo: bool, unit: Unit) -> Outcome:
    done = _finished(unit)
    if done is None or (redo and done.reasons):
        return work(unit)
    return done


def _finished(unit: Unit) -> Outcome | None:
    """The outcome recorded in a finished file; None when it has to be made (again)."""
    try:
        if unit.output.suffix == ".jsonl":
            table = read_table(unit.output)
            found, n_done = table.fingerprint, len(table.rows)
            reasons = [reject.reason for reject in table.rejects]
        else:
            with ShardReader(unit.output) as shard:
                found, n_done = shard.fingerprint, len(shard)
                reasons = [reject["reason"] for reject in shard.rejects]
                if next(shard.damaged(), None) is not None:
                    return None
    except ShardError:
        return None
    return Outcome(n_done, reasons, resumed=True) if found == unit.fingerprint else None


def _refuse_stale(units: Sequence[Unit]) -> None:
    for unit in units:
        try:
            found = made_with(unit.output)
        except ShardError:
            continue
        if found is not None and found.fingerprint != unit.fingerprint:
            raise StaleError(
                f"{unit.output} {difference(found.config, unit.config)}; add --redo to make it "
                "again, or go back to the earlier settings"
            )


def _refuse_mixture(units: Sequence[Unit]) -> None:
    """The shards of a stage that are not made now must have the settings of those that are."""
    outputs = {unit.output for unit in units}
    folders = {(path.parent, path.name.partition(".")[2]) for path in outputs}
    for folder, suffix in folders:
        for path in sorted(set(folder.glob(f"shard-*.{suffix}")) - outputs):
            try:
                found = made_with(path)
            except ShardError:
                continue
            if found and deciding(found.config) != deciding(units[0].config):
                raise StaleError(
                    f"{path} {difference(found.config, units[0].config)}; make all shards with "
                    "one setting, or add --redo to begin with these"
                )
            break


def made_with(path: Path) -> Table | None:
    """Header of a stage's output file of either kind (no rows); None when it does not exist."""
    if not path.is_file():
        return None
    if path.suffix == ".jsonl":
        return read_header(path)
    shard = ShardIndex(path)
    rejects = [Reject(**reject) for reject in shard.rejects]
    return Table(shard.modality, shard.config, shard.fingerprint, rejects=rejects, n=len(shard))


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What two configurations differ in, for the middle of a sentence."""
    keys = sorted(found.keys() | wanted.keys())
    changed = [key for key in keys if found.get(key) != wanted.get(key)]
    if not changed:
        return "was made from other input (an earlier stage was run again since)"
    pairs = [f"{key}={found.get(key)!r}, now {wanted.get(key)!r}" for key in changed]
    return "was made with " + "; ".join(pairs)


def _refuse_losses(summary: Summary, max_reject_share: float) -> None:
    total = summary.n_done + summary.n_rejected
    if total and summary.n_rejected > max_reject_share * total:
        reason, n = summary.reasons.most_common(1)[0]
        raise StageError(
            f"{summary.stage}: {summary.n_rejected} of {total} utterances were rejected, more than "
            f"the share allowed ({max_reject_share:.0%}); most frequent reason ({n}): {reason}. "
            "See rejects.jsonl; mend the cause and add --redo to try those shards again, or raise "
            "--max-reject-share if this is expected"
        )


def reason_of(error: Exception, root: Path, utterance: Utterance) -> str:
    """The error's text without the paths, so that equal reasons can be counted together."""
    reason = str(error)
    for path in {utterance.audio, utterance.video} - {None}:
        for name in (str(root / str(path)), str(path), Path(str(path)).name):
            reason = reason.replace(f"{name}: ", "").replace(name, "the file")
    return reason.replace(f"{utterance.id}: ", "")
