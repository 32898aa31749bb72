"""Faults other than kills: no room, no permission, a worker that hangs, another clock, a rival."""

import itertools
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks.torture.bench import LONGEST_S, Bench, Tally, refusal_problems
from benchmarks.torture.child import Child, stop_being_root
from benchmarks.torture.files import shards

EPOCHS = (86_400, 2_147_483_648 + 86_400)  # 1970-01-02; 2038-01-20, past 31 bits
Fault = Callable[[Bench], tuple[list[str], int]]


def tried(bench: Bench, chosen: Mapping[str, Fault], n: int, until_s: float) -> dict[str, Tally]:
    """Each fault in turn, up to ``n`` times and at least once, on a start with nothing."""
    tallies = {name: Tally() for name in chosen}
    for round_number, (name, fault) in itertools.product(range(n), chosen.items()):
        if round_number and time.monotonic() > until_s:
            break
        bench.reset()
        problems, n_bytes = fault(bench)
        tallies[name].add(problems, n_bytes, in_work=True)
    return tallies


def file_size_limit(bench: Bench) -> tuple[list[str], int]:
    """RLIMIT_FSIZE: writing past a size fails, as on a full disk or past a quota."""
    largest = max(bench.sizes, default=4096)
    limit = int(2 ** bench.rng.uniform(6, max(7, (largest - 1).bit_length())))

    def before() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return _gives_up(bench, bench.start(before=before))


def full_disk(bench: Bench) -> tuple[list[str], int]:
    """A tmpfs with room for a part of the output; then it grows."""
    own = str(bench.places.own)
    room = sum(path.stat().st_size for path in bench.places.own.rglob("*") if path.is_file())
    size = int(room + 65536 + bench.rng.random() * sum(bench.sizes))
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", own)
    try:
        bench.reset()
        child = bench.start()
        child.wait(LONGEST_S)
        problems = refusal_problems(child, child.output) + bench.problems_now(set())
        child.clear(10)
        _mount("-o", "remount,size=1g", own)
        later, n_bytes = bench.finish()
        return problems + later, n_bytes
    finally:
        _unmount(own)


def can_mount(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", "size=64k", "none", str(folder))
    except (subprocess.CalledProcessError, OSError):
        return False
    _unmount(str(folder))
    return True


def read_only(bench: Bench) -> tuple[list[str], int]:
    """The output's folders may not be written to."""
    _permit(bench, 0o555)
    child = bench.start(before=stop_being_root)
    child.wait(LONGEST_S)
    _permit(bench, 0o755)
    return _gives_up(bench, child)


def permission_lost(bench: Bench) -> tuple[list[str], int]:
    """The same, from some moment on."""
    child = bench.start(before=stop_being_root)
    child.wait(bench.moment_s())
    _permit(bench, 0o555)
    child.wait(LONGEST_S)
    _permit(bench, 0o755)
    return _gives_up(bench, child)


def worker_killed(bench: Bench) -> tuple[list[str], int]:
    """SIGKILL to a worker of two or more, as from the OOM killer: the command gets over it."""
    child = bench.start(fresh=True)
    child.wait(bench.moment_s(fresh=True))
    while not (workers := child.workers) and not child.is_over:
        time.sleep(0.002)
    if workers:
        with suppress(ProcessLookupError):
            os.kill(bench.rng.choice(workers), signal.SIGKILL)
    if not child.wait(LONGEST_S):
        child.clear(0)
        return ["hangs after a worker's death"], 0
    return bench.judged(child)


def worker_hangs(bench: Bench) -> tuple[list[str], int]:
    """SIGSTOP to a worker for good: it costs one utterance, which --redo brings back."""

    def before() -> None:
        os.environ["TRIMODAL_TIMEOUT_S"] = "2"

    child = bench.start(before=before)
    while not child.workers and not child.is_over:
        time.sleep(0.002)
    time.sleep(bench.rng.uniform(0, max(0.1, bench.lengths_s[False][1] / 2)))
    for pid in child.workers[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    if not child.wait(60):
        child.clear(0)
        return ["hangs past the time-out"], 0
    problems = refusal_problems(child, child.output) + bench.problems_now(set())
    child.clear(10)
    if bench.case.name == "kaldi":  # --redo replaces what differs; this is whole, less a recording
        bench.reset()
    later, n_bytes = bench.finish(extra=("--redo",))
    return problems + later, n_bytes


def suspended(bench: Bench) -> tuple[list[str], int]:
    """All its processes stopped for a second, and gone on with, as by a batch system."""
    child = bench.start()
    child.wait(bench.moment_s())
    child.signal_all(signal.SIGSTOP)
    time.sleep(1.0)
    child.signal_all(signal.SIGCONT)
    if not child.wait(LONGEST_S):
        child.clear(0)
        return ["does not go on after SIGCONT"], 0
    return bench.judged(child)


def clock_of_files(bench: Bench) -> tuple[list[str], int]:
    """A killed run's input and output get times of 1970 or 2038 before it goes on."""
    child = bench.start()
    child.wait(bench.moment_s())
    child.signal_all(signal.SIGKILL)
    child.clear(10)
    for path in (bench.places.own, *bench.places.own.rglob("*")):
        os.utime(path, (time_s := bench.rng.choice(EPOCHS), time_s))
    return bench.finish()


def clock_of_the_run(library: Path) -> Fault:
    """libfaketime: a run begun in 2038, killed, gone on with in 1970, in which the clock jumps."""

    def fault(bench: Bench) -> tuple[list[str], int]:
        clock = bench.places.own.with_suffix(".clock")
        always = {"LD_PRELOAD": str(library), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
        always["FAKETIME_TIMESTAMP_FILE"] = str(clock)
        clock.write_text("@2038-01-20 03:14:08")
        child = bench.start(fresh=True, environment=always)
        child.wait(bench.moment_s(fresh=True))
        child.signal_all(signal.SIGKILL)
        child.clear(10)
        clock.write_text("@1970-01-02 00:00:00")
        child = bench.start(fresh=True, environment=always)
        child.wait(bench.moment_s(fresh=True) / 2)
        clock.write_text("-400d")
        child.wait(LONGEST_S)
        found = bench.judged(child)
        clock.unlink()
        return found

    return fault


def two_at_once(bench: Bench) -> tuple[list[str], int]:
    """The same command twice: one makes everything, the other names it, or finds all done."""
    first = bench.start()
    first.wait(bench.rng.uniform(0, bench.lengths_s[False][1]))
    second = bench.start()
    problems = []
    for child in (first, second):
        if not child.wait(LONGEST_S):
            problems.append("hangs beside another")
        said = child.output
        if child.exit_code == 1 and "is being made by process" not in said:
            problems.append(f"beside another: {said[-200:]!r}")
        problems += refusal_problems(child, said)
        child.clear(10)
    if {first.exit_code, second.exit_code} == {1}:
        problems.append("each was refused for the other")
    later, n_bytes = bench.finish()
    return problems + bench.problems_now(set()) + later, n_bytes


def _gives_up(bench: Bench, child: Child) -> tuple[list[str], int]:
    """Ends with an error of one line or, as nothing came to that, well; then goes on to the end."""
    before = shards(bench.places.own)
    problems = [] if child.wait(LONGEST_S) else ["does not end"]
    problems += refusal_problems(child, child.output)
    problems += [] if child.clear(10) else ["left a process behind"]
    problems += bench.problems_now(before)
    later, n_bytes = bench.finish()
    return problems + later, n_bytes


def _permit(bench: Bench, mode: int) -> None:
    folders = [path for path in bench.places.own.rglob("*") if path.is_dir()]
    for folder in (bench.places.own, *folders):
        with suppress(FileNotFoundError):
            folder.chmod(mode)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def _unmount(folder: str) -> None:
    subprocess.run(["umount", "-l", folder], check=True, capture_output=True)
