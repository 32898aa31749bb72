"""What an epoch of pretraining costs, from some steps on the features of the sample."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.plan.sample import PRETRAINING, Cost

if TYPE_CHECKING:
    from model.config import ModelConfig, TrainConfig

N_STEPS = 2  # after one that warms up


def measure_pretraining(
    features: Path, model: ModelConfig, train: TrainConfig, device: str
) -> Cost:
    """The cost of one epoch over the utterances in ``features``, by real steps of the trainer.

    On a CPU one core; the number of speakers is the sample's, whose layer weighs little.
    """
    import numpy as np
    import torch

    from model.build import build_multitask
    from model.data import Loader
    from model.run_state import State
    from model.step import Stepper
    from model.store import FeatureStore
    from model.tasks import MultitaskTask
    from model.world import World, choose_device

    chosen = choose_device(device)
    store = FeatureStore(features, n_stacked_frames=model.n_stacked_frames, cmvn=model.cmvn)
    numbers = {speaker: number for number, speaker in enumerate(store.speakers)}
    rows = np.arange(len(store))
    loader = Loader(store, rows, train.frames_per_batch, numbers)
    network = build_multitask(model, store.dims, max(1, len(numbers))).to(chosen)
    task = MultitaskTask(train, loader, loader)
    optimiser = torch.optim.Adam(network.parameters())
    stepper = Stepper(network, task, optimiser, train, State(), model.d_model, chosen, World())
    batches = list(loader.in_order())
    stepper.step(batches[:1])
    started_s, cpu_s = time.monotonic(), time.process_time()
    for _ in range(N_STEPS):
        for batch in batches:
            stepper.step([batch])
    stepper.settle()
    wall_s = (time.monotonic() - started_s) / N_STEPS
    cpu_s = (time.process_time() - cpu_s) / N_STEPS
    return Cost(
        stage=PRETRAINING,
        n_utterances=len(rows),
        cpu_s=cpu_s,
        gpu_s=wall_s if chosen.type == "cuda" else 0.0,
        bytes_read=sum(path.stat().st_size for path in features.glob("shard-*")),
        bytes_written=0,
    )
