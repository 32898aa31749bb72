"""The table of what was tried and survived, for the screen and ``benchmarks/torture.md``."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

KILLS = ("SIGKILL", "SIGTERM", "worker")
OTHERS = (
    "file size limit", "full disk", "read-only", "permission lost", "worker killed",
    "worker hangs", "suspended", "clock of files", "clock of the run", "two at once",
)  # fmt: skip
PROBLEMS_SHOWN = 5


def lines_of(name: str, found: Mapping[str, Any]) -> list[str]:
    """One stage for the screen: how it went, and what went wrong."""
    if "failed" in found:
        return [f"{name}: {found['failed']}"]
    tallies = dict(_tallies(found))
    n, survived = _sum(tallies, "n_tried"), _sum(tallies, "n_survived")
    lines = [f"{name}: {survived} of {n} faults survived, {found['seconds']:.0f} s"]
    for fault, tally in tallies.items():
        lines += [f"  {fault}: {problem}" for problem in tally["problems"][:PROBLEMS_SHOWN]]
    return lines


def markdown(found: Mapping[str, Mapping[str, Any]], words: Sequence[str]) -> str:
    """The whole of ``torture.md``."""
    whole = {name: one for name, one in found.items() if "failed" not in one}
    tallies = [tally for one in whole.values() for _, tally in _tallies(one)]
    n, survived = (sum(t[key] for t in tallies) for key in ("n_tried", "n_survived"))
    lost = sum(tally["bytes_lost"] for tally in tallies)
    head = [
        "# Torture", "",
        f"{survived} of {n} faults survived; {lost} bytes lost. "
        f"`python -m benchmarks.torture {shlex.join(words)}` on commit {_commit()}, "
        f"{date.today()}.", "",
        _INTRODUCTION,
    ]  # fmt: skip
    return "\n".join([*head, *_kill_table(whole), "", *_other_table(whole), "", *_wrong(found)])


_INTRODUCTION = """\
Survived means: no file under a final name that is not whole, no finished shard gone, no process
left over; and the same command, run again, ends with the same bytes as an unbroken run (of a
training's checkpoint: the same tensors and figures) and leaves no temporary file. A figure is
survived/tried.

## Kills

At random moments between taking the lock and a little past the usual end. A killed run is started
again, killed again, up to six times, then let go on to its end and compared. *In work*: the stage
held its lock at that moment. *Worker*: SIGKILL to one of its workers, after which the command
itself has to end well. One attempt in fifty is a new interpreter with two jobs; the others are
forked with their imports done, so that kills fall into work.
"""


def _kill_table(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| stage | a run takes | SIGKILL | SIGTERM | worker | in work | bytes lost |"
    yield "|---|---|---|---|---|---|---|"
    for name, one in found.items():
        tallies = {fault: one[fault] for fault in KILLS}
        n = _sum(tallies, "n_tried")
        in_work = f"{_sum(tallies, 'n_in_work') / n:.0%}" if n else "-"
        cells = [_cell(tally) for tally in tallies.values()]
        lost = _sum(tallies, "bytes_lost")
        length = f"{one['lengths_s'][1]:.1f} s"
        yield f"| {name} | {length} | {' | '.join(cells)} | {in_work} | {lost} |"


def _other_table(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "## Other faults"
    yield ""
    yield _OTHERS
    yield f"| stage | {' | '.join(OTHERS)} | bytes lost |"
    yield "|---" * (len(OTHERS) + 2) + "|"
    for name, one in found.items():
        cells = [_cell(one[fault]) if fault in one else "" for fault in OTHERS]
        lost = sum(one[fault]["bytes_lost"] for fault in OTHERS if fault in one)
        yield f"| {name} | {' | '.join(cells)} | {lost} |"


_OTHERS = """\
*File size limit*: RLIMIT_FSIZE at a random size. *Full disk*: a tmpfs with room for a part of the
output, which then grows. *Read-only*, *permission lost*: folders without write permission, from
the start or from a random moment on, root's overrides dropped. *Worker killed*: SIGKILL to one of
two jobs, as by the OOM killer. *Worker hangs*: SIGSTOP for good and a time-out of 2 s; then
`--redo`. *Suspended*: SIGSTOP to all for a second. *Clock of files*: all times set to 1970 or
2038 between a kill and going on. *Clock of the run*: libfaketime, begun in 2038, gone on with in
1970, the clock jumping to 2025 on the way. *Two at once*: the same command twice.
"""


def _wrong(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    problems = [line for name, one in found.items() for line in lines_of(name, one)[1:]]
    failed = [f"  {name}: {one['failed']}" for name, one in found.items() if "failed" in one]
    if problems or failed:
        yield "## What went wrong"
        yield ""
        yield from (f"-{line[1:]}" for line in failed + problems)
        yield ""


def _tallies(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((key, value) for key, value in found.items() if isinstance(value, dict))


def _sum(tallies: Mapping[str, Mapping[str, Any]], key: str) -> int:
    return sum(tally[key] for tally in tallies.values())


def _cell(tally: Mapping[str, Any]) -> str:
    return f"{tally['n_survived']}/{tally['n_tried']}" if tally["n_tried"] else ""


def _commit() -> str:
    here = Path(__file__).parent
    words = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
