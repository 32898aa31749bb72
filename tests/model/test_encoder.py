from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


class Reference:
    """The encoder of one utterance without padding, in NumPy, written out step by step."""

    def __init__(self, encoder, config):
        self.weights = {k: v.numpy() for k, v in encoder.state_dict().items()}
        self.config = config

    def affine(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, x, source, name):
        queries = self.affine(x, f"{name}.query")
        keys, values = np.split(self.affine(source, f"{name}.key_value"), 2, axis=1)
        d_head = self.config.d_model // self.config.n_heads
        heads = []
        for start in range(0, self.config.d_model, d_head):
            q, k, v = (m[:, start : start + d_head] for m in (queries, keys, values))
            weights = np.exp(q @ k.T / np.sqrt(d_head))
            heads.append((weights / weights.sum(axis=1, keepdims=True)) @ v)
        return self.affine(np.concatenate(heads, axis=1), f"{name}.output")

    def transformer(self, x, source, name, n_layers):
        for i in range(n_layers):
            layer = f"{name}.layers.{i}"
            keys = self.norm(x if source is None else source, f"{layer}.attention_norm")
            queries = self.norm(x, f"{layer}.attention_norm")
            x = x + self.attention(queries, keys, f"{layer}.attention")
            hidden = self.affine(
                self.norm(x, f"{layer}.feed_forward_norm"), f"{layer}.feed_forward.0"
            )
            x = x + self.affine(np.maximum(hidden, 0), f"{layer}.feed_forward.2")
        return self.norm(x, f"{name}.norm")

    def embed(self, x, modality):
        mean, std = (self.weights[f"inputs.{modality}.{s}"] for s in ("mean", "std"))
        projected = self.affine((x - mean) / std, f"projection.{modality}")
        d_model = self.config.d_model
        for position in range(len(x)):
            for i in range(d_model // 2):
                angle = position / 10_000 ** (2 * i / d_model)
                projected[position, i] += np.sin(angle)
                projected[position, d_model // 2 + i] += np.cos(angle)
        return projected

    def __call__(self, audio, video, text, weights):
        c = self.config
        queries = self.embed(audio, "audio")
        total = weights[0] * self.transformer(queries, None, "transformer.audio", c.n_audio_layers)
        for modality, x, weight in (("video", video, weights[1]), ("text", text, weights[2])):
            if len(x):
                source, name = self.embed(x, modality), f"transformer.{modality}"
                total += weight * self.transformer(queries, source, name, c.n_crossmodal_layers)
        return total


@settings(max_examples=15, deadline=None)
@given(data=st.data(), n=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_encoder_is_the_reference(data, n, seed, tiny, dims, make_batch):
    """Also a test of padding: the reference sees each utterance alone."""
    lengths = [
        data.draw(st.lists(st.integers(low, 7), min_size=n, max_size=n)) for low in (1, 0, 0)
    ]
    encoder, batch = make_encoder(tiny, dims, seed), make_batch(dims, *lengths, seed=seed)
    with torch.no_grad():
        found = encoder(batch, WEIGHTS)
    reference = Reference(encoder, tiny)
    for i in range(n):
        n_audio, n_video, n_text = (column[i] for column in lengths)
        audio, video, text = (x[i].numpy() for x in (batch.audio, batch.video, batch.text))
        expected = reference(audio[:n_audio], video[:n_video], text[:n_text], WEIGHTS)
        np.testing.assert_allclose(found[i, :n_audio], expected, rtol=0, atol=1e-10)
        assert not found[i, n_audio:].any(), "padding is zero"


def test_an_utterance_alone_has_the_same_output(tiny, dims, make_batch, alone):
    encoder = make_encoder(tiny, dims)
    batch = make_batch(dims, [3, 9, 5], [4, 0, 2], [0, 6, 1])
    together = encoder(batch, WEIGHTS)
    for i, n_audio in enumerate([3, 9, 5]):
        by_itself = encoder(alone(batch, i), WEIGHTS)
        torch.testing.assert_close(together[i, :n_audio], by_itself[0], rtol=0, atol=1e-10)


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
