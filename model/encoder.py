"""The joint encoder: three modalities in, one sequence of embeddings in the audio's time out.

An audio encoder, and two cross-modal transformers whose queries are the audio and whose keys and
values are the video or the text; their weighted sum is the embedding (the paper's section 3).
As in Tsai et al. 2019, a cross-modal transformer starts from the projected audio input, not from
the audio encoder's output, and its source is the other modality's projected input in each layer.
"""

from __future__ import annotations

from dataclasses import astuple

import torch
from torch import Tensor, nn

from model.attention import Transformer, attendable, linear, sinusoids
from model.config import MODALITIES, InputDims, ModalityWeights, ModelConfig
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
        shape = (config.d_model, config.n_heads, config.d_ff, config.dropout)
        self.inputs = StandardisedInputs(dims, config.cmvn)
        self.projection = nn.ModuleDict(
            {m: linear(n, config.d_model) for m, n in zip(MODALITIES, astuple(dims), strict=True)}
        )
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = nn.ModuleDict(
            {
                "audio": Transformer(config.n_audio_layers, *shape),
                "video": Transformer(config.n_crossmodal_layers, *shape),
                "text": Transformer(config.n_crossmodal_layers, *shape),
            }
        )

    def set_statistics(self, statistics: Statistics) -> None:
        """Set the means and deviations that inputs are standardised with, by modality."""
        self.inputs.set_statistics(statistics)

    def forward(self, batch: Batch, modality_weights: ModalityWeights) -> Tensor:
        """Embeddings (B, T, D), zero at padding.

        A modality of weight 0, and one that an utterance lacks, adds exactly zero. The weights
        of the others stay as they are: the paper's ablation (section 5.3) does not rescale.
        """
        audio, audio_mask = self._embed(batch, "audio")
        total = torch.zeros_like(audio)
        for modality, weight in zip(MODALITIES, modality_weights, strict=True):
            if weight > 0:
                total = total + weight * self._stream(batch, modality, audio, audio_mask)
        return total.masked_fill(~audio_mask[..., None], 0.0)

    def _embed(self, batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
        """A modality's steps projected to the model, positions added (B, N, D); its mask."""
        inputs, mask = self.inputs(batch, modality)
        # Unlike word embeddings (Vaswani et al. 2017, section 3.4) these are not scaled by
        # sqrt(D): standardised inputs leave the projection about as large as the positions.
        x = self.projection[modality](inputs)
        # In the inputs' dtype, so that autocast leaves the residual stream in float32.
        return self.dropout(x + sinusoids(x.shape[1], x.shape[2], like=inputs)), mask

    def _stream(self, batch: Batch, modality: str, audio: Tensor, audio_mask: Tensor) -> Tensor:
        """One modality in the audio's time (B, T, D), zero for an utterance that lacks it."""
        if modality == "audio":
            return self.transformer["audio"](audio, None, attendable(audio_mask))
        source, mask = self._embed(batch, modality)
        stream = self.transformer[modality](audio, source, attendable(mask))
        # `where`, not a product: its gradient is exactly zero too, whatever the other branch.
        return torch.where(mask.any(dim=1)[:, None, None], stream, 0.0)
