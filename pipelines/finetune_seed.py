"""One initialisation of fine-tuning: its data, its network, its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ModelConfig, TrainConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from model.data import Loader, Rows
    from model.step import Task
    from model.store import FeatureStore, Statistics
    from model.world import World

Progress = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class Place:
    """Where a process of the training runs, and with whom."""

    device: torch.device
    world: World


@dataclass
class Inputs:
    """The two folds and the task, and what is computed once for all seeds."""

    store: FeatureStore
    train_set: Rows
    dev_set: Rows
    task: str

    @cached_property
    def statistics(self) -> Statistics:
        """What inputs are standardised with: of the training set, so of few labels a few."""
        from model.store import feature_statistics

        return feature_statistics(self.store, self.train_set)

    @cached_property
    def positive_weight(self) -> Tensor:
        """Of each emotion, (6,)."""
        from model.tasks import positive_weights

        return positive_weights(self.store.emotions[self.train_set])

    def task_on(self, dev: Loader, world: World) -> Task:
        """What is trained for, scored on ``dev``."""
        from model.sentiment import SentimentTask
        from model.tasks import EmotionTask

        if self.task == "sentiment":
            return SentimentTask(dev, world)
        return EmotionTask(dev, self.positive_weight, world)


def new_network(
    seed: int, kind: str, init: Path | None, model: ModelConfig, inputs: Inputs
) -> nn.Module:
    """A model initialised from the seed; from ``init`` it takes its input statistics as well."""
    import torch

    from model.build import build_downstream, initialise_from

    torch.manual_seed(seed)
    network = build_downstream(kind, model, inputs.store.dims, inputs.task)
    if init:
        initialise_from(network, init)
    else:
        network.set_statistics(inputs.statistics)
    return network


def train_seed(
    folder: Path,
    network: nn.Module,
    inputs: Inputs,
    model: ModelConfig,
    train: TrainConfig,
    place: Place,
    progress: Progress | None,
) -> dict[str, Any]:
    """Trains ``network`` in its folder to the end; the log line of its best epoch."""
    from model.data import Loader
    from model.train import fit

    train_loader, dev_loader = (
        Loader(
            inputs.store,
            part,
            train.frames_per_batch,
            speakers={},
            rank=place.world.rank,
            world_size=place.world.size,
            batches_per_step=train.batches_per_step,
            pins=place.device.type == "cuda",
            task=inputs.task,
        )
        for part in (inputs.train_set, inputs.dev_set)
    )
    return fit(
        folder,
        network,
        inputs.task_on(dev_loader, place.world),
        train_loader,
        train,
        d_model=model.d_model,
        device=place.device,
        world=place.world,
        progress=progress,
    )
