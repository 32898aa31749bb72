"""Attention, positions and the transformer layer that every network here is built of.

Shapes are written in the alphabet of `model.config`; Q and K are the numbers of queries and keys.
Masks are boolean, True where a step is valid.

Where the paper is silent: normalisation comes before each sublayer and once after the last
("pre-norm"), activation is ReLU, weights start Xavier-uniform and biases at zero, and key and
value pass the layer norm of the query, all as in the Multimodal Transformer (Tsai et al. 2019,
the paper's [18]). Positions are the sines and cosines of Vaswani et al. 2017 ([24]).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]  # each (B, H, K, D / H)


def linear(n_in: int, n_out: int) -> nn.Linear:
    """An affine layer, weights Xavier-uniform, bias zero."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def sinusoids(n_steps: int, d_model: int, like: Tensor, first: int = 0) -> Tensor:
    """Positions (n_steps, D) of steps first, first + 1, ...: sines, then cosines.

    Wavelengths run from 2 pi to 10,000 * 2 pi (Vaswani et al. 2017, section 3.5; the order of
    dimensions is free there). Computed in float64, given in the dtype and device of ``like``.
    """
    steps = torch.arange(first, first + n_steps, dtype=torch.float64, device=like.device)
    halves = torch.arange(d_model // 2, dtype=torch.float64, device=like.device)
    angles = steps[:, None] * torch.exp(halves * (-math.log(10_000.0) / (d_model // 2)))
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(like.dtype)


def attendable(mask: Tensor) -> Tensor:
    """Key mask (B, K) made safe for softmax: a row with no valid key opens to all of its keys.

    A softmax over nothing is NaN; the caller drops what such a row attends to.
    """
    return mask | ~mask.any(dim=1, keepdim=True)


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V in each head, d = D / H (the paper's section 4.1)."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = linear(d_model, d_model)
        self.key_value = linear(d_model, 2 * d_model)  # one product instead of two
        self.output = linear(d_model, d_model)

    def keys_values(self, source: Tensor) -> KeysValues:
        """Keys and values (B, H, K, D / H) of ``source`` (B, K, D)."""
        keys, values = self.key_value(source).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def attend(
        self,
        queries: Tensor,
        keys_values: KeysValues,
        key_mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """(B, Q, D) from ``queries`` (B, Q, D); every row of ``key_mask`` (B, K) has a True."""
        mask = None if key_mask is None else key_mask[:, None, None, :]
        heads = F.scaled_dot_product_attention(
            self._split(self.query(queries)), *keys_values, attn_mask=mask, is_causal=causal
        )
        return self.output(heads.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two affine layers with a ReLU between, on each step alone."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__(linear(d_model, d_ff), nn.ReLU(), linear(d_ff, d_model))


class TransformerLayer(nn.Module):
    """Attention to a source, then feed-forward, each with its residual."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_ff)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, source: Tensor | None, key_mask: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D); ``source`` (B, K, D) is what ``x`` attends to, None: itself."""
        queries = self.attention_norm(x)
        keys_values = self.attention.keys_values(
            queries if source is None else self.attention_norm(source)
        )
        x = x + self.dropout(self.attention.attend(queries, keys_values, key_mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Transformer(nn.Module):
    """A stack of layers and a last norm: self-attention, or cross-modal where given a source."""

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, source: Tensor | None, key_mask: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D); ``key_mask`` is of ``source`` (B, K), or of ``x`` if None."""
        for layer in self.layers:
            x = layer(x, source, key_mask)
        return self.norm(x)
