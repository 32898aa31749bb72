"""What ``test_interrupted`` runs: stages that are killed at a rename, out of room, locked out.

python interrupted_stages.py FOLDER WORK      prints JSON: stage -> fault -> what went wrong

A process of its own, as it forks: threads of the tests would not survive that.
"""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.torture import faults
from benchmarks.torture.bench import Bench
from benchmarks.torture.cases import SETTINGS, Case, Places
from benchmarks.torture.child import Child, warm_up


@dataclass(frozen=True)
class Targets(Case):
    """Reads a copy of the workspace, without targets."""

    source: Path = Path()

    def reset(self, places: Places) -> None:
        shutil.rmtree(places.own, ignore_errors=True)
        shutil.copytree(self.source, places.work)
        for path in Path(places.work).glob("features/*.targets.h5"):
            path.unlink()


def cases(work: Path) -> list[Case]:
    targets = ["targets", *SETTINGS, "--jobs", "1"]
    return [
        Targets("targets", lambda at: ["extract", at.work, *targets], source=work),
        Case("finetune", lambda at: ["finetune", str(work), at.out, "--n-seeds", "1", *SETTINGS]),
        Case("evaluate", lambda at: ["evaluate", str(work), at.out], copies="tuned"),
        Case("report", lambda at: ["report", at.out, at.of_base("evaluated")]),
        Case("webdataset", lambda at: ["export", "webdataset", str(work), at.out]),
    ]


def make_base(work: Path, base: Path) -> None:
    """Two runs, one of them evaluated."""
    for name in ("tuned", "evaluated"):
        run("finetune", work, base / name, "--n-seeds", 1, *SETTINGS)
    run("evaluate", work, base / "evaluated")


def run(*words: object) -> None:
    child = Child.forked([str(word) for word in words])
    if not child.wait(120) or child.exit_code != 0:
        sys.exit(child.output)
    child.clear(5)


def tortured(case: Case, folder: Path) -> dict[str, list[str]]:
    places = Places(folder, folder / "base", folder / case.name)
    bench = Bench(case, places, random.Random(case.name), starts_fresh=False)
    found = {"rename 2": killed(bench, 2, after=True), "rename 3": killed(bench, 3, after=False)}
    for fault in (faults.file_size_limit, faults.read_only):
        bench.reset()
        found[fault.__name__] = fault(bench)[0]
    return found


def killed(bench: Bench, n: int, *, after: bool) -> list[str]:
    """SIGKILL just before or after the n-th file gets its name; the first is the lock's record."""
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
    folder, work = map(Path, sys.argv[1:])
    warm_up()
    make_base(work, folder / "base")
    print(json.dumps({case.name: tortured(case, folder) for case in cases(work)}))
