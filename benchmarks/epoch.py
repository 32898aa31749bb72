"""A million utterances of 8 s at 5 frames a second: hours an epoch, by the whole training step.

On a GPU the layers are compiled and the batch is the largest that fits; on a CPU it is small and
nothing is compiled. All else is the same: both losses, clipping and Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from benchmarks.flops import encoder_flops, head_flops
from benchmarks.peak import synchronise
from benchmarks.timing import Options, Report, alternate
from benchmarks.training_data import CHARACTERS_PER_WORD, PAPER_DIMS, made_up_batch, steps_of
from model.build import MultitaskModel, build_multitask
from model.config import ModelConfig, TrainConfig
from model.data import Batch
from model.heads import multitask_loss
from model.step import autocast
from model.train import compile_layers

N_SPEAKERS, N_UTTERANCES, DURATION_S = 5994, 1_000_000, 8.0
PAPER, TRAIN = ModelConfig(), TrainConfig()


def epoch_table(
    report: Report, options: Options, device: torch.device, precision: str, peak: float
) -> None:
    """Adds the table; ``peak`` is the rate that utilisation is measured by."""
    torch.manual_seed(0)
    model = build_multitask(PAPER, PAPER_DIMS, N_SPEAKERS).to(device).train()
    on_gpu = device.type == "cuda"
    if on_gpu:
        compile_layers(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5, fused=on_gpu)
    step = _step(model, optimiser, device, replace(TRAIN, precision=precision))
    n = largest_batch(step, device) if on_gpu else 4 if options.quick else 16
    batch = utterances(n, device)
    seconds = alternate({"step": lambda: step(batch)}, options.rounds)["step"]
    row = (
        n,
        f"{n / seconds:,.2f}",
        f"{n * flops_of_one() / seconds / peak:.1%}",
        f"{N_UTTERANCES * seconds / n / 3600:,.1f}",
    )
    columns = ("utterances in a batch", "utterances/s", "MFU", "hours for a million")
    title = f"Whole training step, 8 s at 5 frames a second, {precision}"
    report.table(title, columns, [row])


def largest_batch(step: Callable[[Batch], None], device: torch.device) -> int:
    """The largest power of two of utterances whose step fits the GPU's memory."""
    n = 1
    while True:
        try:
            step(utterances(2 * n, device))
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            return n
        n *= 2


def flops_of_one() -> int:
    """Of a training step, an utterance."""
    n_audio, n_video, n_text = steps_of(DURATION_S)
    encoder = encoder_flops(PAPER, PAPER_DIMS, n_audio, n_video, n_text)
    return 3 * (encoder + head_flops(PAPER, n_audio, CHARACTERS_PER_WORD * n_text, N_SPEAKERS))


def utterances(n: int, device: torch.device) -> Batch:
    """``n`` utterances of 8 s. One is repeated: memory of the CPU is not what is measured."""
    n_audio, n_video, n_text = steps_of(DURATION_S)
    one = made_up_batch(PAPER_DIMS, 1, n_audio, n_video, n_text, CHARACTERS_PER_WORD * n_text)
    values = {
        name: value.to(device).repeat(n, *[1] * (value.dim() - 1))
        for name, value in vars(one).items()
        if name != "ids"
    }
    return replace(one, ids=one.ids * n, **values)


def _step(
    model: MultitaskModel,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    config: TrainConfig,
) -> Callable[[Batch], None]:
    def step(batch: Batch) -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast(device, config):
            loss, _ = multitask_loss(model(batch), batch, config)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        synchronise(device)

    return step
