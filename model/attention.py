"""Attention, positions and the transformer layer that every network here is built of.

Shapes are written in the alphabet of `model.config`; Q and K are the numbers of queries and keys.
Masks are boolean, True where a step is valid.

Where the paper is silent, ``ModelConfig`` has a setting, whose default follows the Multimodal
Transformer (Tsai et al. 2019, the paper's [18]) or Vaswani et al. 2017 ([24]). Without a setting:
with norms first, key and value pass the layer norm of the query, as in [18].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig

KeysValues = tuple[Tensor, Tensor]  # each (B, H, K, D / H)


_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


def linear(n_in: int, n_out: int, config: ModelConfig) -> nn.Linear:
    """An affine layer: weights Xavier-uniform and bias zero, or as PyTorch has them."""
    layer = nn.Linear(n_in, n_out)
    if config.initialisation == "xavier":
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


def scaled_dot_product(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    *,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V by PyTorch's fused kernels: (B, H, Q, d) from keys (B, H, K, d).

    ``mask`` is (B, 1, 1, K), or None. PyTorch's kernel for bfloat16 on a CPU takes twice to three
    times as long as the plain products (benchmarks/README.md), so these are written out.
    """
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=causal
        )
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    if causal:
        mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return F.dropout(scores.softmax(dim=-1), dropout) @ values


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V in each head, d = D / H (the paper's section 4.1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model = config.d_model
        self.n_heads, self.dropout = config.n_heads, config.attention_dropout
        self.query = linear(d_model, d_model, config)
        self.key_value = linear(d_model, 2 * d_model, config)  # one product instead of two
        self.output = linear(d_model, d_model, config)

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
        heads = scaled_dot_product(
            self._split(self.query(queries)),
            *keys_values,
            mask,
            dropout=self.dropout if self.training else 0.0,
            causal=causal,
        )
        return self.output(heads.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two affine layers with a ReLU or GELU between, on each step alone."""

    def __init__(self, config: ModelConfig) -> None:
        d_model, d_ff = config.d_model, config.d_ff
        super().__init__(
            linear(d_model, d_ff, config),
            _ACTIVATIONS[config.activation](),
            linear(d_ff, d_model, config),
        )


class Dropout(nn.Dropout):
    """Dropout, on a CPU by 16 random bits a value: half the time of PyTorch's.

    The share that is dropped there is ``p`` to within 2^-17, and the rest is scaled for that share.
    """

    def forward(self, x: Tensor) -> Tensor:
        is_plain = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if not (is_plain and self.training and self.p > 0):
            return super().forward(x)  # which a compiler fuses, and a GPU does fast
        n_dropped = round(self.p * 2**16)  # of the 2^16 values that 16 bits take
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        is_kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return (x * is_kept).mul_(2**16 / (2**16 - n_dropped))


class ResidualLayer(nn.Module):
    """What layers share: dropout, residuals, and each sublayer's norm before or after it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.dropout = Dropout(config.dropout)

    def before(self, norm: nn.Module, x: Tensor) -> Tensor:
        """What a sublayer reads."""
        return norm(x) if self.norm_first else x

    def after(self, norm: nn.Module, x: Tensor, change: Tensor) -> Tensor:
        """``x`` with what the sublayer made of it."""
        x = x + self.dropout(change)
        return x if self.norm_first else norm(x)


def last_norm(config: ModelConfig) -> nn.Module:
    """After the last layer, where layers do not end with a norm."""
    return nn.LayerNorm(config.d_model) if config.norm_first else nn.Identity()


class TransformerLayer(ResidualLayer):
    """Attention to a source, then feed-forward, each with its residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.attention = MultiHeadAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, source: Tensor | None, key_mask: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D); ``source`` (B, K, D) is what ``x`` attends to, None: itself."""
        queries = self.before(self.attention_norm, x)
        keys = queries if source is None else self.before(self.attention_norm, source)
        attended = self.attention.attend(queries, self.attention.keys_values(keys), key_mask)
        x = self.after(self.attention_norm, x, attended)
        change = self.feed_forward(self.before(self.feed_forward_norm, x))
        return self.after(self.feed_forward_norm, x, change)


class Transformer(nn.Module):
    """A stack of layers and a last norm: self-attention, or cross-modal where given a source."""

    def __init__(self, config: ModelConfig, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(n_layers))
        self.norm = last_norm(config)

    def forward(self, x: Tensor, source: Tensor | None, key_mask: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D); ``key_mask`` is of ``source`` (B, K), or of ``x`` if None."""
        for layer in self.layers:
            x = layer(x, source, key_mask)
        return self.norm(x)
