"""How everything is timed: rounds of all rivals in turn, medians, ratios from one run.

Each benchmark is a function that takes ``Options`` and returns a ``Report``; ``run`` makes a
command of it with ``--quick`` (under a minute) and ``--json`` (the ratios, on the last line).
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

Key = TypeVar("Key")

MIB = 1024**2
ROUNDS = 5


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked for."""

    quick: bool = False
    json: bool = False
    peer: Path | None = None  # checkout of the Multimodal Transformer, for ``benchmarks.train``
    device: str = "cpu"

    @property
    def rounds(self) -> int:
        """Timed rounds, after one that warms up."""
        return 3 if self.quick else ROUNDS


@dataclass(frozen=True)
class Line:
    """One comparison. ``target`` is what the ratio has to reach, or not to exceed."""

    key: str
    what: str
    ours: str
    theirs: str
    ratio: float
    target: float | None = None
    more_is_better: bool = True

    @property
    def verdict(self) -> str:
        """The target, and whether it was reached."""
        if self.target is None:
            return ""
        is_reached = self.ratio >= self.target if self.more_is_better else self.ratio <= self.target
        sign = ">=" if self.more_is_better else "<="
        return f"{sign} {self.target:g}: {'reached' if is_reached else 'MISSED'}"


@dataclass
class Report:
    """Tables for people, and ratios under short names for programs."""

    ratios: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table; all columns but the first are right-aligned numbers or words."""
        table = Table(title=title, title_justify="left", show_edge=False)
        for column in columns:
            table.add_column(column, justify="left" if column == columns[0] else "right")
        for row in rows:
            table.add_row(*map(str, row))
        self.tables.append(table)

    def lines(self, title: str, lines: Iterable[Line]) -> None:
        """Adds comparisons: a table, and the ratio of each."""
        lines = list(lines)
        columns = ("what", "ours", "against", "ratio", "target")
        rows = [
            (line.what, line.ours, line.theirs, f"{line.ratio:.3g}", line.verdict) for line in lines
        ]
        self.table(title, columns, rows)
        self.ratios.update({line.key: round(line.ratio, 4) for line in lines})

    def show(self, options: Options) -> None:
        """Prints all; with ``--json`` the ratios as one object on the last line."""
        console = Console(width=None if sys.stdout.isatty() else 150)
        for table in self.tables:
            console.print(table, "")
        if options.json:
            print(json.dumps(self.ratios), flush=True)


Benchmark = Callable[[Options], Report]


def run(*benchmarks: Benchmark) -> None:
    """The command line of one benchmark or of several."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="smaller data, within a minute")
    parser.add_argument("--json", action="store_true", help="ratios as JSON on the last line")
    parser.add_argument("--peer", type=Path, help="checkout that benchmarks.train compares with")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for benchmarks.train")
    options = Options(**vars(parser.parse_args()))
    everything = Report()
    for benchmark in benchmarks:
        report = benchmark(options)
        everything.ratios.update(report.ratios)
        everything.tables.extend(report.tables)
    everything.show(options)


def alternate(
    runs: Mapping[Key, Callable[[], object]],
    rounds: int = ROUNDS,
    before: Callable[[], object] = lambda: None,
) -> dict[Key, float]:
    """Median seconds of each of ``runs``, which take turns, after a round that warms up.

    ``before`` each of them is called, but not timed.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run_once in runs.items():
            before()
            started_s = time.perf_counter()
            run_once()
            seconds[name].append(time.perf_counter() - started_s)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def in_fresh_process(work: Callable[..., Any], *arguments: object) -> Any:
    """What ``work(*arguments)`` returns in a process that shares no memory with this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def peak_bytes() -> int:
    """Peak resident memory of this process since it began.

    Not ``getrusage``: Linux counts there what the parent held when it started this process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
