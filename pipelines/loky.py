"""Worker processes on this machine, and what becomes of the work of those that die."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from featurize.errors import StageError
from pipelines.end_with_parent import end_with_parent
from pipelines.progress import note

GO_ON = "finished shards are kept: run the same command again"


@dataclass(frozen=True)
class Loky:
    """Worker processes on this machine.

    One that dies (killed for want of memory, or by a crash in a native library) takes the others
    with it. What was under way is done again by new ones when all else is done; what was under way
    at a second death, one unit at a time. So a unit that kills its worker is found out, and keeps
    no other from being made.

    Raises:
        StageError: from ``map``, after all others: some units ended their worker when alone, too.
    """

    jobs: int

    def map(self, function: Callable[[Any], Any], units: Sequence[Any]) -> Iterator[Any]:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        waiting = dict(enumerate(units))
        for n_under_way in ("2 * n_jobs", "2 * n_jobs", 1):
            lost: dict[int, Any] = {}
            while waiting:
                begun: list[int] = []
                try:
                    for number, result in self._map(function, waiting, begun, n_under_way):
                        del waiting[number]
                        yield result
                except (TerminatedWorkerError, MemoryError):
                    lost |= {number: waiting.pop(number) for number in begun if number in waiting}
                    note("a worker process died; what it had not finished is tried once more")
            waiting = lost
        if waiting:
            raise StageError(_died_alone(waiting.values()))

    def _map(
        self, function: Callable[[Any], Any], units: dict[int, Any], begun: list[int],
        n_under_way: int | str,
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        """The results with their units' numbers; ``begun`` gets those that went to a worker."""
        from joblib import Parallel, delayed, parallel_config

        def calls() -> Iterator[Any]:
            for number, unit in list(units.items()):
                begun.append(number)
                yield delayed(_numbered)(function, number, unit)

        with parallel_config("loky", initializer=_begin_worker, initargs=(os.getpid(),)):
            parallel = Parallel(
                n_jobs=self.jobs, return_as="generator_unordered", batch_size=1,
                pre_dispatch=n_under_way,
            )  # fmt: skip
        yield from parallel(calls())


def _numbered(function: Callable[[Any], Any], number: int, unit: Any) -> tuple[int, Any]:
    return number, function(unit)


def _died_alone(left: Iterable[Any]) -> str:
    names = [unit.output.name for unit in left if hasattr(unit, "output")]
    on = f", also alone, on {', '.join(names[:3])}{' ...' * (len(names) > 3)}" if names else ""
    return (
        f"a worker process died again and again{on} (out of memory, or a crash in a native "
        f"library); {GO_ON}, with fewer --jobs if memory was short"
    )


def _begin_worker(parent: int) -> None:
    """In a worker: an end with the command, and none for having grown by 300 MB.

    That is what loading a model does; with psutil installed (Dask brings it), loky takes it for a
    leak, and has no setting.
    """
    from joblib.externals.loky import process_executor

    process_executor._USE_PSUTIL = False
    end_with_parent(parent)
