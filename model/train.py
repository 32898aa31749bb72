"""The training loop, shared by pretraining and fine-tuning.

What differs between the two is a ``Task`` (``model.step``): the losses of a batch and the scores on
dev. A run that was stopped at any instant goes on from its last checkpoint (one an epoch, one every
ten minutes and one at SIGTERM or SIGINT) with the same batches and random numbers; on the CPU in
float32 it ends with the same weights, bit for bit, as an unbroken one.

Several processes (``model.world``) train one model: all of them run this loop, each on its own
batches, and the first one writes.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from featurize.errors import StoppedError, TrainError
from model import checkpoint
from model.attention import TransformerLayer
from model.config import TrainConfig
from model.data import Batch, Loader
from model.heads import DecoderLayer
from model.run_log import RunLog
from model.run_state import Line, random_states, resume, save
from model.step import Stepper, Task, autocast
from model.stop import StopSignal
from model.world import World

PROGRESS_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 600.0

Progress = Callable[[int, int, Line], None]


def fit(
    run: Path,
    model: nn.Module,
    task: Task,
    loader: Loader,
    config: TrainConfig,
    *,
    d_model: int,
    device: torch.device,
    world: World | None = None,
    progress: Progress | None = None,
) -> Line:
    """Trains ``model`` in the run folder, going on from its checkpoint; returns the best epoch.

    ``checkpoint.begin_run`` has readied the folder; ``done.json`` is written at the end. Stops
    after ``config.max_epochs``, or ``config.patience`` epochs without a better score.
    ``progress(epoch, n_epochs, line)`` is called with the log line of each finished epoch, and
    every second in between with a line that has ``"partial": True`` and no dev scores.

    Raises:
        TrainError: a loss or gradient is not finite (names the utterances of the batch), or the
            checkpoint is damaged.
        StoppedError: SIGTERM or SIGINT was heard; the checkpoint is saved.
    """
    world = world or World()
    model.to(device)
    betas = (config.adam_beta1, config.adam_beta2)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=0.0, betas=betas, eps=config.adam_eps, fused=device.type == "cuda"
    )
    with world.together():
        state = resume(run, model, optimiser, world)
    if world.rank and not state.step:
        torch.manual_seed(config.seed + 1_000_003 * world.rank)  # dropout of its own
    if config.compile:
        compile_layers(model)
    stepper = Stepper(_shared(model, world), task, optimiser, config, state, d_model, device, world)
    log = RunLog(run, state) if world.is_first else None
    try:
        with StopSignal() as stop:
            _Trainer(run, model, loader, stepper, log, stop, progress).run()
    finally:
        if log:
            log.close()
    best = state.lines[state.best_epoch - 1]
    if world.is_first:
        settings = checkpoint.read_json(run / checkpoint.CONFIG)
        done = {"fingerprint": checkpoint.fingerprint(settings), "n_epochs": state.epoch}
        done |= {"best_epoch": state.best_epoch, "best": best}
        checkpoint.write_json(run / checkpoint.DONE, done)
    return best


@dataclass
class _Trainer:
    """Epochs until the end: steps, then scores on dev, then what is kept."""

    folder: Path
    model: nn.Module
    loader: Loader
    stepper: Stepper
    log: RunLog | None
    stop: StopSignal
    progress: Progress | None
    started_s: float = field(default=0.0, init=False)
    n_seen_before: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.task, self.config, self.world = (
            self.stepper.task, self.stepper.config, self.stepper.world
        )  # fmt: skip
        self.state, self.device = self.stepper.state, self.stepper.device

    def run(self) -> None:
        state, config = self.state, self.config
        while state.epoch < config.max_epochs and state.epoch - state.best_epoch < config.patience:
            self.train()
            line, randoms = self.line(), random_states(self.world, self.device)
            try:
                with self.stop.interrupting():
                    line |= self.evaluate()
            except StoppedError:  # dev is scored again, which changes no weight
                self.save(randoms)
                raise self._stopped() from None
            if not math.isfinite(line["dev_loss"]):
                raise TrainError(f"epoch {line['epoch']}: the loss on dev is not finite")
            self.keep(line, randoms)
            self.show(line)

    def train(self) -> None:
        """One pass over the training utterances, or the rest of one."""
        self.model.train()
        self.n_seen_before = self.state.n_seen
        self.started_s = shown_s = kept_s = time.perf_counter()
        for batches in self.groups():
            self.stepper.step(batches)
            now_s = time.perf_counter()
            if now_s - shown_s > PROGRESS_EVERY_S:
                shown_s = now_s
                self.show(self.line() | {"partial": True})
            is_due = self.world.is_first and now_s - kept_s > CHECKPOINT_EVERY_S
            heard = self.world.sum({"due": is_due, "stop": bool(self.stop.name)})
            if heard["due"] or heard["stop"]:
                kept_s = now_s
                self.stepper.settle()
                self.save(random_states(self.world, self.device))
            if heard["stop"]:
                raise self._stopped()
        self.stepper.settle()

    def groups(self) -> Iterator[list[Batch]]:
        """The batches of each step of this process; as many steps in every process."""
        epoch = self.state.epoch + 1
        batches = self.loader.shuffled(self.config.seed, epoch, self.state.n_batches)
        while True:
            with self.world.together():
                group = list(islice(batches, self.loader.batches_per_step))
            if not group:
                return
            yield group

    def evaluate(self) -> dict[str, float | None]:
        self.model.eval()
        # Texts that grow by a character at a time would be compiled again and again.
        stance: Any = nullcontext()
        if self.config.compile:
            stance = torch.compiler.set_stance("force_eager")
        with stance, autocast(self.device, self.config):
            return self.task.evaluate(self.model, self.device)

    def keep(self, line: Line, randoms: list[dict[str, Any]]) -> None:
        """Writes what the epoch left, in an order that a kill at any instant cannot spoil.

        The best weights come before the checkpoint that calls them best; the log is made from the
        checkpoint, so it is the last.
        """
        self.state.end_epoch(line)
        if (score := self.task.score(line)) > self.state.best_score:
            self.state.best_score, self.state.best_epoch = score, self.state.epoch
            if self.world.is_first:
                checkpoint.save_weights(self.folder / checkpoint.BEST, self.model)
        self.save(randoms)

    def save(self, randoms: list[dict[str, Any]]) -> None:
        if self.log:  # there is one in the first process
            save(self.folder, self.model, self.stepper.optimiser, self.state, randoms)
            self.log.draw()
            self.log.write()

    def show(self, line: Line) -> None:
        if self.log:
            self.log.draw()
        if self.progress and self.world.is_first:
            self.progress(line["epoch"], self.config.max_epochs, line)

    def line(self) -> Line:
        """The epoch so far, as a line of the log."""
        state, seconds = self.state, time.perf_counter() - self.started_s
        means = {name: total / max(1, state.counts[name]) for name, total in state.sums.items()}
        loss = sum(weight * means.get(name, 0.0) for name, weight in self.task.weights.items())
        return {
            "epoch": state.epoch + 1,
            "step": state.step,
            "train_loss": loss,
            **{f"train_{name}": mean for name, mean in means.items() if len(means) > 1},
            "lr": self.stepper.optimiser.param_groups[0]["lr"],
            "seconds": seconds,
            "utterances_per_s": (state.n_seen - self.n_seen_before) / seconds,
            "epoch_share": state.n_seen / len(self.loader.rows),
            "data_wait_share": self.loader.wait_s / seconds,
        }

    def _stopped(self) -> StoppedError:
        return StoppedError(
            f"stopped by {self.stop.name or 'a signal'} after step {self.state.step}, in epoch "
            f"{self.state.epoch + 1}; all is saved: run the same command again to go on"
        )


def compile_layers(model: nn.Module) -> None:
    """Compiles the transformers' layers, each kind once for all sizes of batches."""
    for layer in model.modules():
        if isinstance(layer, TransformerLayer | DecoderLayer):
            layer.compile(dynamic=True)


def _shared(model: nn.Module, world: World) -> nn.Module:
    """What runs forward: the model, or that with gradients averaged over the processes."""
    if world.size == 1:
        return model
    # What a modality of weight 0 passes through gets no gradient, and is not to be waited for.
    leaves_out = 0 in getattr(model, "modality_weights", ())
    return DistributedDataParallel(
        model, broadcast_buffers=False, find_unused_parameters=leaves_out
    )
