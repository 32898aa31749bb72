"""The joint encoder: three modalities in, one sequence of embeddings in the audio's time out.

An audio encoder, and two cross-modal transformers whose queries are the audio and whose keys and
values are the video or the text; their weighted sum is the embedding (the paper's section 3).
A cross-modal transformer's source is the other modality's projected input in each layer, as in
Tsai et al. 2019; what it starts from is the setting ``crossmodal_query``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple

import torch
from torch import Tensor, nn

from model.attention import Dropout, Transformer, attendable, linear, sinusoids
from model.config import MODALITIES, InputDims, ModelConfig
from model.data import Batch

Statistics = dict[str, tuple[Tensor, Tensor]]  # modality -> mean (n,), standard deviation (n,)


class Standardise(nn.Module):
    """(x - mean) / standard deviation in each dimension; padding becomes exactly zero."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_dims))
        self.register_buffer("std", torch.ones(n_dims))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take ``mean`` and ``std``, both (n_dims,).

        A deviation under a tenth of the average one is raised to it, so that a dimension that
        hardly moves in training (a dead ReLU of VGG-16) is not blown up when it moves elsewhere.
        """
        floor = 0.1 * std.mean()
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=floor) if floor > 0 else torch.ones_like(std))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, n_dims) and mask (B, N) -> (B, N, n_dims)."""
        return ((x - self.mean) / self.std).masked_fill(~mask[..., None], 0.0)


class StandardisedInputs(nn.ModuleDict):
    """One `Standardise` a modality; the identity until statistics are set.

    ``cmvn`` says how the audio has to be normalised before it comes here (``model.config``).
    """

    def __init__(self, dims: InputDims, cmvn: str = "none") -> None:
        widths = zip(MODALITIES, astuple(dims), strict=True)
        super().__init__({modality: Standardise(width) for modality, width in widths})
        self.cmvn = cmvn

    def set_statistics(self, statistics: Statistics) -> None:
        for modality, (mean, std) in statistics.items():
            self[modality].set_statistics(mean, std)  # type: ignore[operator]

    def forward(self, batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
        """A modality's inputs (B, N, n_dims), standardised, and its mask (B, N)."""
        mask = getattr(batch, f"{modality}_mask")
        return self[modality](getattr(batch, modality), mask), mask


class Encoder(nn.Module):
    """Audio encoder, cross-modal transformers of video and text, and their weighted sum.

    It reads of a batch audio (B, T, 200), video (B, F, 4096), text (B, W, 300) and their masks,
    True where a step is valid. A row of the video's or the text's mask that is False throughout
    means that the utterance lacks that modality.
    """

    def __init__(self, config: ModelConfig, dims: InputDims) -> None:
        super().__init__()
        self.queries_are_encoded = config.crossmodal_query == "encoded"
        self.has_positions = config.positions == "sinusoidal"
        self.scales_inputs = config.scale_inputs
        self.inputs = StandardisedInputs(dims, config.cmvn)
        widths = zip(MODALITIES, astuple(dims), strict=True)
        self.projection = nn.ModuleDict(
            {modality: linear(width, config.d_model, config) for modality, width in widths}
        )
        self.dropout = Dropout(config.dropout)
        self.transformer = nn.ModuleDict(
            {
                "audio": Transformer(config, config.n_audio_layers),
                "video": Transformer(config, config.n_crossmodal_layers),
                "text": Transformer(config, config.n_crossmodal_layers),
            }
        )

    def set_statistics(self, statistics: Statistics) -> None:
        """Set the means and deviations that inputs are standardised with, by modality."""
        self.inputs.set_statistics(statistics)

    def forward(self, batch: Batch, modality_weights: Sequence[float | Tensor]) -> Tensor:
        """Embeddings (B, T, D), zero at padding.

        A modality of weight 0, and one that an utterance lacks, adds exactly zero. The weights
        of the others stay as they are: the paper's ablation (section 5.3) does not rescale.
        Audio of weight 0 is still what the others are asked for: it is their queries.
        """
        queries, audio_mask = self._embed(batch, "audio")
        total = torch.zeros_like(queries)
        if _is_used(modality_weights[0]) or self.queries_are_encoded:
            encoded = self.transformer["audio"](queries, None, attendable(audio_mask))
            total = total + modality_weights[0] * encoded
            queries = encoded if self.queries_are_encoded else queries
        for modality, weight in zip(MODALITIES[1:], modality_weights[1:], strict=True):
            if _is_used(weight):
                total = total + weight * self._projected(batch, modality, queries)
        return total.masked_fill(~audio_mask[..., None], 0.0)

    def _embed(self, batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
        """A modality's steps projected to the model, positions added (B, N, D); its mask."""
        inputs, mask = self.inputs(batch, modality)
        x = self.projection[modality](inputs)
        if self.scales_inputs:
            x = x * math.sqrt(x.shape[2])
        # In the inputs' dtype, so that autocast leaves the residual stream in float32.
        if self.has_positions:
            x = x + sinusoids(x.shape[1], x.shape[2], like=inputs)
        return self.dropout(x.to(inputs.dtype)), mask

    def _projected(self, batch: Batch, modality: str, queries: Tensor) -> Tensor:
        """Video or text in the audio's time (B, T, D), zero for an utterance that lacks it."""
        source, mask = self._embed(batch, modality)
        stream = self.transformer[modality](queries, source, attendable(mask))
        # `where`, not a product: its gradient is exactly zero too, whatever the other branch.
        return torch.where(mask.any(dim=1)[:, None, None], stream, 0.0)


def _is_used(weight: float | Tensor) -> bool:
    """Not of weight 0. A learned weight never is, and asking would wait for the GPU."""
    return isinstance(weight, Tensor) or weight > 0
