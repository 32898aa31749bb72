"""What a run is trained for: the loss of a batch and the scores on dev.

``MultitaskTask`` is the paper's pretraining (characters and speaker), ``EmotionTask`` the
fine-tuning on six emotions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featurize.errors import TrainError
from model.config import EMOTIONS, TrainConfig, decode
from model.data import Batch, Loader
from model.heads import emotion_loss, multitask_loss
from model.metrics import Metric, choose_threshold, weighted_accuracy, weighted_f1

# An emotion that one segment in a thousand shows must not make one segment outweigh all others.
MAX_POSITIVE_WEIGHT = 20.0


@dataclass(frozen=True)
class Predictions:
    """Emotion scores in [0, 1] (n, 6) float32 and what is true (n, 6) bool, by utterance."""

    ids: list[str]
    scores: np.ndarray
    labels: np.ndarray

    def in_order_of(self, ids: Sequence[str]) -> "Predictions":
        """The same rows, ordered as ``ids``."""
        row_of = {utterance_id: row for row, utterance_id in enumerate(self.ids)}
        rows = [row_of[utterance_id] for utterance_id in ids]
        return Predictions(list(ids), self.scores[rows], self.labels[rows])


@dataclass
class MultitaskTask:
    """Characters and speaker. ``decoded`` holds the few dev utterances that are spelt out."""

    config: TrainConfig
    dev: Loader
    decoded: Loader

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return multitask_loss(model(batch), batch, self.config)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """dev_loss and its parts, dev_speaker_accuracy, and dev_cer by greedy decoding."""
        sums: dict[str, float] = {}
        n_right = n_seen = 0
        for batch in self.dev.in_order():
            on_device = batch.to(device)
            outputs = model(on_device)
            loss, parts = multitask_loss(outputs, on_device, self.config)
            for name, part in {"loss": loss, **parts}.items():
                sums[name] = sums.get(name, 0.0) + float(part) * len(batch)
            named = outputs.speaker_logits.argmax(dim=-1) == on_device.speakers
            n_right += int(named.sum())
            n_seen += len(batch)
        scores = {f"dev_{name}": total / n_seen for name, total in sums.items()}
        accuracy = n_right / n_seen
        return scores | {"dev_speaker_accuracy": accuracy, "dev_cer": self._cer(model, device)}

    def score(self, line: dict[str, Any]) -> float:
        return -line["dev_loss"]

    def _cer(self, model: Any, device: torch.device) -> float | None:
        """Character errors per character of the transcripts; None when these are all empty."""
        n_errors = n_characters = 0
        for batch in self.decoded.in_order():
            on_device = batch.to(device)
            embeddings = model.encoder(on_device, model.modality_weights)
            limit = 2 * batch.characters.shape[1]  # who stutters on needs no further proof
            found = model.decoder.greedy_decode(embeddings, on_device.audio_mask, limit)
            for ids, true_ids in zip(found.tolist(), batch.characters.tolist(), strict=True):
                truth = decode(true_ids)
                n_errors += edit_distance(decode(ids), truth)
                n_characters += len(truth)
        return n_errors / n_characters if n_characters else None


@dataclass
class EmotionTask:
    """Six emotions, each present or not. ``positive_weight`` (6,) weighs the present ones."""

    dev: Loader
    positive_weight: Tensor

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        weight = self.positive_weight.to(batch.labels.device)
        return emotion_loss(model(batch), batch.labels, weight), {}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """dev_loss, and dev_wa and dev_f1: means over emotions at thresholds chosen on dev."""
        logits, predictions = predict_batches(model, self.dev.in_order(), device)
        labels = torch.from_numpy(predictions.labels).float()
        loss = emotion_loss(logits, labels, self.positive_weight.cpu())
        if not torch.isfinite(loss):
            bad = ~torch.isfinite(logits).all(dim=1)
            ids = [name for name, is_bad in zip(predictions.ids, bad, strict=True) if is_bad]
            raise TrainError(f"scores on dev are not finite for {', '.join(ids)}")
        return {
            "dev_loss": float(loss),
            "dev_wa": best_mean(predictions, weighted_accuracy),
            "dev_f1": best_mean(predictions, weighted_f1),
        }

    def score(self, line: dict[str, Any]) -> float:
        """Mean of weighted accuracy and F1, as the paper chooses its best model."""
        defined = [line[name] for name in ("dev_wa", "dev_f1") if line[name] is not None]
        return sum(defined) / len(defined) if defined else -line["dev_loss"]


@torch.no_grad()
def predict_batches(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device | str,
    modality_weights: tuple[float, float, float] | None = None,
) -> tuple[Tensor, Predictions]:
    """Emotion logits (n, 6) on the CPU in float32, and the predictions they make."""
    ids: list[str] = []
    logits, labels = [], []
    for batch in batches:
        ids.extend(batch.ids)
        logits.append(model(batch.to(device), modality_weights).float().cpu())
        labels.append(batch.labels.numpy() > 0)
    joined = torch.cat(logits)
    return joined, Predictions(ids, torch.sigmoid(joined).numpy(), np.concatenate(labels))


def best_mean(predictions: Predictions, metric: Metric) -> float | None:
    """Mean over emotions of ``metric`` at the threshold best on these very predictions.

    Emotions in which it is undefined do not count; None when it is undefined in all.
    """
    values = []
    for column in range(len(EMOTIONS)):
        scores, labels = predictions.scores[:, column], predictions.labels[:, column]
        threshold = choose_threshold(scores, labels, metric)
        values.append(metric(labels, scores >= threshold))
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def positive_weights(emotions: np.ndarray) -> Tensor:
    """Negatives per positive of each emotion, (6,) float32, so that both weigh the same.

    ``emotions`` (n, 6) bool are those of the training segments.

    Clipped to [1 / 20, 20]; the upper bound also serves an emotion that nobody shows.
    """
    labels = torch.from_numpy(emotions).float()
    n_positive = labels.sum(dim=0)
    ratio = (len(labels) - n_positive) / n_positive.clamp(min=1)
    return ratio.clamp(1 / MAX_POSITIVE_WEIGHT, MAX_POSITIVE_WEIGHT)


def edit_distance(found: str, truth: str) -> int:
    """Fewest insertions, deletions and substitutions between two texts (Levenshtein 1966)."""
    row = list(range(len(truth) + 1))
    for i, character in enumerate(found, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(truth, start=1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, diagonal + (character != other))
            diagonal, row[j] = row[j], cheapest
    return row[-1]
