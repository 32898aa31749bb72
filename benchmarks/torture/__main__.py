"""Every stage killed, starved, locked out and stopped, and looked at afterwards.

python -m benchmarks.torture [--quick] [--stages audio,pretrain] [--jobs 2] [--write]
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.torture.base import make_base
from benchmarks.torture.cases import BY_NAME
from benchmarks.torture.stage import Wish, torture
from benchmarks.torture.table import lines_of, markdown

WRITTEN = Path(__file__).parents[1] / "torture.md"


def main(words: list[str]) -> int:
    options = _options(words)
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = options.folder.absolute()
    wish = Wish(
        folder, options.seed, options.kills, options.faults, 60 * options.minutes, options.faketime
    )
    found = {}
    alone(make_base, folder, options.seed)
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(alone, torture, name, wish): name for name in options.stages}
        for future in as_completed(waiting):
            name = waiting[future]
            try:
                found[name] = future.result()
            except SystemExit as end:
                found[name] = {"failed": str(end)}
            print("\n".join(lines_of(name, found[name])), flush=True)
            (folder / f"{name}.json").write_text(json.dumps(found[name], indent=1))
    text = markdown({name: found[name] for name in options.stages}, _told(options))
    print(text)
    if options.write:
        WRITTEN.write_text(text, encoding="utf-8")
    return int(any("failed" in one or _problems(one) for one in found.values()))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a new process that ends with it. A pool's ``max_tasks_per_child`` hangs in Python 3.11."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as one:
        return one.submit(function, *arguments).result()


def _problems(found: dict) -> list[str]:
    return [p for one in found.values() if isinstance(one, dict) for p in one["problems"]]


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, within two minutes")
    parser.add_argument("--stages", default=",".join(BY_NAME), help="some of them")
    parser.add_argument("--kills", type=int, help="a stage [default: 200]")
    parser.add_argument("--faults", type=int, help="of each other kind and stage [default: 10]")
    parser.add_argument("--minutes", type=float, help="at most, a stage [default: 20]")
    parser.add_argument("--jobs", type=int, default=2, help="stages side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("build/torture"))
    parser.add_argument("--faketime", type=Path, metavar="LIB", help="libfaketime.so.1")
    parser.add_argument("--write", action="store_true", help=f"the table to {WRITTEN.name}")
    options = parser.parse_args(words)
    usual = (4, 1, 0.4) if options.quick else (200, 10, 20.0)
    for name, value in zip(("kills", "faults", "minutes"), usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.stages = options.stages.split(",")
    if unknown := set(options.stages) - BY_NAME.keys():
        parser.error(f"no such stage: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return options


def _told(options: argparse.Namespace) -> list[str]:
    """The command line to have the same again, whatever the folders."""
    told = {"kills": options.kills, "faults": options.faults, "minutes": options.minutes}
    told |= {"jobs": options.jobs, "seed": options.seed}
    return [word for name, value in told.items() for word in (f"--{name}", f"{value:g}")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
