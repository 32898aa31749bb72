"""The readers of what strangers hand over, each fed with thousands of bad files.

    python -m benchmarks.fuzz [--n 20000] [--seed 0] [--jobs 2] [--only NAME] [--quick]

Bytes changed, fields and lines replaced, JSON of the wrong types, tables and shards of wrong
content under right digests. Every file is read, or refused by an error of the project's in one
line; each reader takes under ``LIMIT_S``, and memory is limited. Ends with exit code 1 otherwise.
A case is made again from its reader's name, the seed and its number.
"""

import argparse
import re
import signal
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz.readers import targets
from benchmarks.fuzz.target import complaint, content, lay_out

QUICK_N = 100
LIMIT_S = 30
MEMORY_BYTES = 4 << 30


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--n", type=int, default=20000, help="files a reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="readers with this in their name")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_N} files a reader")
    options = parser.parse_args(words)
    n = QUICK_N if options.quick else options.n
    names = [name for name in targets() if options.only in name]
    n_bad = 0
    print("| reader | files | complaints | s | slowest, s |\n|---|---|---|---|---|", flush=True)
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), _limit_memory) as pool:
        for name, found, seconds, slowest_s in pool.map(_fuzz, names, *_same(n, options.seed)):
            n_bad += sum(found.values())
            told = f"{n} | {sum(found.values())} | {seconds:.0f} | {slowest_s:.2f}"
            print(f"| {name} | {told} |", flush=True)
            for (what, example), times in found.most_common(8):
                print(f"FAULT {name}: {times} times, such as number {example}: {what}", flush=True)
    return 1 if n_bad else 0


def _same(n: int, seed: int) -> tuple[Any, Any]:
    count = len(targets())
    return [n] * count, [seed] * count


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def _fuzz(name: str, n: int, seed: int) -> tuple[str, Counter, float, float]:
    """Complaints about one reader, with a case of each; seconds in all and of the slowest."""
    target = targets()[name]
    kinds: dict[str, tuple[str, int]] = {}
    found: Counter = Counter()
    slowest_s, started_s = 0.0, time.monotonic()
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as folder:
        seeds = lay_out(target, Path(folder))
        for number in range(n):
            bad = content(target, seeds, Random(f"{name}/{seed}/{number}"))
            before_s = time.monotonic()
            signal.alarm(LIMIT_S)
            try:
                said = complaint(target, Path(folder), bad)
            except _TooLong:
                said = f"took over {LIMIT_S} s"
            finally:
                signal.alarm(0)
            slowest_s = max(slowest_s, time.monotonic() - before_s)
            if said is not None:
                kind = re.sub(r"\d+", "N", said.replace(folder, ""))[:60]
                found[kinds.setdefault(kind, (said[:200], number))] += 1
    return name, found, time.monotonic() - started_s, slowest_s


class _TooLong(BaseException):
    pass


def _too_long(*_: Any) -> None:
    raise _TooLong
