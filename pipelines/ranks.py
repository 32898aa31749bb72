"""Which part of the shards this process takes when a batch queue runs the same command W times.

Rank r of W takes every W-th shard, from the r-th on, so that each gets shards of the whole corpus
and nobody has to know how many there are. Of two processes given the same shard by mistake the
second is refused (``pipelines.lock``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from featurize.errors import UsageError

Item = TypeVar("Item")


class Rank(NamedTuple):
    """``number`` of ``world_size``, from 0; ``source`` says who told."""

    number: int
    world_size: int
    source: str

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``world_size``-th of ``items``, from the ``number``-th on."""
        return items[self.number :: self.world_size]


@dataclass(frozen=True)
class _Array:
    """The variables by which a queue numbers the tasks of an array; "" where it has none."""

    task: str
    first: str = ""
    last: str = ""
    count: str = ""
    step: str = ""


# From the queues' manuals: sbatch (OUTPUT ENVIRONMENT VARIABLES), qsub of Grid Engine and of PBS
# Professional, IBM's LSF reference (Environment variables), Kubernetes' "Indexed Job".
_ARRAYS = (
    _Array(
        "SLURM_ARRAY_TASK_ID",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        count="SLURM_ARRAY_TASK_COUNT",
        step="SLURM_ARRAY_TASK_STEP",
    ),
    _Array("SGE_TASK_ID", first="SGE_TASK_FIRST", last="SGE_TASK_LAST", step="SGE_TASK_STEPSIZE"),
    _Array("LSB_JOBINDEX", last="LSB_JOBINDEX_END", step="LSB_JOBINDEX_STEP"),
    _Array("PBS_ARRAY_INDEX"),
    _Array("JOB_COMPLETION_INDEX"),
)


def find_rank(rank: int | None, world_size: int | None, environment: Mapping[str, str]) -> Rank:
    """The rank from the options or, where they are None, from the batch queue's variables.

    A queue that does not say how many tasks its array has (PBS, Kubernetes), or whose numbers
    have gaps (a part of an array run again), needs ``world_size``; the task's number is then the
    rank. Outside of a queue: rank 0 of 1.

    Raises:
        UsageError: half of what is needed, or a rank that is not below the world's size.
    """
    source = "--rank"
    if rank is None and world_size != 1:
        rank, world_size, source = _from_queue(world_size, environment)
    rank = rank or 0
    if world_size is None:
        raise UsageError(f"{source} {rank} of how many? Add --world-size W")
    if not 0 <= rank < world_size:
        raise UsageError(f"{source} {rank} must lie between 0 and {world_size - 1}")
    return Rank(rank, world_size, source)


def _from_queue(world_size: int | None, environment: Mapping[str, str]) -> tuple[int, int, str]:
    array, task = next(
        ((a, n) for a in _ARRAYS if (n := _whole(environment, a.task)) is not None), (None, 0)
    )
    if array is None or (array.task == "LSB_JOBINDEX" and task == 0):  # LSF: a job of its own
        if world_size is None:
            return 0, 1, "one process"
        raise UsageError(f"--world-size {world_size}: which of them is this? Add --rank R")
    if world_size is not None:
        return task, world_size, array.task
    first, step = _whole(environment, array.first), _whole(environment, array.step) or 1
    first = 1 if first is None and array.task == "LSB_JOBINDEX" else first
    last = _whole(environment, array.last)
    if first is None or last is None or (task - first) % step:
        raise UsageError(f"{array.task} = {task}, of how many? Add --world-size W")
    n_tasks = (last - first) // step + 1
    if _whole(environment, array.count) not in (None, n_tasks):
        raise UsageError(
            f"the numbers of this array have gaps ({array.task} = {task}); add --world-size W, the "
            "number of tasks of the whole array, numbered from 0"
        )
    return (task - first) // step, n_tasks, array.task


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    """A whole number; None where it is not set, or "undefined", as Grid Engine says."""
    text = environment.get(name, "") if name else ""
    return int(text) if text.isdecimal() else None
