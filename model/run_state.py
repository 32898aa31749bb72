"""Where a run stands, and how that is kept: everything that a run started again needs.

In the checkpoint are weights, optimiser, ``State`` (the step, which sets the learning rate; the
epoch and the batches of it that are done, which set the loader's next; the log so far) and the
random numbers' state of every process.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featurize.errors import UsageError
from model import checkpoint
from model.world import World

Line = dict[str, Any]


@dataclass
class State:
    """The same in all processes."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    lines: list[Line] = field(default_factory=list)  # of the log, one an epoch
    points: list[Line] = field(default_factory=list)  # within epochs, for TensorBoard
    # Of the epoch under way, not counted in ``epoch`` yet:
    n_batches: int = 0  # of each process
    n_seen: int = 0  # utterances, of all processes
    sums: dict[str, float] = field(default_factory=dict)  # of each part of the loss
    counts: dict[str, float] = field(default_factory=dict)  # what those are sums over

    def end_epoch(self, line: Line) -> None:
        """The epoch under way is done, and ``line`` tells of it."""
        self.epoch += 1
        self.lines.append(line)
        self.n_batches = self.n_seen = 0
        self.sums, self.counts = {}, {}


def dev_score(line: Line) -> float:
    """How good an epoch of fine-tuning was, from its log line; higher is better.

    The mean of WA and F1, as the paper chooses its best model; less the loss where there are none.
    """
    defined = [line[name] for name in ("dev_wa", "dev_f1") if line.get(name) is not None]
    return sum(defined) / len(defined) if defined else -line.get("dev_loss", math.inf)


def random_states(world: World, device: torch.device) -> list[dict[str, Any]]:
    """What each process's next random numbers depend on, by rank."""
    on_gpu = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else None
    return world.gather({"cpu": torch.get_rng_state().tolist(), "cuda": on_gpu})


def save(
    run: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: State,
    randoms: list[dict[str, Any]],
) -> None:
    """Writes the checkpoint in one atomic step; called in the first process alone."""
    everything = {
        "state": asdict(state),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "randoms": randoms,
    }
    checkpoint.save_checkpoint(run / checkpoint.CHECKPOINT, everything)


def resume(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer, world: World) -> State:
    """Takes up the checkpoint of a run, if there is one; else a new state.

    Raises:
        TrainError: the checkpoint is damaged, or of an older version.
        UsageError: it was made by another number of processes, whose batches were others.
    """
    path = run / checkpoint.CHECKPOINT
    if not path.is_file():
        return State()
    stored = checkpoint.load_checkpoint(path)
    randoms = stored.get("randoms")
    if randoms is None:
        raise UsageError(f"{path} was made by an older version; pass --redo to start anew")
    if len(randoms) != world.size:
        raise UsageError(
            f"{run} was begun by {len(randoms)} processes, now there are {world.size}; "
            "start as many as then, or pass --redo"
        )
    model.load_state_dict(stored["model"])
    optimiser.load_state_dict(stored["optimiser"])
    mine = randoms[world.rank]
    torch.set_rng_state(torch.tensor(mine["cpu"], dtype=torch.uint8))
    device = next(model.parameters()).device
    if device.type == "cuda" and mine["cuda"] is not None:
        torch.cuda.set_rng_state(torch.tensor(mine["cuda"], dtype=torch.uint8), device)
    return State(**stored["state"])
