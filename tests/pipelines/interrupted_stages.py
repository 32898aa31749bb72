"""What ``test_interrupted`` runs: every stage killed at a rename, out of room, locked out.

python interrupted_stages.py FOLDER      prints JSON: stage -> fault -> what went wrong

A process of its own, as it forks: threads of the tests would not survive that.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.torture import faults
from benchmarks.torture.base import make_base
from benchmarks.torture.bench import Bench
from benchmarks.torture.cases import CASES, Case, Places

SLOW = ("video", "report", "pretrain", "decode")  # seconds a run: fewer faults
RENAMES = {"prepare": (1, 2)}  # at which a kill comes; the first is of the lock's record


def tortured(case: Case, folder: Path) -> dict[str, list[str]]:
    places = Places(folder / "corpora", folder / "base", folder / "cases" / case.name)
    bench = Bench(case, places, random.Random(case.name), starts_fresh=False)
    found = {}
    if case.name != "compare":  # it writes to the screen alone
        first, second = RENAMES.get(case.name, (2, 3))
        found["killed after a rename"] = killed(bench, first, after=True)
        if case.name not in SLOW:
            found["killed before a rename"] = killed(bench, second, after=False)
    for fault in (faults.file_size_limit, faults.read_only)[: 1 if case.name in SLOW else 2]:
        bench.reset()
        found[fault.__name__.replace("_", " ")] = fault(bench)[0]
    bench.close()
    return found


def killed(bench: Bench, n: int, *, after: bool) -> list[str]:
    """SIGKILL just before or after the n-th file gets its name."""
    bench.reset()
    child = bench.start(before=lambda: kill_at(n, after))
    child.wait(120)
    child.clear(5)
    if child.exit_code != -signal.SIGKILL:
        return [f"not killed: {child.output}"]
    return bench.problems_now(set()) + bench.finish()[0]


def kill_at(n: int, after: bool) -> None:
    left, rename = [n], os.replace

    def replace(*names: str) -> None:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*names)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    instead: Callable = replace
    os.replace = instead


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    make_base(folder, seed=0)
    print(json.dumps({case.name: tortured(case, folder) for case in CASES}))
