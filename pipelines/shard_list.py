"""Numbers of shards, as the stretches without a gap that they lie in."""

from collections.abc import Iterable


def runs_of(shards: Iterable[int]) -> list[list[int]]:
    """[first, last + 1] of each stretch: [3, 4, 5, 9] -> [[3, 6], [9, 10]]."""
    found: list[list[int]] = []
    for shard in sorted(shards):
        if found and found[-1][1] == shard:
            found[-1][1] += 1
        else:
            found.append([shard, shard + 1])
    return found


def shard_list(shards: Iterable[int]) -> str:
    """What ``--shards`` reads: [3, 4, 5, 9] -> "3:6,9"."""
    return ",".join(str(a) if b == a + 1 else f"{a}:{b}" for a, b in runs_of(shards))
