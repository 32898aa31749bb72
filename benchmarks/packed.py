"""Sequence packing, to compare with padding: all but attention runs on real steps alone.

The weights are those of a ``model.attention.Transformer``. Only for attention are queries, keys and
values spread out again to (B, H, N, d); everything else sees (total steps, D), without padding.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

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
    spread = products.new_zeros(mask.numel(), products.shape[-1]).index_copy(0, steps, products)
    queries, keys, values = (
        part.unflatten(-1, (attention.n_heads, -1)).transpose(1, 2)
        for part in spread.unflatten(0, mask.shape).chunk(3, dim=-1)
    )
    heads = scaled_dot_product(queries, keys, values, mask[:, None, None, :])
    return attention.output(heads.transpose(1, 2).flatten(2).flatten(0, 1)[steps])
