"""SIGKILL and SIGTERM at random moments, to a command, to all its processes, or to a worker."""

import signal
import time

from benchmarks.torture.bench import LONGEST_S, Bench, Tally
from benchmarks.torture.files import shards

IN_A_ROW = 6  # kills until a run is let go on to its end
FRESH_SHARE = 0.02  # of the attempts start a new interpreter, with two jobs
TARGETS = ("process", "process", "process", "group", "group", "group", "worker")


def kills(bench: Bench, n: int, until_s: float) -> dict[str, Tally]:
    """``n`` kills, as far as there is time: the killed run is resumed, killed again, and so on.

    Each that comes to its end is compared, and the next begins with nothing.
    """
    tallies = {"SIGKILL": Tally(), "SIGTERM": Tally(), "worker": Tally()}
    bench.reset()
    in_a_row = 0
    while _n(tallies) < n and time.monotonic() < until_s:
        name = bench.rng.choice(("SIGKILL", "SIGTERM"))
        is_over = _strike(bench, name, tallies) if in_a_row < IN_A_ROW else _end(bench, tallies)
        in_a_row = 0 if is_over else in_a_row + 1
        if is_over:
            bench.reset()
    _end(bench, tallies)
    return tallies


def _n(tallies: dict[str, Tally]) -> int:
    return sum(tally.n_tried for tally in tallies.values())


def _strike(bench: Bench, name: str, tallies: dict[str, Tally]) -> bool:
    """One attempt; True when it came to its end."""
    fresh = bench.rng.random() < FRESH_SHARE
    target = bench.rng.choice(TARGETS)
    child = bench.start(fresh=fresh)
    if child.wait(bench.moment_s(fresh=fresh)):
        bench.came_early(child, fresh=fresh)
        return _judge(bench, tallies, child)
    in_work, before = bench.is_in_work(child), shards(bench.places.own)
    workers = child.workers
    if target == "worker" and workers:
        _kill(bench.rng.choice(workers))
        ends = child.wait(LONGEST_S)
        problems, n_bytes = bench.judged(child) if ends else (["hangs after a worker's death"], 0)
        tallies["worker"].add(problems, n_bytes, in_work=in_work)
        return True
    number = signal.Signals[name]
    child.signal_all(number) if target == "group" else child.signal(number)
    problems = [] if child.wait(60) else ["does not end"]
    said = child.output
    problems += [] if child.clear(10) else ["left a process behind"]
    if child.exit_code == 0:  # it was at its very end
        return _judge(bench, tallies, child)
    if "Traceback (most" in said:
        problems.append(f"a traceback after {name}: {said[-200:]!r}")
    problems += bench.problems_now(before)
    tallies[name].add([f"after {name}: {p}" for p in problems], in_work=in_work)
    return False


def _kill(pid: int) -> None:
    import os
    from contextlib import suppress

    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _judge(bench: Bench, tallies: dict[str, Tally], child) -> bool:
    _blame(tallies, *bench.judged(child))
    return True


def _end(bench: Bench, tallies: dict[str, Tally]) -> bool:
    _blame(tallies, *bench.finish())
    return True


def _blame(tallies: dict[str, Tally], problems: list[str], n_bytes: int) -> None:
    """What is wrong at the end is the fault of one of the kills before."""
    if problems:
        tally = tallies["SIGKILL"]
        tally.n_survived = max(0, tally.n_survived - 1)
        tally.bytes_lost += n_bytes
        tally.problems += [f"at the end: {problem}" for problem in problems]
