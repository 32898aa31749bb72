"""From the costs of a sample to hours, bytes and bounds of the whole corpus on N machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.manifest import Utterance
from pipelines.plan.sample import PRETRAINING, Cost, n_bytes

HOUR_S = 3600.0


@dataclass(frozen=True)
class Machines:
    """``n`` alike, each with so many cores and GPUs, and what their storage gives all together."""

    n: int
    cores: int
    gpus: int = 0
    storage_bytes_s: float | None = None


@dataclass(frozen=True)
class Whole:
    """A stage on the whole corpus: core and GPU seconds, bytes in and out, number of shards."""

    stage: str
    cpu_s: float
    gpu_s: float
    bytes_read: float
    bytes_written: float
    n_shards: int


@dataclass(frozen=True)
class Forecast:
    """A stage on some machines: how long, what bounds it, what the storage has to give."""

    stage: str
    seconds: float
    bound: str
    bytes_s: float


def whole(
    costs: Sequence[Cost], sample: Sequence[Utterance], corpus: Sequence[Utterance], n_shards: int
) -> list[Whole]:
    """The costs of the corpus: the sample's, times how much larger it is.

    In bytes of the media that a stage reads, where the manifest has them for all, as long
    utterances cost more; else in utterances.
    """
    scaled = []
    for cost in costs:
        factor = _factor(cost, sample, corpus)
        scaled.append(
            Whole(
                stage=cost.stage,
                cpu_s=factor * cost.cpu_s,
                gpu_s=factor * cost.gpu_s,
                bytes_read=factor * cost.bytes_read,
                bytes_written=factor * cost.bytes_written,
                # Training shares out utterances, not shards.
                n_shards=len(corpus) if cost.stage == PRETRAINING else n_shards,
            )
        )
    return scaled


def _factor(cost: Cost, sample: Sequence[Utterance], corpus: Sequence[Utterance]) -> float:
    kind = "video" if cost.stage == "video" else "audio"
    sizes, all_sizes = ([n_bytes(kind, u) for u in group] for group in (sample, corpus))
    if all(sizes) and all(all_sizes):
        return sum(all_sizes) / sum(sizes)
    return len(corpus) / cost.n_utterances


def forecast(stage: Whole, machines: Machines) -> Forecast:
    """How long a stage takes when each core, or GPU, makes one shard after the other.

    The last shards keep some workers waiting: it ends after ceil(shards / workers) rounds. With a
    storage rate given, it cannot end before all bytes are read and written.
    """
    on_gpu = stage.gpu_s > 0
    a_machine = machines.gpus if on_gpu else machines.cores
    n_workers = machines.n * max(a_machine, 1)
    work_s = stage.gpu_s if on_gpu else stage.cpu_s
    rounds = math.ceil(stage.n_shards / n_workers)
    seconds = rounds * work_s / stage.n_shards
    bound = "GPUs" if on_gpu else "cores"
    # On a GPU the machine's cores decode for it.
    if on_gpu and stage.cpu_s / (machines.n * machines.cores) > seconds:
        seconds, bound = stage.cpu_s / (machines.n * machines.cores), "cores that decode"
    if stage.n_shards < n_workers:
        bound = f"{stage.n_shards} shards"
    n_moved = stage.bytes_read + stage.bytes_written
    if machines.storage_bytes_s and n_moved / machines.storage_bytes_s > seconds:
        seconds, bound = n_moved / machines.storage_bytes_s, "storage"
    return Forecast(stage.stage, seconds, bound, n_moved / seconds if seconds else 0.0)


def shard_size_for(n_utterances: int, n_workers: int, rounds: int = 16) -> int:
    """Utterances a shard, so that every worker gets about ``rounds`` of them."""
    return max(1, n_utterances // (rounds * n_workers))


def totals(stages: Sequence[Whole]) -> Mapping[str, float]:
    """Core hours, GPU hours and bytes of all stages."""
    return {
        "cpu_h": sum(stage.cpu_s for stage in stages) / HOUR_S,
        "gpu_h": sum(stage.gpu_s for stage in stages) / HOUR_S,
        "bytes_read": sum(stage.bytes_read for stage in stages),
        "bytes_written": sum(stage.bytes_written for stage in stages),
    }
