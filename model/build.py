"""Whole models: put together from a config, initialised from pretraining, or loaded from a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featurize.errors import ModelError, UsageError
from featurize.plain_json import parse_json
from model.checkpoint import BEST, CONFIG, DONE, load_weights, read_json
from model.config import TASKS, InputDims, ModalityWeights, ModelConfig
from model.data import Batch
from model.encoder import Encoder, Statistics
from model.heads import (
    CharacterDecoder,
    MeanHead,
    MultitaskOutputs,
    downstream_head,
    speaker_head,
)
from model.late_fusion import LateFusion
from model.run_state import dev_score

FINETUNED = "run.json"  # in the folder of a fine-tuned run, beside its seeds


class MultitaskModel(nn.Module):
    """Encoder with character decoder and speaker head, for pretraining."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: CharacterDecoder,
        speaker: MeanHead,
        modality_weights: ModalityWeights,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.speaker = encoder, decoder, speaker
        self.modality_weights = modality_weights

    def set_statistics(self, statistics: Statistics) -> None:
        """Set what inputs are standardised with: {"audio": (mean, std), ...}."""
        self.encoder.set_statistics(statistics)

    def forward(
        self, batch: Batch, modality_weights: ModalityWeights | None = None
    ) -> MultitaskOutputs:
        """Teacher-forced logits; ``modality_weights`` None: those of pretraining."""
        embeddings = self.encoder(batch, modality_weights or self.modality_weights)
        return MultitaskOutputs(
            self.decoder(batch.characters[:, :-1], embeddings, batch.audio_mask),
            self.speaker(embeddings, batch.audio_mask),
            embeddings,
        )


class LearnedWeights(nn.Module):
    """Weights of audio, video and text that are trained: the softmax of three numbers.

    Peters et al. 2018 (ELMo, equation 1) mix layers so. They stay above 0 and sum to 1, so that
    they compare with fixed ones. ``first`` is where they start.
    """

    def __init__(self, first: ModalityWeights) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(first).log())

    def forward(self) -> Tensor:
        """(3,)"""
        return self.logits.softmax(dim=0)


class DownstreamModel(nn.Module):
    """Encoder with a linear head, for fine-tuning on emotions or sentiment."""

    def __init__(self, encoder: Encoder, head: MeanHead, config: ModelConfig) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self._fixed = config.finetune_weights
        self.learned = LearnedWeights(self._fixed) if config.learned_weights else None

    @property
    def modality_weights(self) -> ModalityWeights:
        """Those of audio, video and text as they are now."""
        if self.learned is None:
            return self._fixed
        audio, video, text = self.learned().tolist()
        return audio, video, text

    def set_statistics(self, statistics: Statistics) -> None:
        """Set what inputs are standardised with: {"audio": (mean, std), ...}."""
        self.encoder.set_statistics(statistics)

    def forward(self, batch: Batch, modality_weights: ModalityWeights | None = None) -> Tensor:
        """Outputs (B, n_outputs); ``modality_weights`` None: those of fine-tuning."""
        own = self._fixed if self.learned is None else self.learned().unbind()
        embeddings = self.encoder(batch, modality_weights or own)
        return self.head(embeddings, batch.audio_mask)


def build_multitask(config: ModelConfig, dims: InputDims, n_speakers: int) -> MultitaskModel:
    """The pretraining model, randomly initialised."""
    return MultitaskModel(
        Encoder(config, dims),
        CharacterDecoder(config),
        speaker_head(config, n_speakers),
        config.pretrain_weights,
    )


def build_downstream(
    kind: str, config: ModelConfig, dims: InputDims, task: str = "emotion"
) -> DownstreamModel | LateFusion:
    """The model of ``kind`` "crossmodal" or "late-fusion" for a task, randomly initialised."""
    n_outputs = len(TASKS[task])
    if kind == "crossmodal":
        return DownstreamModel(Encoder(config, dims), downstream_head(config, n_outputs), config)
    if kind == "late-fusion":
        return LateFusion(config, dims, n_outputs)
    raise UsageError(f'model kind {kind!r}: choose "crossmodal" or "late-fusion"')


def initialise_from(downstream_model: nn.Module, pretraining_run: Path) -> None:
    """Load the encoder of ``pretraining_run``, its input statistics included, into the model.

    Raises UsageError for a model without an encoder, ModelError where the weights do not fit.
    """
    encoder = getattr(downstream_model, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise UsageError("late fusion has no encoder to initialise; leave out --init")
    prefix = "encoder."
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in load_weights(pretraining_run / BEST).items()
        if name.startswith(prefix)
    }
    _load(encoder, weights, pretraining_run)


def load_model(run_dir: Path, device: str = "cpu") -> nn.Module:
    """The trained model of a run, in evaluation mode.

    Raises ModelError where config.json or best.safetensors is missing or does not fit.
    """
    settings = _read_settings(run_dir)
    try:
        model = _build(settings)
    except (KeyError, TypeError, RuntimeError, MemoryError, OverflowError, UsageError) as error:
        reason = f"no setting {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{run_dir / CONFIG}: {reason}; train the run again") from error
    _load(model, load_weights(run_dir / BEST), run_dir)
    return model.to(device).eval()


def weights_folder(run: Path) -> Path:
    """The folder with weights that ``run`` stands for: itself, or the best of its seeds on dev.

    Best by the mean of WA and F1, as the paper chooses, or by the error in sentiment; the lower
    seed wins a tie.

    Raises ModelError when none of the seeds is finished.
    """
    if (run / CONFIG).is_file() or not (run / FINETUNED).is_file():
        return run
    finished = sorted(path.parent for path in run.glob(f"seed-*/{DONE}"))
    if not finished:
        raise ModelError(f"{run}: no seed is finished; let `trimodal finetune` end first")
    return max(finished, key=lambda folder: dev_score(read_json(folder / DONE).get("best", {})))


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Number of trained parameters by part ("encoder.transformer.audio", "decoder"), and "total".

    The encoder and other containers are split into what they hold, a transformer is not.
    """
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        depth = {"encoder": 3, "gru": 2}.get(name.split(".")[0], 1)
        counts[".".join(name.split(".")[:depth])] += parameter.numel()
    return {**counts, "total": sum(counts.values())}


def _build(settings: dict[str, Any]) -> nn.Module:
    config = ModelConfig.from_dict(settings["model"])
    dims = InputDims(**settings["dims"])
    if settings["kind"] == "multitask":
        n_speakers = settings["n_speakers"]
        if type(n_speakers) is not int or n_speakers < 1:
            raise UsageError(f"n_speakers = {n_speakers!r}: must be a whole number above 0")
        return build_multitask(config, dims, n_speakers)
    return build_downstream(settings["kind"], config, dims, settings["task"])


def _read_settings(run_dir: Path) -> dict[str, Any]:
    path = run_dir / CONFIG
    try:
        settings = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: {run_dir} is not a training run") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); train the run again") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} holds no settings; train the run again")
    return settings


def _load(module: nn.Module, weights: dict[str, Tensor], run_dir: Path) -> None:
    """Load weights that fit in every name and shape; else a ModelError that names the first few."""
    expected = module.state_dict()
    misfits = [
        f"{name} is {_shape(weights, name)} there and {_shape(expected, name)} here"
        for name in sorted(expected.keys() | weights.keys())
        if _shape(expected, name) != _shape(weights, name)
    ]
    if misfits:
        shown = "; ".join(misfits[:3]) + (f"; and {len(misfits) - 3} more" * (len(misfits) > 3))
        raise ModelError(
            f"{run_dir / BEST} does not fit: {shown}. "
            "Use the same model settings and feature dimensions as that run"
        )
    module.load_state_dict(weights)


def _shape(tensors: dict[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"
