"""What a fine-tuned model says of the segments of a fold."""

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
from model.data import FRAMES_PER_BATCH, Batch, Loader, labelled_fold
from model.encoder import StandardisedInputs
from model.store import FeatureStore, audio_frame_width


@dataclass(frozen=True)
class Predictions:
    """By utterance: scores (n, K) float32 and what is true, (n, K).

    Of emotions K = 6, scores are in [0, 1] and labels bool; of sentiment K = 1, both are in
    thirds of [-3, 3] or between them.
    """

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
    task: str = "emotion",
    modality_weights: ModalityWeights | None = None,
    device: torch.device | str = "cpu",
) -> Predictions:
    """Scores of every labelled utterance of a fold, in the order of the shards.

    ``task`` is what the model was trained for. ``modality_weights`` (audio, video, text) replace
    the model's own: 0 ablates a modality.

    Raises:
        TrainError: no labelled utterance in the fold, or no features, or of other dimensions.
        ShardError: damaged shards.
    """
    inputs = _inputs(model)
    dims = InputDims(*(inputs[modality].mean.numel() for modality in MODALITIES))
    n_stacked_frames = max(1, dims.audio // audio_frame_width(features_dir))
    store = FeatureStore(features_dir, n_stacked_frames=n_stacked_frames, cmvn=inputs.cmvn)
    if store.dims != dims:
        raise TrainError(f"{features_dir}: features are {store.dims}, the model takes {dims}")
    rows = labelled_fold(store, fold)
    loader = Loader(store, rows, FRAMES_PER_BATCH, speakers={}, task=task)
    model.to(device).eval()
    ids, outputs, labels = predict_batches(model, loader.in_order(), device, modality_weights)
    predictions = as_predictions(ids, outputs, labels, task)
    return predictions.in_order_of([store.id(row) for row in rows])


@torch.no_grad()
def predict_batches(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device | str,
    modality_weights: ModalityWeights | None = None,
) -> tuple[list[str], Tensor, Tensor]:
    """Ids, the model's outputs (n, K) on the CPU and the labels (n, K), both in float32.

    Without any batch, as one of several processes may be, n and K are 0.
    """
    ids: list[str] = []
    outputs: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in batches:
        ids.extend(batch.ids)
        outputs.append(model(batch.to(device), modality_weights).float().cpu())
        labels.append(batch.labels)
    if not ids:
        return ids, torch.empty(0, 0), torch.empty(0, 0)
    return ids, torch.cat(outputs), torch.cat(labels)


def as_predictions(
    ids: list[str], outputs: Tensor, labels: Tensor, task: str = "emotion"
) -> Predictions:
    """Of the outputs of a model for ``task``: logits of emotions become scores in [0, 1]."""
    if task == "emotion":
        return Predictions(ids, torch.sigmoid(outputs).numpy(), labels.numpy() > 0)
    return Predictions(ids, outputs.numpy(), labels.numpy())


def _inputs(model: nn.Module) -> Any:
    return next(part for part in model.modules() if isinstance(part, StandardisedInputs))
