"""Training with compiled layers agrees with training without, and compiles a few times only."""

import copy
import random
from dataclasses import replace

import pytest
import torch

from model.build import build_multitask
from model.config import TrainConfig
from model.run_state import State
from model.step import Stepper
from model.tasks import MultitaskTask
from model.train import compile_layers
from model.world import World

CONFIG = TrainConfig(precision="float32", warmup_steps=5)
MOST_GRAPHS = 4  # self-attention; attention to a source, or to one of a single step; the decoder


@pytest.mark.slow
def test_losses_agree_and_sizes_are_not_compiled_anew(
    tiny, dims, make_batch, in_float32, device
) -> None:
    """Of any sizes that differ; a batch of one utterance, left out here, has graphs of its own.

    Sizes that are equal by chance in the first batch are taken to be equal always, and compiled
    once more when they are not: utterances, steps of audio, video and text never are here.
    """
    sizes = random.Random(0)

    def batch(n: int, n_video: int):
        def lengths(most: int) -> list[int]:
            return [most, *(sizes.randint(1, most) for _ in range(n - 1))]

        texts = ["abc def"[: sizes.randint(1, 7)] for _ in range(n)]
        made = make_batch(
            dims, lengths(sizes.randint(20, 40)), lengths(n_video), lengths(5), texts=texts
        )
        return in_float32(replace(made, speakers=made.speakers % 3))

    torch.manual_seed(0)
    plain = build_multitask(replace(tiny, dropout=0.0), dims, n_speakers=3).to(device)
    compiled = copy.deepcopy(plain)
    compile_layers(compiled)
    task = MultitaskTask(CONFIG, dev=None, decoded=None)  # type: ignore[arg-type]
    one, other = (
        Stepper(
            model, task, torch.optim.Adam(model.parameters()), CONFIG, State(), 8, device, World()
        )
        for model in (plain, compiled)
    )  # fmt: skip
    torch._dynamo.reset()
    counted = torch._dynamo.utils.counters["stats"]
    counted.clear()
    shapes = [(sizes.randint(2, 4), sizes.randint(6, 9)) for _ in range(4)]
    for n, n_video in [*shapes, (3, 1)]:
        made = batch(n, n_video)
        for stepper in (one, other):
            stepper.step([made])
            stepper.settle()
    assert 0 < counted["unique_graphs"] <= MOST_GRAPHS
    for name, total in one.state.sums.items():
        assert other.state.sums[name] == pytest.approx(total, rel=1e-4)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    torch._dynamo.reset()
