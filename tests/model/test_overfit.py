"""A network that can learn at all learns eight utterances by heart, and from all it is given."""

from dataclasses import replace

import pytest
import torch

from model.build import MultitaskModel, build_multitask
from model.config import InputDims, ModelConfig, TrainConfig
from model.data import Batch
from model.heads import multitask_loss

TEXTS = ("a cat", "the dog ran", "no", "it's late", "we sing", "blue sky", "open it", "go home now")
TRAIN = TrainConfig(label_smoothing=0.0)  # with smoothing the least loss is not zero
N_STEPS = 150


def loss_of(model: MultitaskModel, batch: Batch) -> float:
    with torch.no_grad():
        return float(multitask_loss(model(batch), batch, TRAIN)[0])


@pytest.fixture(scope="module")
def learnt(make_batch, in_float32) -> tuple[MultitaskModel, Batch, float]:
    """A small model trained on eight utterances, these, and its loss before."""
    dims = InputDims(audio=20, video=12, text=8)
    n_audio, n_video, n_text = (9, 12, 7, 10, 8, 11, 9, 13), (2, 3, 2, 3, 2, 3, 2, 3), [3] * 8
    batch = in_float32(make_batch(dims, n_audio, n_video, n_text, texts=TEXTS))
    torch.manual_seed(0)
    config = ModelConfig(
        d_model=48, n_heads=2, d_ff=48, n_audio_layers=1, n_crossmodal_layers=1,
        n_decoder_layers=1, dropout=0.0,
    )  # fmt: skip
    model = build_multitask(config, dims, n_speakers=8)
    before = loss_of(model, batch)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(N_STEPS):
        optimiser.zero_grad()
        multitask_loss(model(batch), batch, TRAIN)[0].backward()
        optimiser.step()
    return model.eval(), batch, before


def test_eight_utterances_are_learnt_by_heart(learnt) -> None:
    model, batch, before = learnt
    assert before > 2
    assert loss_of(model, batch) < 0.01
    assert model(batch).speaker_logits.argmax(dim=1).equal(batch.speakers)


@pytest.mark.parametrize(("modality", "times"), [("audio", 10), ("video", 2), ("text", 1)])
def test_without_a_modality_the_loss_is_worse(learnt, modality: str, times: float) -> None:
    """Audio most: the others are asked for by it."""
    model, batch, _ = learnt
    ablated = replace(batch, **{modality: torch.zeros_like(getattr(batch, modality))})
    assert loss_of(model, ablated) > times * loss_of(model, batch)
