"""Where the shards of a stage are made: processes on this machine, or the workers of a cluster.

Both go through joblib, so a stage cannot tell them apart: each unit is sent to a process that has
nothing else to do, and comes back as its outcome. Files are written where they are made; only
units and outcomes, a few kilobytes, travel.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from featurize.errors import StageError, UsageError
from pipelines import __version__
from pipelines.freed_memory import keep_freed_memory
from pipelines.loky import GO_ON, Loky

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from pipelines.options import StageOptions
    from pipelines.runner import Unit

SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"  # Dask's own
CONNECT_TIMEOUT_S = 20
WORKERS_TIMEOUT_S = 60  # a cluster may still be starting


class Backend(Protocol):
    """Runs ``function(unit)`` for every unit; yields what it returns, in the order of finishing.

    Raises:
        StageError: the workers were lost; what they had finished is there.
    """

    def map(self, function: Callable[[Unit], Any], units: Sequence[Unit]) -> Iterator[Any]: ...


def backend_of(stage: StageOptions, default_jobs: int | None = None) -> Backend:
    """The backend that the options ask for.

    Raises:
        UsageError: options that contradict each other, or no scheduler.
    """
    from joblib import cpu_count

    if stage.backend == "loky":
        if stage.scheduler is not None:
            raise UsageError("--scheduler is for --backend dask; give both or neither")
        return Loky(stage.jobs or default_jobs or cpu_count())
    address = stage.scheduler or os.environ.get(SCHEDULER_VARIABLE)
    if address is None:
        raise UsageError(f"--backend dask: add --scheduler ADDRESS, or set {SCHEDULER_VARIABLE}")
    if stage.jobs is not None:
        raise UsageError("--jobs is for this machine; a Dask cluster has the workers it has")
    return Dask(address)


@dataclass(frozen=True)
class Dask:
    """The workers of a Dask cluster, which share the folders of corpus and workspace with us.

    A worker that is lost costs nothing: Dask gives its shard to another.
    """

    scheduler: str

    def map(self, function: Callable[[Unit], Any], units: Sequence[Unit]) -> Iterator[Any]:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from joblib import Parallel, delayed, parallel_config

        there = functools.partial(
            _in_folder, os.getcwd(), function
        )  # relative paths mean what they do here
        with _connected(self.scheduler) as client:
            _check_workers(self.scheduler, client, _folders(units))
            with parallel_config(_joblib_backend(client)):
                parallel = Parallel(return_as="generator_unordered", batch_size=1)
            try:
                yield from parallel(delayed(there)(unit) for unit in units)
            except KilledWorker as error:
                raise StageError(
                    f"a shard ended every worker that took it ({error}); look into their logs "
                    f"(out of memory, or a crash in a native library). {GO_ON}"
                ) from None
            except FutureCancelledError:
                raise StageError(
                    f"the Dask scheduler at {self.scheduler} is gone; start it and its workers "
                    f"again. {GO_ON}"
                ) from None


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--backend dask needs Dask: pip install 'trimodal[cluster]'") from None
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with "
            "`dask scheduler`, which prints its address"
        ) from None
    with client:
        yield client


def _joblib_backend(client: Client) -> Any:
    """joblib's own, but for a cluster of one worker: joblib would then work in this process."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

    return Backend(client=client)


def _check_workers(address: str, client: Client, folders: list[Path]) -> None:
    """Refuses workers that would fail later on: no trimodal, another one, other folders."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
    except TimeoutError:
        raise UsageError(
            f"the Dask scheduler has no worker after {WORKERS_TIMEOUT_S} s; start some: "
            f"dask worker {address} --nworkers auto --nthreads 1"
        ) from None
    many = [address for address, n_threads in client.nthreads().items() if n_threads > 1]
    if many:
        raise UsageError(
            f"{len(many)} Dask workers have several threads ({many[0]}); models are loaded once a "
            "process, so start them with --nthreads 1 and --nworkers for the cores"
        )
    for worker, found in client.run(look_around, folders, on_error="return").items():
        if isinstance(found, Exception):
            raise UsageError(f"Dask worker {worker}: {found}; pip install trimodal there")
        version, missing = found
        if version != __version__:
            raise UsageError(f"Dask worker {worker} has trimodal {version}, here is {__version__}")
        if missing:
            raise UsageError(
                f"Dask worker {worker} does not see {missing[0]}; corpus and workspace have to be "
                "in a folder that all share, under the same path"
            )


def _folders(units: Sequence[Unit]) -> list[Path]:
    """What every worker has to see: the corpus, and the folders that the units go to."""
    outputs = {unit.output.parent.absolute() for unit in units}
    for folder in outputs:
        folder.mkdir(parents=True, exist_ok=True)
    return sorted(outputs | {unit.root.absolute() for unit in units})


def _in_folder(folder: str, function: Callable[[Unit], Any], unit: Unit) -> Any:
    """On a worker: ``function(unit)`` in the folder in which the command was typed."""
    with suppress(FileNotFoundError):
        os.chdir(folder)
    keep_freed_memory()
    return function(unit)


def look_around(folders: Sequence[Path]) -> tuple[str, list[Path]]:
    """On a worker: its version of trimodal, and which of the folders are not there."""
    return __version__, [folder for folder in folders if not folder.is_dir()]
