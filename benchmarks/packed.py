"""Sequence packing, to compare with padding: all but attention runs on real steps alone.

The weights are those of a ``model.attention.Transformer``; everything but attention sees
(total steps, D), without padding. On a GPU in bfloat16 attention too does, by FlashAttention's
kernel for sequences laid end to end; elsewhere queries, keys and values are spread out to
(B, H, N, d) for it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from model.attention import (
    MultiHeadAttention,
    Transformer,
    TransformerLayer,
    scaled_dot_product,
)


def packed_forward(transformer: Transformer, x: Tensor, mask: Tensor) -> Tensor:
    """What ``transformer(x, None, mask)`` gives at the real steps: (total steps, D).

    ``x`` is (B, T, D) and ``mask`` (B, T).
    """
    steps = mask.flatten().nonzero().squeeze(1)
    packed = x.flatten(0, 1)[steps]
    for module in transformer.layers:
        layer = cast(TransformerLayer, module)
        queries = layer.before(layer.attention_norm, packed)
        attended = _attend(layer.attention, queries, mask, steps)
        packed = layer.after(layer.attention_norm, packed, attended)
        change = layer.feed_forward(layer.before(layer.feed_forward_norm, packed))
        packed = layer.after(layer.feed_forward_norm, packed, change)
    return transformer.norm(packed)


def _attend(attention: MultiHeadAttention, packed: Tensor, mask: Tensor, steps: Tensor) -> Tensor:
    products = torch.cat([attention.query(packed), attention.key_value(packed)], dim=-1)
    attend = _end_to_end if products.is_cuda and products.dtype == torch.bfloat16 else _spread_out
    return attention.output(attend(products, attention.n_heads, mask, steps))


def _end_to_end(products: Tensor, n_heads: int, mask: Tensor, steps: Tensor) -> Tensor:
    """(total steps, 3 D) of queries, keys and values -> (total steps, D)."""
    queries, keys, values = products.unflatten(-1, (3, n_heads, -1)).unbind(1)
    ends = torch.nn.functional.pad(mask.sum(dim=1).cumsum(0), (1, 0)).int()
    longest = mask.shape[1]
    heads = varlen_attn(queries, keys, values, ends, ends, longest, longest)
    return cast(Tensor, heads).flatten(1)


def _spread_out(products: Tensor, n_heads: int, mask: Tensor, steps: Tensor) -> Tensor:
    """The same, with padding in between."""
    spread = products.new_zeros(mask.numel(), products.shape[-1]).index_copy(0, steps, products)
    queries, keys, values = (
        part.unflatten(-1, (n_heads, -1)).transpose(1, 2)
        for part in spread.unflatten(0, mask.shape).chunk(3, dim=-1)
    )
    heads = scaled_dot_product(queries, keys, values, mask[:, None, None, :])
    return heads.transpose(1, 2).flatten(2).flatten(0, 1)[steps]
