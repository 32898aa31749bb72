"""Ranks: every shard once, whatever queue numbers the tasks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import UsageError
from pipelines.ranks import find_rank


@given(st.lists(st.integers(), max_size=60), st.integers(1, 20))
def test_every_shard_is_taken_once(shards: list[int], world_size: int) -> None:
    shares = [find_rank(rank, world_size, {}).share(shards) for rank in range(world_size)]
    assert sorted(s for share in shares for s in share) == sorted(shards)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def slurm(task: int, first: int, last: int, step: int = 1, count: int | None = None) -> dict:
    count = (last - first) // step + 1 if count is None else count
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    values = (task, first, last, step, count)
    return {f"SLURM_ARRAY_TASK_{n}": str(v) for n, v in zip(names, values, strict=True)}


QUEUES = {
    "slurm from 0": (slurm(3, 0, 15), (3, 16)),
    "slurm from 1, by twos": (slurm(5, 1, 15, step=2), (2, 8)),
    "grid engine": (
        {"SGE_TASK_ID": "4", "SGE_TASK_FIRST": "2", "SGE_TASK_LAST": "9", "SGE_TASK_STEPSIZE": "2"},
        (1, 4),
    ),
    "grid engine, no array": ({"SGE_TASK_ID": "undefined"}, (0, 1)),
    "lsf": ({"LSB_JOBINDEX": "7", "LSB_JOBINDEX_END": "8", "LSB_JOBINDEX_STEP": "1"}, (6, 8)),
    "lsf, no array": ({"LSB_JOBINDEX": "0"}, (0, 1)),
    "none": ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (0, 1)),
}


@pytest.mark.parametrize("name", QUEUES)
def test_the_queue_s_numbers_are_read(name: str) -> None:
    environment, expected = QUEUES[name]
    assert find_rank(None, None, environment)[:2] == expected


def test_a_size_given_goes_with_the_queue_s_number() -> None:
    assert find_rank(None, 16, {"JOB_COMPLETION_INDEX": "5"})[:2] == (5, 16)
    assert find_rank(None, 16, {"PBS_ARRAY_INDEX": "0"})[:2] == (0, 16)
    # Tasks 3 and 7 of an array of 16, run again: the same shards as before.
    assert find_rank(None, 16, slurm(7, 3, 7, count=2))[:2] == (7, 16)
    assert find_rank(2, 4, slurm(7, 0, 7))[:2] == (2, 4)


def test_a_world_of_one_ignores_the_queue() -> None:
    assert find_rank(None, 1, slurm(7, 0, 7))[:2] == (0, 1)


@pytest.mark.parametrize(
    ("rank", "world_size", "environment", "says"),
    [
        (1, None, {}, "of how many? Add --world-size"),
        (None, 4, {}, "which of them is this? Add --rank"),
        (4, 4, {}, "must lie between 0 and 3"),
        (-1, 4, {}, "must lie between 0 and 3"),
        (None, None, {"JOB_COMPLETION_INDEX": "5"}, "JOB_COMPLETION_INDEX = 5, of how many?"),
        (None, None, slurm(7, 3, 7, count=2), "have gaps (SLURM_ARRAY_TASK_ID = 7)"),
        (None, 4, {"PBS_ARRAY_INDEX": "4"}, "PBS_ARRAY_INDEX 4 must lie between 0 and 3"),
    ],
)
def test_what_is_not_enough_is_said(rank, world_size, environment: dict, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        find_rank(rank, world_size, environment)
