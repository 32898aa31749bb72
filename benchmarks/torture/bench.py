"""One stage on the bench: run unbroken, run to the end after a fault, compared with each other."""

import hashlib
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.torture.cases import Case, Places
from benchmarks.torture.child import Child
from benchmarks.torture.files import (
    differing_bytes,
    digests,
    final_files,
    half_files,
    shards,
    temporary_files,
)

LONGEST_S = 120.0  # that a run may take, many times what it does
SCREEN = "(screen)"


@dataclass
class Tally:
    """How one kind of fault went: ``n_in_work`` fell while the stage held its lock."""

    n_tried: int = 0
    n_survived: int = 0
    n_in_work: int = 0
    bytes_lost: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problems: list[str], bytes_lost: int = 0, *, in_work: bool = False) -> None:
        self.n_tried += 1
        self.n_survived += not problems
        self.n_in_work += in_work
        self.bytes_lost += bytes_lost
        self.problems += problems


class Bench:
    """A case with its folder, the digests it has to end with, and how long it takes.

    ``starts_fresh``: new interpreters are to be started, too, so one is run unbroken.

    Raises SystemExit when two unbroken runs differ: then nothing can be told.
    """

    def __init__(
        self, case: Case, places: Places, rng: random.Random, *, starts_fresh: bool = True
    ) -> None:
        self.case, self.places, self.rng = case, places, rng
        self.wanted: dict[str, str] = {}
        self.lengths_s: dict[bool, tuple[float, float]] = {}  # fresh? -> lock held, over
        kinds = (False, True, False) if starts_fresh else (False,)
        runs = [self._unbroken(fresh=fresh) for fresh in kinds]
        for other in runs[1:]:
            if names := sorted(n for n in runs[0] | other if runs[0].get(n) != other.get(n)):
                sys.exit(f"{case.name}: two unbroken runs differ in {', '.join(names)}")
        self.wanted = runs[0]
        self.sizes = [path.stat().st_size for path in final_files(places.own)]

    def start(
        self, *, fresh: bool = False, extra: tuple[str, ...] = (),
        before: Callable[[], None] = lambda: None, environment: dict[str, str] | None = None,
    ) -> Child:  # fmt: skip
        words = [*self.case.command(self.places, many_jobs=fresh), *extra]
        return Child.fresh(words, environment) if fresh else Child.forked(words, before)

    def reset(self) -> None:
        self.case.reset(self.places)

    def moment_s(self, *, fresh: bool = False) -> float:
        """When to strike: somewhere in the stage's own work, or just before or after it."""
        begin_s, end_s = self.lengths_s[fresh]
        return self.rng.uniform(0.9 * begin_s, 1.05 * end_s)

    def came_early(self, child: Child, *, fresh: bool) -> None:
        """It was over before its moment: a busy machine had made the run before look longer."""
        begin_s, end_s = self.lengths_s[fresh]
        took_s = min(end_s, time.monotonic() - child.started_s)
        self.lengths_s[fresh] = (min(begin_s, 0.5 * took_s), took_s)

    def is_in_work(self, child: Child) -> bool:
        """Whether it holds its lock now; what takes none is in work from a fifth of the way on."""
        if self.case.name == "compare":
            return time.monotonic() - child.started_s > 0.2 * self.lengths_s[False][1]
        return any(self.places.own.rglob(f".locks/*-{child.pid}.json"))

    def problems_now(self, before: set[str]) -> list[str]:
        """Half files under final names, and finished shards of before that are gone."""
        lost = sorted(before - shards(self.places.own))
        return half_files(self.places.own) + [f"{name}: finished, and gone" for name in lost]

    def finish(self, *, extra: tuple[str, ...] = ()) -> tuple[list[str], int]:
        """Runs the same command to its end; what is wrong then, and the bytes in it."""
        child = self.start(extra=extra)
        if not child.wait(LONGEST_S):
            child.clear(0)
            return [f"did not end within {LONGEST_S:.0f} s"], 0
        return self.judged(child)

    def judged(self, child: Child) -> tuple[list[str], int]:
        """Of a run that is over and ought to have come to the very same end."""
        said, is_clear = child.output, child.clear(10)
        if child.exit_code != 0:
            return [f"exit {child.exit_code}: {last_line(said)}"], 0
        names, n_bytes = self._differing(said)
        problems = [f"differs: {name}" for name in names]
        problems += [f"left over: {path.name}" for path in temporary_files(self.places.own)]
        problems += [] if is_clear else ["left a process behind"]
        return problems, n_bytes

    def _differing(self, said: str) -> tuple[list[str], int]:
        if self.case.name == "compare":
            return ([], 0) if _screen(said) == self.wanted else ([SCREEN], len(said))
        return differing_bytes(self.places.own, self.wanted)

    def _unbroken(self, *, fresh: bool) -> dict[str, str]:
        self.reset()
        child = self.start(fresh=fresh)
        begin_s = None
        while not child.is_over and time.monotonic() - child.started_s < LONGEST_S:
            if begin_s is None and self.case.name != "compare" and self.is_in_work(child):
                begin_s = time.monotonic() - child.started_s
            time.sleep(0.002)
        end_s = time.monotonic() - child.started_s
        said = child.output
        child.clear(10)
        if child.exit_code != 0:
            sys.exit(f"{self.case.name}: exit {child.exit_code} unbroken\n{said}")
        self.lengths_s[fresh] = (0.2 * end_s if begin_s is None else begin_s, end_s)
        return _screen(said) if self.case.name == "compare" else digests(self.places.own)

    def close(self) -> None:
        shutil.rmtree(self.places.own, ignore_errors=True)


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(silent)"


def refusal_problems(child: Child, said: str) -> list[str]:
    """What is wrong with how a command gave up: it is to end with 1, an error of one line."""
    if child.exit_code == 0:
        return []
    problems = ["a traceback: " + last_line(said)] if "Traceback (most" in said else []
    if child.exit_code != 1:
        problems.append(f"exit {child.exit_code}: {last_line(said)}")
    elif "error: " not in said:
        problems.append(f"no error told: {last_line(said)}")
    return problems


def _screen(said: str) -> dict[str, str]:
    return {SCREEN: hashlib.sha256(said.encode()).hexdigest()}
