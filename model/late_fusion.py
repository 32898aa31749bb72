"""The late-fusion baseline: a recurrent network a modality, joined only at their last steps."""

from __future__ import annotations

from dataclasses import astuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from model.attention import linear
from model.config import MODALITIES, InputDims, ModalityWeights, ModelConfig
from model.data import Batch
from model.encoder import StandardisedInputs, Statistics


class LateFusion(nn.Module):
    """Per modality a bidirectional GRU; last steps concatenated; two affine layers (section 4.1).

    The paper's "linear layer of size 100 is used for classification" is read as a hidden layer
    of 100 with ReLU before the outputs.
    """

    def __init__(self, config: ModelConfig, dims: InputDims, n_outputs: int) -> None:
        super().__init__()
        self.inputs = StandardisedInputs(dims, config.cmvn)
        self.gru = nn.ModuleDict(
            {m: _gru(config, n) for m, n in zip(MODALITIES, astuple(dims), strict=True)}
        )
        self.dropout = nn.Dropout(config.dropout)
        n_summary = len(MODALITIES) * 2 * config.gru_size
        self.hidden = linear(n_summary, config.late_fusion_hidden, config)
        self.output = linear(config.late_fusion_hidden, n_outputs, config)

    def set_statistics(self, statistics: Statistics) -> None:
        """Set the means and deviations that inputs are standardised with, by modality."""
        self.inputs.set_statistics(statistics)

    def forward(self, batch: Batch, modality_weights: ModalityWeights | None = None) -> Tensor:
        """Outputs (B, n_outputs). There is no weighted sum here: weight 0 drops a modality.

        A dropped one is as in an utterance that lacks it; a weight above 0 changes nothing.
        """
        weights = (1.0, 1.0, 1.0) if modality_weights is None else modality_weights
        summaries = [
            self._last_step(batch, modality, dropped=weight == 0)
            for modality, weight in zip(MODALITIES, weights, strict=True)
        ]
        hidden = torch.relu(self.hidden(self.dropout(torch.cat(summaries, dim=1))))
        return self.output(self.dropout(hidden))

    def _last_step(self, batch: Batch, modality: str, dropped: bool) -> Tensor:
        """Both directions' last states (B, 2 * gru_size); zeros where the modality is absent.

        Each direction ends at its own end of the utterance's real length, so padding is not read.
        """
        x, mask = self.inputs(batch, modality)
        lengths = mask.sum(dim=1).clamp(min=1).cpu()  # a packed sequence may not be empty
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, states = self.gru[modality](packed)  # (layers * 2, B, gru_size)
        last = torch.cat([states[-2], states[-1]], dim=1)
        present = torch.zeros_like(mask[:, 0]) if dropped else mask.any(dim=1)
        return torch.where(present[:, None], last, 0.0)


def _gru(config: ModelConfig, n_inputs: int) -> nn.GRU:
    return nn.GRU(
        n_inputs,
        config.gru_size,
        num_layers=config.gru_layers,
        batch_first=True,
        bidirectional=True,
        dropout=config.dropout if config.gru_layers > 1 else 0.0,
    )
