"""Every number of the networks and of their training, and the character alphabet.

What the paper (Khare et al., Interspeech 2020, sections 3 and 4.1) fixes is a default here. Where
it is silent, one choice is made and its source named in a comment.

Tensor shapes, wherever ``model`` writes them:

    B utterances in a batch    T stacked audio frames    F video frames    W words
    C characters               D width of the model      H attention heads
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from featurize.errors import TextError, UsageError
from featurize.precision import PRECISIONS

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
MODALITIES = ("audio", "video", "text")
# What CMU-MOSEI is fine-tuned for, and what a model of it puts out.
TASKS = {"emotion": EMOTIONS, "sentiment": ("sentiment",)}

PAD, SOS, EOS = "<pad>", "<sos>", "<eos>"
ALPHABET = (PAD, SOS, EOS, " ", "'", *"abcdefghijklmnopqrstuvwxyz")
PAD_ID, SOS_ID, EOS_ID = (ALPHABET.index(token) for token in (PAD, SOS, EOS))
_ID_OF = {character: i for i, character in enumerate(ALPHABET)}

MAX_LAYERS = 1000  # of one kind: building a million takes minutes before memory runs out
ModalityWeights = tuple[float, float, float]  # audio, video, text
# Over what the audio's mean and variance are taken off before frames are stacked.
CMVN = ("none", "utterance", "speaker", "global")
POSITIONS = ("sinusoidal", "none")
ACTIVATIONS = ("relu", "gelu")
INITIALISATIONS = ("xavier", "pytorch")
CROSSMODAL_QUERIES = ("input", "encoded")
# Settings that runs record only when they are not the default: there was no choice before.
_RECORDED_IF_CHOSEN = (
    "cmvn", "crossmodal_query", "norm_first", "positions", "scale_inputs", "activation",
    "initialisation", "attention_dropout", "learned_weights",
)  # fmt: skip


def encode(text: str) -> list[int]:
    """Character ids of ``text``, with <sos> before and <eos> after them.

    Raises TextError where the text holds a character outside a-z, apostrophe and space.
    """
    unknown = sorted(set(text) - set(_ID_OF))
    if unknown:
        raise TextError(
            f"transcript holds characters outside the alphabet: {unknown}; normalise it "
            "to a-z, apostrophe and space (run `trimodal extract WORK targets --redo`)"
        )
    return [SOS_ID, *(_ID_OF[character] for character in text), EOS_ID]


def decode(ids: list[int]) -> str:
    """The text up to the first <eos>, special tokens left out: the inverse of `encode`."""
    ended = ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids
    return "".join(ALPHABET[i] for i in ended if i not in (PAD_ID, SOS_ID))


@dataclass(frozen=True)
class InputDims:
    """Width of one step of each modality, as found in the shards (audio: after stacking)."""

    audio: int = 200  # 40 LFBE x 5 stacked frames
    video: int = 4096  # VGG-16, fully connected layer
    text: int = 300  # GloVe

    def __post_init__(self) -> None:
        for field in fields(self):
            width = getattr(self, field.name)
            if type(width) is not int or width < 1:
                raise UsageError(f"dims.{field.name} = {width!r}: must be a whole number above 0")


def _is_finite(number: float) -> bool:
    """As ``math.isfinite``, and false for an int that no float can hold."""
    return abs(number) <= sys.float_info.max


class _Settings:
    """Shared by the configs below: built from JSON or TOML, refused with the setting's name."""

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """Build from plain data, lists becoming tuples. Raises UsageError on an unknown name."""
        if not isinstance(settings, dict):
            raise UsageError(f"{cls.__name__} needs settings by name, not {settings!r:.40}")
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(settings) - known)
        if unknown:
            raise UsageError(f"{cls.__name__} has no setting {unknown}; it has {sorted(known)}")
        as_tuple = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        return cls(**as_tuple)

    def _require_types(self) -> None:
        """Each value has the type of its default; a number is finite, and an int will do for it."""
        for field in fields(self):  # type: ignore[arg-type]
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float:
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                self._require(is_number and _is_finite(value), field.name, "must be a number")
            else:
                self._require(type(value) is kind, field.name, f"must be of type {kind.__name__}")

    def _require(self, fits: bool, name: str, rule: str) -> None:
        if not fits:
            raise UsageError(f"{name} = {getattr(self, name)!r}: {rule}")

    def _require_at_least(self, minimum: float, *names: str) -> None:
        for name in names:
            self._require(getattr(self, name) >= minimum, name, f"must be at least {minimum}")

    def _require_between(self, minimum: int, maximum: int, *names: str) -> None:
        for name in names:
            fits = minimum <= getattr(self, name) <= maximum
            self._require(fits, name, f"must lie between {minimum} and {maximum}")

    def _require_share(self, *names: str) -> None:
        for name in names:
            self._require(0 <= getattr(self, name) < 1, name, "must lie in [0, 1)")


@dataclass(frozen=True)
class ModelConfig(_Settings):
    """Shape of the networks (the paper's section 4.1)."""

    d_model: int = 512
    n_heads: int = 4
    n_audio_layers: int = 4
    n_crossmodal_layers: int = 4
    n_decoder_layers: int = 2
    d_ff: int = 200
    n_stacked_frames: int = 5
    # Not in the paper. The network standardises its inputs with the training set's statistics,
    # which is as much as "global" does.
    cmvn: str = "none"
    # Weights of audio, video and text in the encoder's sum: section 3 and section 4.1.
    pretrain_weights: ModalityWeights = (0.4, 0.4, 0.2)
    finetune_weights: ModalityWeights = (1 / 3, 1 / 3, 1 / 3)
    # Fine-tuning trains the three weights too, from finetune_weights on: section 4.1 tried it and
    # kept equal ones. It does not say how; here they are a softmax (``model.build``).
    learned_weights: bool = False
    # Late fusion: "2-layer bidirectional-GRU model with 200 nodes", read as 200 a direction.
    gru_size: int = 200
    gru_layers: int = 2
    late_fusion_hidden: int = 100
    # From here on the paper is silent. "MulT" is the code of Tsai et al. 2019, its [18], and
    # Vaswani et al. 2017 its [24]; docs/model.md has the table.
    # What a cross-modal transformer starts from: the projected audio (MulT), or the audio encoder's
    # output (as in its [19], Paraskevopoulos et al. 2020).
    crossmodal_query: str = "input"
    # Layer norm before each sublayer and once after the last (MulT), or after each ([24]).
    norm_first: bool = True
    positions: str = "sinusoidal"  # [24], section 3.5, and MulT
    # Projected inputs times sqrt(d_model) before positions are added, as MulT does: it does not
    # standardise its inputs. Standardised ones come out about as large as the positions.
    scale_inputs: bool = False
    activation: str = "relu"  # [24], section 3.3, and MulT
    initialisation: str = "xavier"  # uniform, biases zero: MulT; or PyTorch's default for a layer
    # [24], section 5.4: on every sublayer's output and the sum of inputs and positions ...
    dropout: float = 0.1
    attention_dropout: float = 0.0  # ... and not on the attention weights

    def __post_init__(self) -> None:
        self._require_types()
        self._require_at_least(1, "d_model", "n_heads", "d_ff", "n_stacked_frames")
        self._require_at_least(1, "gru_size", "late_fusion_hidden")
        layers = ("n_audio_layers", "n_crossmodal_layers", "n_decoder_layers", "gru_layers")
        self._require_between(1, MAX_LAYERS, *layers)
        self._require_share("dropout", "attention_dropout")
        for name, choices in _CHOICES.items():
            self._require(getattr(self, name) in choices, name, f"must be one of {choices}")
        self._require(self.d_model % self.n_heads == 0, "d_model", "must be a multiple of n_heads")
        self._require(self.d_model % 2 == 0, "d_model", "must be even (sines and cosines)")
        for name in ("pretrain_weights", "finetune_weights"):
            weights = getattr(self, name)
            numbers = [w for w in weights if isinstance(w, int | float) and _is_finite(w)]
            fits = len(weights) == len(numbers) == 3 and min(numbers) >= 0 and sum(numbers) > 0
            self._require(fits, name, "must be three weights >= 0, not all 0: audio, video, text")
        if self.learned_weights:
            fits = min(self.finetune_weights) > 0
            self._require(fits, "finetune_weights", "must be above 0 for learned_weights")

    def described(self) -> dict[str, Any]:
        """As runs record it: choices that earlier runs did not have only where they were made."""
        default = asdict(ModelConfig())
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _RECORDED_IF_CHOSEN or value != default[name]
        }

    @property
    def encoder_settings(self) -> dict[str, Any]:
        """What decides the function that an encoder with given weights computes."""
        return {name: getattr(self, name) for name in _ENCODER_SETTINGS}


_CHOICES = {
    "cmvn": CMVN,
    "crossmodal_query": CROSSMODAL_QUERIES,
    "positions": POSITIONS,
    "activation": ACTIVATIONS,
    "initialisation": INITIALISATIONS,
}
_ENCODER_SETTINGS = (
    "d_model", "n_heads", "n_audio_layers", "n_crossmodal_layers", "d_ff", "n_stacked_frames",
    "cmvn", "crossmodal_query", "norm_first", "positions", "scale_inputs", "activation",
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig(_Settings):
    """Losses, schedule and stopping rule of one training run."""

    asr_weight: float = 0.8
    speaker_weight: float = 0.2
    # Optimiser and schedule "described in [24]", Vaswani et al. 2017, sections 5.3 and 5.4:
    # lr = lr_scale * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5).
    lr_scale: float = 1.0
    warmup_steps: int = 4000
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_eps: float = 1e-9
    label_smoothing: float = 0.1  # of the characters only
    # Not in the paper: Tsai et al., table 5, CMU-MOSEI.
    clip_norm: float = 1.0
    # Not in the paper: Vaswani et al.'s 25,000 tokens a batch, about 160 VoxCeleb2 utterances.
    frames_per_batch: int = 25_000  # stacked audio frames, padding included
    batches_per_step: int = 1  # in each process; their gradients are those of one joint batch
    max_epochs: int = 30
    patience: int = 5  # epochs without a better dev loss before stopping
    dev_fraction: float = 0.01  # pretraining: share held out by a hash of the id
    # Share of the training utterances that is used, drawn with its own seed (``data.subset``).
    train_fraction: float = 1.0
    fraction_seed: int = 0
    seed: int = 0
    # Of the products; weights, sums and losses stay in float32. "auto": bfloat16 where the device
    # has instructions for it; a run keeps what it was begun in.
    precision: str = "auto"
    compile: bool = False  # the transformers' layers, by torch.compile, in training
    # Of the dev utterances that are spelt out: Vaswani et al. 2017, section 6.1.
    beam_size: int = 4
    length_penalty: float = 0.6

    def __post_init__(self) -> None:
        self._require_types()
        self._require_at_least(0, "asr_weight", "speaker_weight", "seed", "length_penalty")
        self._require_at_least(0, "fraction_seed")
        self._require(0 < self.train_fraction <= 1, "train_fraction", "must lie in (0, 1]")
        self._require_at_least(1, "warmup_steps", "frames_per_batch", "max_epochs", "patience")
        self._require_at_least(1, "batches_per_step", "beam_size")
        self._require_share("adam_beta1", "adam_beta2", "label_smoothing", "dev_fraction")
        for name in ("lr_scale", "adam_eps", "clip_norm"):
            self._require(getattr(self, name) > 0, name, "must be above 0")
        self._require(self.precision in PRECISIONS, "precision", f"must be one of {PRECISIONS}")
