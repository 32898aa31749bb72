"""Emotion scores of a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featurize.errors import TrainError
from model.config import MODALITIES, InputDims, ModalityWeights
from model.data import Batch, Loader, labelled_fold
from model.encoder import StandardisedInputs
from model.store import FeatureStore, audio_frame_width

FRAMES_PER_BATCH = 4000


@dataclass(frozen=True)
class Predictions:
    """Emotion scores in [0, 1] (n, 6) float32 and what is true (n, 6) bool, by utterance."""

    ids: list[str]
    scores: np.ndarray
    labels: np.ndarray

    def in_order_of(self, ids: Sequence[str]) -> Predictions:
        """The same rows, ordered as ``ids``."""
        row_of = {utterance_id: row for row, utterance_id in enumerate(self.ids)}
        rows = [row_of[utterance_id] for utterance_id in ids]
        return Predictions(list(ids), self.scores[rows], self.labels[rows])


def predict(
    model: nn.Module,
    features_dir: Path,
    fold: str,
    *,
    modality_weights: ModalityWeights | None = None,
    device: torch.device | str = "cpu",
) -> Predictions:
    """Emotion scores of every labelled utterance of a fold, in the order of the shards.

    ``modality_weights`` (audio, video, text) replace the model's own: 0 ablates a modality.

    Raises:
        TrainError: no labelled utterance in the fold, or no features. ShardError: damaged shards.
    """
    inputs = _inputs(model)
    dims = InputDims(*(inputs[modality].mean.numel() for modality in MODALITIES))
    n_stacked_frames = max(1, dims.audio // audio_frame_width(features_dir))
    store = FeatureStore(features_dir, n_stacked_frames=n_stacked_frames, cmvn=inputs.cmvn)
    if store.dims != dims:
        raise TrainError(f"{features_dir}: features are {store.dims}, the model takes {dims}")
    rows = labelled_fold(store, fold)
    loader = Loader(store, rows, FRAMES_PER_BATCH, speakers={})
    model.to(device).eval()
    ids, logits, labels = predict_batches(model, loader.in_order(), device, modality_weights)
    predictions = Predictions(ids, torch.sigmoid(logits).numpy(), labels)
    return predictions.in_order_of([store.id(row) for row in rows])


@torch.no_grad()
def predict_batches(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device | str,
    modality_weights: ModalityWeights | None = None,
) -> tuple[list[str], Tensor, np.ndarray]:
    """Ids, emotion logits (n, 6) on the CPU in float32, and what is true (n, 6) bool."""
    ids: list[str] = []
    logits, labels = [torch.empty(0, 6)], [np.empty((0, 6), bool)]
    for batch in batches:
        ids.extend(batch.ids)
        logits.append(model(batch.to(device), modality_weights).float().cpu())
        labels.append(batch.labels.numpy() > 0)
    return ids, torch.cat(logits), np.concatenate(labels)


def _inputs(model: nn.Module) -> Any:
    return next(part for part in model.modules() if isinstance(part, StandardisedInputs))
