"""What a run is trained for: the losses of a batch and the scores on dev.

``MultitaskTask`` is the paper's pretraining (characters and speaker), ``EmotionTask`` the
fine-tuning on six emotions; ``model.sentiment`` has the other downstream task.

A loss has parts, each the mean over so many things: characters, utterances. ``counts`` tells of how
many, so that the batches of a step, in one process or several, add up to the mean over all of them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featurize.errors import TrainError
from model.beam import beam_decode
from model.config import EMOTIONS, PAD_ID, TrainConfig, decode
from model.data import Batch, Loader
from model.heads import UNKNOWN_SPEAKER, emotion_loss, multitask_loss
from model.metrics import Metric, choose_threshold, weighted_accuracy, weighted_f1
from model.predict import Predictions, as_predictions, predict_batches
from model.run_state import dev_score
from model.world import World

# An emotion that one segment in a thousand shows must not make one segment outweigh all others.
MAX_POSITIVE_WEIGHT = 20.0


@dataclass
class MultitaskTask:
    """Characters and speaker. ``decoded`` holds the few dev utterances that are spelt out."""

    config: TrainConfig
    dev: Loader
    decoded: Loader
    world: World = field(default_factory=World)

    @property
    def weights(self) -> dict[str, float]:
        return {"asr": self.config.asr_weight, "speaker": self.config.speaker_weight}

    def counts(self, batch: Batch) -> dict[str, int]:
        """Characters to be told, <eos> among them, and utterances of known speakers."""
        return {
            "asr": int((batch.characters[:, 1:] != PAD_ID).sum()),
            "speaker": int((batch.speakers != UNKNOWN_SPEAKER).sum()),
        }

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return multitask_loss(model(batch), batch, self.config)[1]

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """dev_loss and its parts, dev_speaker_accuracy; dev_cer by greedy decoding and, with more
        than one text in the beam, dev_cer_beam."""
        sums = dict.fromkeys(("asr", "speaker", "n_asr", "n_speaker", "n_right", "n"), 0.0)
        for batch in self.dev.in_order():
            on_device = batch.to(device)
            outputs = model(on_device)
            _, parts = multitask_loss(outputs, on_device, self.config)
            for name, count in self.counts(batch).items():
                sums[name] += float(parts[name]) * count
                sums[f"n_{name}"] += count
            named = outputs.speaker_logits.argmax(dim=-1) == on_device.speakers
            sums["n_right"] += int(named.sum())
            sums["n"] += len(batch)
        sums = self.world.sum(sums)
        means = {name: sums[name] / max(1, sums[f"n_{name}"]) for name in self.weights}
        return {
            "dev_loss": sum(weight * means[name] for name, weight in self.weights.items()),
            **{f"dev_{name}": mean for name, mean in means.items()},
            "dev_speaker_accuracy": sums["n_right"] / sums["n"],
            **self._error_rates(model, device),
        }

    def score(self, line: dict[str, Any]) -> float:
        return -line["dev_loss"]

    def _error_rates(self, model: Any, device: torch.device) -> dict[str, float | None]:
        """Character errors per character of the transcripts; None when these are all empty."""
        config = self.config
        names = ["dev_cer"] + ["dev_cer_beam"] * (config.beam_size > 1)
        sums = dict.fromkeys([*names, "n"], 0.0)
        for batch in self.decoded.in_order():
            on_device = batch.to(device)
            embeddings = model.encoder(on_device, model.modality_weights)
            limit = 2 * batch.characters.shape[1]  # who stutters on needs no further proof
            seen = (embeddings, on_device.audio_mask, limit)
            truths = [decode(ids) for ids in batch.characters.tolist()]
            sums["n"] += sum(map(len, truths))
            sums["dev_cer"] += _n_errors(model.decoder.greedy_decode(*seen), truths)
            if config.beam_size > 1:
                best = beam_decode(model.decoder, *seen, config.beam_size, config.length_penalty)
                sums["dev_cer_beam"] += _n_errors(best, truths)
        sums = self.world.sum(sums)
        return {name: sums[name] / sums["n"] if sums["n"] else None for name in names}


@dataclass
class EmotionTask:
    """Six emotions, each present or not. ``positive_weight`` (6,) weighs the present ones."""

    dev: Loader
    positive_weight: Tensor
    world: World = field(default_factory=World)

    weights = {"emotion": 1.0}

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"emotion": len(batch)}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        self.positive_weight = self.positive_weight.to(batch.labels.device)  # copied once
        return {"emotion": emotion_loss(model(batch), batch.labels, self.positive_weight)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """dev_loss, and dev_wa and dev_f1: means over emotions at thresholds chosen on dev."""
        ids, logits, labels = outputs_on_dev(model, self.dev, self.world, device)
        loss = emotion_loss(logits, labels, self.positive_weight.cpu())
        predictions = as_predictions(ids, logits, labels)
        return {
            "dev_loss": float(loss),
            "dev_wa": best_mean(predictions, weighted_accuracy),
            "dev_f1": best_mean(predictions, weighted_f1),
        }

    def score(self, line: dict[str, Any]) -> float:
        return dev_score(line)


def outputs_on_dev(
    model: nn.Module, dev: Loader, world: World, device: torch.device
) -> tuple[list[str], Tensor, Tensor]:
    """Ids, outputs (n, K) and labels (n, K) of all of dev, in the order of the ids.

    Raises:
        TrainError: an output is not finite; names the utterances.
    """
    ids, outputs, labels = predict_batches(model, dev.in_order(), device)
    rows = list(zip(ids, outputs.tolist(), labels.tolist(), strict=True))
    everyone = sorted(row for part in world.gather(rows) for row in part)
    all_ids, all_outputs, all_labels = zip(*everyone, strict=True)
    found = torch.tensor(all_outputs)
    if not torch.isfinite(found).all():
        is_bad = ~torch.isfinite(found).all(dim=1)
        named = [name for name, bad in zip(all_ids, is_bad, strict=True) if bad]
        raise TrainError(f"scores on dev are not finite for {', '.join(named)}")
    return list(all_ids), found, torch.tensor(all_labels)


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


def _n_errors(decoded: Tensor, truths: list[str]) -> int:
    found = [decode(ids) for ids in decoded.tolist()]
    return sum(edit_distance(text, truth) for text, truth in zip(found, truths, strict=True))


def edit_distance(found: str, truth: str) -> int:
    """Fewest insertions, deletions and substitutions between two texts (Levenshtein 1966)."""
    row = list(range(len(truth) + 1))
    for i, character in enumerate(found, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(truth, start=1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, diagonal + (character != other))
            diagonal, row[j] = row[j], cheapest
    return row[-1]
