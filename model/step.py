"""One step of the optimiser: some batches in each process, one update of the weights.

A step of any number of batches in any number of processes is that of the joint batch: every mean
of the loss is over all characters, or all utterances, of the step.

The GPU is never waited for. Figures of a step are copied on their way and looked at when the next
step has been launched; a loss that is not finite is told one step late, but before anything that
it spoilt is kept.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from featurize.errors import TrainError
from featurize.precision import settled_precision
from model.config import TrainConfig
from model.data import Batch
from model.run_state import Line, State
from model.schedule import inverse_square_root
from model.world import World

POINT_EVERY_STEPS = 20


class Task(Protocol):
    """What a run is trained for."""

    @property
    def weights(self) -> dict[str, float]:
        """The parts of the loss and what each weighs in it."""

    def counts(self, batch: Batch) -> dict[str, int]:
        """Over how many things each part is a mean, for a batch on the CPU."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The parts of the loss, each a scalar mean; 0 over nothing."""

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """Scores on dev, each named ``dev_...``, among them ``dev_loss``."""

    def score(self, line: Line) -> float:
        """How good an epoch was, from its log line; higher is better."""


@dataclass
class Stepper:
    """Takes steps, and adds up in ``state`` what they tell.

    ``model`` is what runs forward: the network, or DistributedDataParallel around it.
    """

    model: nn.Module
    task: Task
    optimiser: torch.optim.Optimizer
    config: TrainConfig
    state: State
    d_model: int
    device: torch.device
    world: World
    _launched: _Launched | None = None

    def step(self, batches: list[Batch]) -> None:
        """Launches a step and settles the one before."""
        state = self.state
        state.step += 1
        rate = inverse_square_root(
            state.step,
            d_model=self.d_model,
            warmup_steps=self.config.warmup_steps,
            scale=self.config.lr_scale,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        counts = [self.task.counts(batch) for batch in batches]
        totals = {name: float(sum(count[name] for count in counts)) for name in self.task.weights}
        n_seen = sum(map(len, batches))
        totals = self.world.sum({**totals, "n_seen": n_seen})
        sums = [
            self._backward(batch, count, totals, is_last=batch is batches[-1])
            for batch, count in zip(batches, counts, strict=True)
        ]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        launched = _launch(self.world, state.step, rate, batches, totals, torch.stack(sums), norm)
        self.settle()
        self._launched = launched
        state.n_batches += len(batches)

    def settle(self) -> None:
        """Takes in what the last step told; every 20 steps a point is kept of it.

        Raises:
            TrainError: the loss or the gradient was not finite; names the utterances.
        """
        if self._launched is None:
            return
        launched, self._launched = self._launched, None
        sums, norm = launched.figures()
        weights = self.task.weights
        loss = sum(
            weights[name] * value / max(1, launched.totals[name])
            for name, value in zip(weights, sums, strict=True)
        )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._refuse(launched, "gradient" if math.isfinite(loss) else "loss")
        for name, value in zip(weights, sums, strict=True):
            self.state.sums[name] = self.state.sums.get(name, 0.0) + value
            self.state.counts[name] = self.state.counts.get(name, 0.0) + launched.totals[name]
        self.state.n_seen += int(launched.totals["n_seen"])
        if launched.step % POINT_EVERY_STEPS == 0:
            point = {"step_loss": loss, "step_gradient_norm": norm, "step_lr": launched.rate}
            self.state.points.append({"step": launched.step, **point})

    def _backward(
        self, batch: Batch, counts: dict[str, int], totals: dict[str, float], *, is_last: bool
    ) -> Tensor:
        """Adds a batch's share to the gradients; the sums of its losses, in order of ``weights``.

        Processes average their gradients, once a step, where a sum is wanted: hence the factor.
        """
        weights = self.task.weights
        is_alone = is_last or self.world.size == 1
        with nullcontext() if is_alone else cast(DistributedDataParallel, self.model).no_sync():
            with autocast(self.device, self.config):
                losses = self.task.losses(self.model, batch.to(self.device))
                shares = {name: counts[name] / max(1, totals[name]) for name in weights}
                parts = [weights[name] * shares[name] * losses[name] for name in weights]
                loss = torch.stack(parts).sum()
            (self.world.size * loss).backward()
        return torch.stack([losses[name].detach() * counts[name] for name in weights])

    def _refuse(self, launched: _Launched, what: str) -> None:
        named = launched.suspects() if what == "loss" else launched.ids
        ids = [name for names in self.world.gather(sum(named, [])) for name in names]
        raise TrainError(
            f"the {what} is not finite at step {launched.step}, in the batch of "
            f"{', '.join(ids)}; look at these features, or lower lr_scale"
        )


@dataclass(frozen=True)
class _Launched:
    """A step whose figures may be on their way: (batches + 1, parts + 1) float32 on the CPU.

    Row by row the sums of each batch of this process, last of all batches of all processes; in
    the last column the gradient's norm.
    """

    step: int
    rate: float
    ids: list[list[str]]
    totals: dict[str, float]
    table: Tensor
    copied: torch.cuda.Event | None

    def figures(self) -> tuple[list[float], float]:
        """Joint sum of each part of the loss, and the gradient's norm before clipping."""
        if self.copied is not None:
            self.copied.synchronize()
        *sums, norm = self.table[-1].tolist()
        return sums, norm

    def suspects(self) -> list[list[str]]:
        """The ids of this process's batches whose losses are not finite."""
        is_fine = torch.isfinite(self.table[:-1, :-1]).all(dim=1).tolist()
        return [ids for ids, fine in zip(self.ids, is_fine, strict=True) if not fine]


def _launch(
    world: World,
    step: int,
    rate: float,
    batches: list[Batch],
    totals: dict[str, float],
    sums: Tensor,
    norm: Tensor,
) -> _Launched:
    joint = sums.sum(dim=0, keepdim=True)
    world.add_up(joint)
    rows = torch.cat([sums, joint]).float()
    table = torch.cat([rows, norm.float().expand(len(rows), 1)], dim=1)
    copied = None
    if table.is_cuda:
        table, copied = table.to("cpu", non_blocking=True), torch.cuda.Event()
        copied.record()
    return _Launched(step, rate, [list(batch.ids) for batch in batches], totals, table, copied)


def autocast(device: torch.device, config: TrainConfig) -> torch.autocast:
    """bfloat16 where it serves, if the settings say so; weights and sums stay in float32."""
    is_half = settled_precision(config.precision, device) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)
