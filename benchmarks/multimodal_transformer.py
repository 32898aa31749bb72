"""The peer: the Multimodal Transformer's reference implementation, from a checkout of its own.

    git clone https://github.com/yaohungt/Multimodal-Transformer DIR

Nothing of it is here: its ``TransformerEncoder`` is imported from DIR/modules/transformer.py and
put together as our encoder is: an audio transformer, two cross-modal ones and their weighted sum,
behind the same affine projections. It has no masks: padding is attended to as if it were speech.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from featurize.errors import UsageError
from model.config import MODALITIES, ModelConfig
from model.data import Batch, Rows, collate
from model.store import FeatureStore

BATCH_SIZE = 24  # the default of its main.py


@dataclass(frozen=True)
class Dropouts:
    """Its four shares. The defaults are those of its main.py."""

    attn_dropout: float = 0.1
    relu_dropout: float = 0.1
    res_dropout: float = 0.1
    embed_dropout: float = 0.25

    @classmethod
    def as_ours(cls, config: ModelConfig) -> Dropouts:
        """Only where ours has it."""
        return cls(config.attention_dropout, 0.0, config.dropout, config.dropout)


class PeerEncoder(nn.Module):
    """Its transformers with the sizes of ``config``; the feed-forward is always 4 D there.

    Raises UsageError where ``checkout`` is none.
    """

    def __init__(
        self, checkout: Path, config: ModelConfig, widths: dict[str, int], dropouts: Dropouts
    ) -> None:
        super().__init__()
        transformer = _import(checkout).TransformerEncoder
        d, heads = config.d_model, config.n_heads
        n_layers = dict.fromkeys(MODALITIES, config.n_crossmodal_layers)
        n_layers["audio"] = config.n_audio_layers
        self.weights = config.pretrain_weights
        self.projection = nn.ModuleDict({m: nn.Linear(widths[m], d) for m in MODALITIES})
        self.transformer = nn.ModuleDict(
            {m: transformer(d, heads, n_layers[m], **vars(dropouts)) for m in MODALITIES}
        )

    def forward(self, batch: Batch) -> Tensor:
        """(T, B, D): time comes first there."""
        audio, video, text = (
            self.projection[m](getattr(batch, m)).transpose(0, 1) for m in MODALITIES
        )
        return (
            self.weights[0] * self.transformer["audio"](audio)
            + self.weights[1] * self.transformer["video"](audio, video, video)
            + self.weights[2] * self.transformer["text"](audio, text, text)
        )


def shuffled_batches(store: FeatureStore, rows: Rows, seed: int = 0) -> Iterator[Batch]:
    """As its data loader makes them: 24 utterances at random, padded to the longest of them."""
    order = np.random.default_rng(seed).permutation(rows)
    numbers = np.zeros(len(store.speakers), np.int64)
    for first in range(0, len(order), BATCH_SIZE):
        yield collate(store, numbers, store.labels("emotion"), order[first : first + BATCH_SIZE])


def _import(checkout: Path):
    if not (checkout / "modules" / "transformer.py").is_file():
        raise UsageError(
            f"{checkout} has no modules/transformer.py; "
            "git clone https://github.com/yaohungt/Multimodal-Transformer there"
        )
    sys.path.insert(0, str(checkout.resolve()))
    try:
        return importlib.import_module("modules.transformer")
    finally:
        sys.path.pop(0)
