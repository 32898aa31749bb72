"""All faults on one stage, in a process of its own."""

import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.torture import faults
from benchmarks.torture.bench import Bench
from benchmarks.torture.cases import BY_NAME, Places
from benchmarks.torture.child import warm_up
from benchmarks.torture.kills import kills

KILLS_SHARE = 0.65  # of the time


@dataclass(frozen=True)
class Wish:
    """How much of everything: ``n_kills``, ``n_faults`` of each other kind, seconds a stage."""

    folder: Path
    seed: int
    n_kills: int
    n_faults: int
    limit_s: float
    faketime: Path | None = None


def torture(name: str, wish: Wish) -> dict[str, Any]:
    """Fault -> how it went (``Tally`` as a dict), of one stage; and its "seconds"."""
    warm_up()
    started_s = time.monotonic()
    places = Places(wish.folder / "corpora", wish.folder / "base", wish.folder / "cases" / name)
    bench = Bench(BY_NAME[name], places, random.Random(f"{wish.seed} {name}"))
    tallies = kills(bench, wish.n_kills, started_s + KILLS_SHARE * wish.limit_s)
    tallies |= faults.tried(bench, _faults(bench, wish), wish.n_faults, started_s + wish.limit_s)
    bench.close()
    found = {fault: asdict(tally) for fault, tally in tallies.items()}
    return {"seconds": time.monotonic() - started_s, "lengths_s": bench.lengths_s[False], **found}


def _faults(bench: Bench, wish: Wish) -> Mapping[str, faults.Fault]:
    case = bench.case
    chosen: dict[str, faults.Fault] = {
        "file size limit": faults.file_size_limit,
        "read-only": faults.read_only,
        "permission lost": faults.permission_lost,
        "suspended": faults.suspended,
        "clock of files": faults.clock_of_files,
        "two at once": faults.two_at_once,
    }
    if faults.can_mount(bench.places.own):
        chosen["full disk"] = faults.full_disk
    if case.has_jobs:
        chosen["worker killed"] = faults.worker_killed
    if case.opens_media:
        chosen["worker hangs"] = faults.worker_hangs
    if wish.faketime is not None:
        chosen["clock of the run"] = faults.clock_of_the_run(wish.faketime)
    return chosen
