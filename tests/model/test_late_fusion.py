from dataclasses import replace

import pytest
import torch
from torch import nn

from model.late_fusion import LateFusion

LENGTHS = ([3, 9, 5], [4, 0, 2], [0, 6, 1])


def make_model(config, dims):
    torch.manual_seed(0)
    model = LateFusion(config, dims, 6).double().eval()
    model.set_statistics({"audio": (torch.randn(dims.audio), torch.rand(dims.audio) + 0.5)})
    return model


def gru_by_formula(gru, layer, suffix, x):
    """One direction of one layer over (n, in): the recurrence of Cho et al. 2014 as in PyTorch."""
    weights = {k: getattr(gru, f"{k}_l{layer}{suffix}") for k in ("weight_ih", "weight_hh")}
    biases = {k: getattr(gru, f"{k}_l{layer}{suffix}") for k in ("bias_ih", "bias_hh")}
    h, states = torch.zeros(gru.hidden_size, dtype=torch.float64), []
    for step in x if not suffix else x.flip(0):
        from_x = (weights["weight_ih"] @ step + biases["bias_ih"]).chunk(3)
        from_h = (weights["weight_hh"] @ h + biases["bias_hh"]).chunk(3)
        reset, update = (torch.sigmoid(from_x[i] + from_h[i]) for i in (0, 1))
        h = (1 - update) * torch.tanh(from_x[2] + reset * from_h[2]) + update * h
        states.append(h)
    return torch.stack(states if not suffix else states[::-1]), h


def last_states_by_formula(gru, x):
    """Both directions' last states of the last layer, for one sequence (n, in)."""
    for layer in range(gru.num_layers):
        forward, last_forward = gru_by_formula(gru, layer, "", x)
        backward, last_backward = gru_by_formula(gru, layer, "_reverse", x)
        x = torch.cat([forward, backward], dim=1)
    return torch.cat([last_forward, last_backward])


@torch.no_grad()
def test_logits_are_those_of_each_sequence_alone(tiny, dims, make_batch, device):
    model, batch = make_model(tiny, dims), make_batch(dims, *LENGTHS)
    logits = model.to(device)(batch.to(device)).cpu()
    model.cpu()
    for i in range(3):
        summaries = []
        for modality, lengths in zip(("audio", "video", "text"), LENGTHS, strict=True):
            standard = model.inputs[modality]
            x = (getattr(batch, modality)[i, : lengths[i]] - standard.mean) / standard.std
            empty = torch.zeros(2 * tiny.gru_size, dtype=torch.float64)
            found = last_states_by_formula(model.gru[modality], x) if lengths[i] else empty
            summaries.append(found)
        expected = model.output(torch.relu(model.hidden(torch.cat(summaries))))
        torch.testing.assert_close(logits[i], expected, rtol=0, atol=1e-10)


def test_absent_modality_has_no_gradient(tiny, dims, make_batch):
    model = make_model(replace(tiny, late_fusion_hidden=32), dims)  # some ReLUs are alive
    batch = make_batch(dims, [4, 2], [0, 0], [3, 0])
    model(replace(batch, video=batch.video * float("nan"))).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() != name.startswith("gru.video"), name


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_weight_zero_drops_a_modality(dropped, tiny, dims, make_batch):
    model = make_model(tiny, dims)
    batch = make_batch(dims, [4, 2], [3, 3], [3, 1])
    weights = tuple(0.0 if i == dropped else 1.0 for i in range(3))
    name = ("audio", "video", "text")[dropped]
    absent = replace(batch, **{f"{name}_mask": torch.zeros_like(getattr(batch, f"{name}_mask"))})
    assert model(batch, weights).equal(model(absent))
    assert not model(batch, weights).equal(model(batch))


def test_single_layer_warns_of_nothing(tiny, dims, recwarn):
    assert isinstance(LateFusion(replace(tiny, gru_layers=1), dims, 6).gru["audio"], nn.GRU)
    assert not recwarn.list
