from dataclasses import replace

import pytest
import torch

from model.encoder import Encoder, Standardise

WEIGHTS = (0.5, 0.3, 0.2)


def make_encoder(config, dims, seed=0):
    """In float64 and evaluation mode, every parameter random, the biases and norms too."""
    torch.manual_seed(seed)
    encoder = Encoder(config, dims).double().eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    encoder.set_statistics(
        {
            name: (torch.randn(n, dtype=torch.float64), torch.rand(n, dtype=torch.float64) + 0.5)
            for name, n in (("audio", dims.audio), ("video", dims.video), ("text", dims.text))
        }
    )
    return encoder


def test_absent_modalities_add_exactly_zero(tiny, dims, make_batch):
    """Values, and gradients even where the padding is not a number."""
    encoder = make_encoder(tiny, dims)
    batch = make_batch(dims, [4, 4], [0, 0], [0, 0])
    batch = replace(batch, video=batch.video * float("nan"), text=batch.text * float("inf"))
    output = encoder(batch, WEIGHTS)
    assert output.equal(encoder(batch, (WEIGHTS[0], 0.0, 0.0)))
    output.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        if "video" in name or "text" in name:
            assert not parameter.grad.any(), name
        else:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_one_absent_modality_leaves_the_others_gradients(tiny, dims, make_batch, alone):
    """Gradients of a mixed batch are the sum of those of its utterances."""
    encoder = make_encoder(tiny, dims)
    batch = make_batch(dims, [4, 6, 2], [3, 0, 1], [0, 2, 0])
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    together = torch.autograd.grad(encoder(batch, WEIGHTS).square().sum(), parameters)
    losses = [encoder(alone(batch, i), WEIGHTS).square().sum() for i in range(3)]
    apart = torch.autograd.grad(sum(losses), parameters)
    for name, one, other in zip(names, together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("modality", ["audio", "video", "text"])
def test_weight_zero_is_the_sum_of_the_others(modality, tiny, dims, make_batch):
    encoder = make_encoder(tiny, dims)
    batch = make_batch(dims, [4, 6], [3, 5], [2, 1])
    index = ("audio", "video", "text").index(modality)
    only = tuple(w if i == index else 0.0 for i, w in enumerate(WEIGHTS))
    without = tuple(0.0 if i == index else w for i, w in enumerate(WEIGHTS))
    torch.testing.assert_close(
        encoder(batch, WEIGHTS) - encoder(batch, without), encoder(batch, only), rtol=0, atol=1e-12
    )
    if modality != "audio":
        noisy = replace(batch, **{modality: torch.randn_like(getattr(batch, modality))})
        assert encoder(noisy, without).equal(encoder(batch, without))
        assert not encoder(noisy, WEIGHTS).equal(encoder(batch, WEIGHTS))


def test_statistics_standardise_and_spare_dead_dimensions():
    standardise = Standardise(3).double()
    torch.manual_seed(0)
    x = torch.randn(1, 500, 3, dtype=torch.float64) * torch.tensor([2.0, 0.5, 0.0]) + 7
    standardise.set_statistics(x.mean(dim=(0, 1)), x.std(dim=(0, 1)))
    y = standardise(x, torch.ones(1, 500, dtype=torch.bool))[0]
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(y.std(dim=0), torch.tensor([1.0, 1.0, 0.0]).double())


def test_constant_inputs_become_zero_not_nan():
    standardise = Standardise(2)
    standardise.set_statistics(torch.full((2,), 5.0), torch.zeros(2))
    assert standardise(torch.full((1, 4, 2), 5.0), torch.ones(1, 4).bool()).equal(
        torch.zeros(1, 4, 2)
    )


def test_bfloat16_autocast_stays_near_float32(tiny, dims, make_batch, in_float32):
    torch.manual_seed(0)
    encoder = Encoder(tiny, dims).eval()
    batch = in_float32(make_batch(dims, [40, 60], [30, 0], [0, 10]))
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(batch, WEIGHTS)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, encoder(batch, WEIGHTS), rtol=0, atol=0.1)
