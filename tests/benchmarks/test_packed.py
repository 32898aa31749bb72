"""Packing computes what padding computes, or there would be nothing to compare."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks import packed
from model.attention import Transformer
from model.config import ModelConfig


def attend_each(queries, keys, values, ends_q, ends_k, longest_q, longest_k):
    """What the GPU's kernel is documented to do, a sequence at a time: (steps, H, d) each."""
    assert ends_q.dtype == ends_k.dtype == torch.int32 and ends_q.equal(ends_k)
    bounds = list(zip(ends_q.tolist(), ends_q.tolist()[1:], strict=False))
    assert longest_q == longest_k == max(end - start for start, end in bounds)
    each = [
        [x[start:end].transpose(0, 1) for x in (queries, keys, values)] for start, end in bounds
    ]
    heads = [F.scaled_dot_product_attention(*one) for one in each]
    return torch.cat([one.transpose(0, 1) for one in heads])


@pytest.mark.parametrize("end_to_end", [False, True])
def test_packed_is_padded_at_the_real_steps(end_to_end: bool, monkeypatch) -> None:
    if end_to_end:  # the layout for a GPU's kernel, with the kernel written out
        monkeypatch.setattr(packed, "_spread_out", packed._end_to_end)
        monkeypatch.setattr(packed, "varlen_attn", attend_each)
    torch.manual_seed(0)
    config = ModelConfig(d_model=8, n_heads=2, d_ff=12)
    transformer = Transformer(config, n_layers=3).double().eval()
    mask = torch.arange(9) < torch.tensor([[9], [2], [6]])
    x = torch.randn(3, 9, 8, dtype=torch.float64)
    expected = transformer(x, None, mask)[mask]
    found = packed.packed_forward(transformer, x, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
