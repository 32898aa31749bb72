import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attention import (
    Dropout,
    MultiHeadAttention,
    Transformer,
    attendable,
    linear,
    scaled_dot_product,
    sinusoids,
)
from model.config import ModelConfig


def softmax(scores):
    exponentials = torch.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def attention_by_formula(module, queries, source, mask, causal):
    """softmax(Q K^T / sqrt(d)) V, one utterance, head and query at a time."""
    n_batch, n_queries, d_model = queries.shape
    d_head = d_model // module.n_heads
    q = module.query(queries)
    k, v = module.key_value(source).split(d_model, dim=-1)
    heads = torch.zeros_like(queries)
    for b in range(n_batch):
        for h in range(module.n_heads):
            part = slice(h * d_head, (h + 1) * d_head)
            for i in range(n_queries):
                seen = mask[b].clone()
                if causal:
                    seen[i + 1 :] = False
                weights = softmax(k[b, seen, part] @ q[b, i, part] / math.sqrt(d_head))
                heads[b, i, part] = weights @ v[b, seen, part]
    return module.output(heads)


@settings(max_examples=25, deadline=None)
@given(
    n_batch=st.integers(1, 3),
    n_queries=st.integers(1, 6),
    n_keys=st.integers(1, 6),
    n_heads=st.sampled_from([1, 2, 4]),
    causal=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_attention_is_the_formula(n_batch, n_queries, n_keys, n_heads, causal, seed):
    torch.manual_seed(seed)
    module = MultiHeadAttention(ModelConfig(d_model=8, n_heads=n_heads)).double()
    torch.nn.init.normal_(module.key_value.bias)
    queries = torch.randn(n_batch, n_queries, 8, dtype=torch.float64)
    source = queries if causal else torch.randn(n_batch, n_keys, 8, dtype=torch.float64)
    mask = torch.rand(n_batch, source.shape[1]) < 0.7
    mask[:, 0] = True
    if causal:
        mask[:] = True
    keys_values = module.keys_values(source)
    found = module.attend(queries, keys_values, None if causal else mask, causal=causal)
    expected = attention_by_formula(module, queries, source, mask, causal)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_bfloat16_is_the_formula_to_its_precision(causal, device):
    """Output and gradients, on a CPU of the products written out, on a GPU of the fused kernel;
    against PyTorch's kernel in float64 on a CPU."""
    torch.manual_seed(0)
    mask = None if causal else attendable(torch.rand(3, 9) < 0.6)[:, None, None, :]
    found, expected = (
        [torch.randn(3, 2, 9, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
        for _ in range(2)
    )
    found = [x.to(device, torch.bfloat16).requires_grad_() for x in found]
    expected = [x.bfloat16().double().requires_grad_() for x in expected]
    seen = None if mask is None else mask.to(device)
    output = scaled_dot_product(*found, seen, causal=causal)
    reference = torch.nn.functional.scaled_dot_product_attention(
        *expected, attn_mask=mask, is_causal=causal
    )
    for x in (output, reference):
        x.pow(2).sum().backward()
    torch.testing.assert_close(output.cpu().double(), reference, rtol=0.02, atol=0.03)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.grad.cpu().double(), theirs.grad, rtol=0.05, atol=0.15)


def test_attendable_opens_only_empty_rows():
    mask = torch.tensor([[True, False], [False, False]])
    assert attendable(mask).tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("d_model", [8, 96])
def test_sinusoids_by_formula(d_model):
    like = torch.zeros(0, dtype=torch.float64)
    found = sinusoids(9, d_model, like=like).numpy()
    half = d_model // 2
    for position in range(9):
        for i in range(half):
            angle = position / 10_000 ** (2 * i / d_model)
            np.testing.assert_allclose(found[position, i], math.sin(angle), atol=1e-13)
            np.testing.assert_allclose(found[position, half + i], math.cos(angle), atol=1e-13)


def test_sinusoids_can_start_later():
    like = torch.zeros(0)
    assert sinusoids(2, 8, like=like, first=5).equal(sinusoids(7, 8, like=like)[5:])
    assert sinusoids(2, 8, like=like).dtype == torch.float32


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_scales_the_rest(share, dtype):
    torch.manual_seed(0)
    x = torch.ones(3, 100_001, dtype=dtype, requires_grad=True)
    dropped = Dropout(share)(x)
    dropped.sum().backward()
    assert dropped.dtype == dtype and torch.equal(x.grad, dropped)
    is_zero = dropped == 0
    # Five standard deviations of a binomial.
    tolerance = 5 * (share * (1 - share) / x.numel()) ** 0.5
    assert is_zero.double().mean().item() == pytest.approx(share, abs=tolerance)
    kept = dropped[~is_zero].double()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)), rtol=5e-3, atol=0)
    # Neighbours come from the same 64 bits, and have to be independent all the same.
    both = (is_zero[:, 1:] & is_zero[:, :-1]).double().mean().item()
    assert both == pytest.approx(share**2, abs=0.003)
    assert torch.equal(Dropout(share).eval()(x), x)


@pytest.mark.parametrize("name", ["dropout", "attention_dropout"])
def test_dropout_only_in_training(name):
    torch.manual_seed(0)
    shares = {"dropout": 0.0, "attention_dropout": 0.0, name: 0.5}
    transformer = Transformer(ModelConfig(d_model=8, n_heads=2, d_ff=16, **shares), n_layers=2)
    x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    assert not transformer(x, None, mask).equal(transformer(x, None, mask))
    transformer.eval()
    assert transformer(x, None, mask).equal(transformer(x, None, mask))


def test_attention_dropout_is_of_the_weights():
    """Scaled up by 1 / (1 - share), the mean over draws is the output without dropout."""
    torch.manual_seed(0)
    config = ModelConfig(d_model=4, n_heads=1, attention_dropout=0.5)
    attention, x = MultiHeadAttention(config), torch.randn(1, 3, 4)
    keys_values = attention.keys_values(x)
    with torch.no_grad():
        drawn = torch.stack([attention.attend(x, keys_values) for _ in range(4000)])
        expected = attention.eval().attend(x, keys_values)
    assert len(drawn.unique(dim=0)) > 100
    torch.testing.assert_close(drawn.mean(dim=0), expected, rtol=0, atol=0.05)


def test_initialisations():
    """Xavier: uniform within sqrt(6 / (in + out)), bias zero. PyTorch: within 1 / sqrt(in)."""
    torch.manual_seed(0)
    for name, bound in (("xavier", math.sqrt(6 / 500)), ("pytorch", 1 / math.sqrt(100))):
        layer = linear(100, 400, ModelConfig(initialisation=name))
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert (name == "xavier") == (not layer.bias.any())
