"""Networks and training on shards. Knows no corpora and no media.

``load`` gives the network of a run, ``embed`` its embeddings of one utterance; docs/model.md has an
example. PyTorch is imported when they are called.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


def load(run: str | PathLike[str], device: str = "cpu") -> nn.Module:
    """The trained network of a run, in evaluation mode, from its JSON and safetensors alone.

    ``run`` is a pretraining run, one ``seed-NN`` of a fine-tuned one, or all of its seeds: then
    the network is that of the seed that scores best on dev.

    Raises:
        ModelError: no run, none of its seeds is finished, or its files are missing or damaged.
    """
    from model.build import load_model, weights_folder

    return load_model(weights_folder(Path(run)), device)


def embed(
    network: nn.Module,
    audio: np.ndarray,
    video: np.ndarray | None = None,
    text: np.ndarray | None = None,
) -> np.ndarray:
    """Embeddings (T, D) of one utterance, float32; see ``model.embedding.embed_utterance``."""
    from model.embedding import embed_utterance

    return embed_utterance(network, audio, video, text)
