"""The processes that train together, one a GPU: who is who, and what they tell each other.

``torchrun`` starts them and says in the environment how many there are. Numbers and words go
between processors (gloo), as JSON: nothing is unpickled, and no GPU is waited for. Only what lies
on GPUs goes between them (nccl).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from featurize.errors import TrainError, TrimodalError, UsageError

# How long one waits for the others: while the first writes a checkpoint, or one decodes dev.
TIMEOUT = timedelta(minutes=30)

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """Process ``rank`` of ``size``. Every method is called by all of them, in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and the screen."""
        return self.rank == 0

    def sum(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Each number summed over the processes, in float64."""
        if self.size == 1:
            return dict(numbers)
        sums = torch.tensor(list(numbers.values()), dtype=torch.float64)
        dist.all_reduce(sums)
        return dict(zip(numbers, sums.tolist(), strict=True))

    def add_up(self, tensor: Tensor) -> None:
        """Sums ``tensor`` over the processes, in place, on the device where it lies."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def gather(self, value: Any) -> list[Any]:
        """The ``value`` of every process, by rank; anything that JSON can hold."""
        if self.size == 1:
            return [value]
        mine = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.empty(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(mine)]))
        longest = max(int(length) for length in lengths)
        padded = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(padded, torch.nn.functional.pad(mine, (0, longest - len(mine))))
        return [
            json.loads(text[: int(length)].numpy().tobytes())
            for text, length in zip(padded, lengths, strict=True)
        ]

    @contextmanager
    def together(self) -> Iterator[None]:
        """An error of one process within becomes an error of all, so that none waits in vain.

        Raises:
            TrimodalError: in a process that failed its own, in the others a TrainError that tells
                of the first that failed. The command line shows only what the first one raises.
        """
        failure: Exception | None = None
        try:
            yield
        except (TrimodalError, OSError) as error:
            failure = error
        if self.sum({"failed": failure is not None})["failed"]:
            messages = self.gather(str(failure) if failure else None)
            if failure:
                raise failure
            rank = next(rank for rank, message in enumerate(messages) if message is not None)
            raise TrainError(f"process {rank} of {self.size}: {messages[rank]}")

    def first(self, do: Callable[[], Result]) -> Result:
        """What ``do`` gives in the first process, as JSON keeps it; the others wait for it."""
        with self.together():
            value = do() if self.is_first else None
        return self.gather(value)[0]


@contextmanager
def open_world(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started, or this one alone.

    Raises:
        TrainError: one of the others is gone.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    is_cuda = device.type == "cuda"
    dist.init_process_group("cpu:gloo,cuda:nccl" if is_cuda else "gloo", timeout=TIMEOUT)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if not _tells_of_a_loss(error):
            raise
        raise TrainError(
            "another process of this training is gone (killed, or out of memory); "
            "start all of them again to go on from the last checkpoint"
        ) from error
    except TrimodalError:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one; of several processes each has its own.

    Raises:
        UsageError: a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {name!r}: must be auto, cpu or cuda")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cuda" and not n_gpus:
        raise UsageError("device cuda: PyTorch sees no GPU here; use auto or cpu")
    if name == "cpu" or not n_gpus:
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= n_gpus:
        raise UsageError(
            f"torchrun started more processes here than there are GPUs ({n_gpus}); "
            f"pass --nproc-per-node {n_gpus}, or --device cpu"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def _tells_of_a_loss(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in words or "connection" in words
