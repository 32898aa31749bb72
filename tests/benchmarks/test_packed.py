"""Packing computes what padding computes, or there would be nothing to compare."""

import torch

from benchmarks.packed import packed_forward
from model.attention import Transformer
from model.config import ModelConfig


def test_packed_is_padded_at_the_real_steps() -> None:
    torch.manual_seed(0)
    config = ModelConfig(d_model=8, n_heads=2, d_ff=12)
    transformer = Transformer(config, n_layers=3).double().eval()
    mask = torch.arange(9) < torch.tensor([[9], [2], [6]])
    x = torch.randn(3, 9, 8, dtype=torch.float64)
    expected = transformer(x, None, mask)[mask]
    found = packed_forward(transformer, x, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
