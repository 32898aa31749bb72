"""Random batches and small configs shared by the tests of the networks."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import pytest
import torch

from model.config import PAD_ID, InputDims, ModelConfig, encode
from model.data import Batch


def _padded(sequences: Sequence[torch.Tensor], n_dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded with loud noise, so that a leak of padding shows."""
    n_steps = max(1, *(len(sequence) for sequence in sequences))
    padded = 100 * torch.randn(len(sequences), n_steps, n_dims, dtype=torch.float64)
    mask = torch.zeros(len(sequences), n_steps, dtype=torch.bool)
    for i, sequence in enumerate(sequences):
        padded[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = True
    return padded, mask


def _batch(
    dims: InputDims,
    n_audio: Sequence[int],
    n_video: Sequence[int],
    n_text: Sequence[int],
    texts: Sequence[str] = (),
    seed: int = 0,
) -> Batch:
    """A float64 batch of utterances of the given lengths; 0 means an absent modality."""
    torch.manual_seed(seed)
    fields_: dict[str, torch.Tensor] = {}
    for name, lengths in (("audio", n_audio), ("video", n_video), ("text", n_text)):
        width = getattr(dims, name)
        sequences = [torch.randn(n, width, dtype=torch.float64) for n in lengths]
        fields_[name], fields_[f"{name}_mask"] = _padded(sequences, width)
    ids = [torch.tensor(encode(text)) for text in texts or ["hi there"] * len(n_audio)]
    return Batch(
        ids=tuple(f"u{i}" for i in range(len(n_audio))),
        **fields_,
        characters=torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD_ID),
        speakers=torch.arange(len(n_audio)),
        labels=torch.randint(0, 2, (len(n_audio), 6)).double(),
    )


def _alone(batch: Batch, i: int) -> Batch:
    """Utterance ``i`` in a batch of its own, without padding."""
    values: dict = {"ids": (batch.ids[i],)}
    for name in ("audio", "video", "text"):
        n = max(1, int(getattr(batch, f"{name}_mask")[i].sum()))
        for field in (name, f"{name}_mask"):
            values[field] = getattr(batch, field)[i : i + 1, :n]
    n_characters = int((batch.characters[i] != PAD_ID).sum())
    values["characters"] = batch.characters[i : i + 1, :n_characters]
    values["speakers"], values["labels"] = batch.speakers[i : i + 1], batch.labels[i : i + 1]
    return Batch(**values)


@pytest.fixture(scope="session")
def dims() -> InputDims:
    return InputDims(audio=7, video=11, text=5)


@pytest.fixture(scope="session")
def tiny() -> ModelConfig:
    return ModelConfig(
        d_model=8,
        n_heads=2,
        n_audio_layers=2,
        n_crossmodal_layers=2,
        n_decoder_layers=2,
        d_ff=6,
        gru_size=4,
        late_fusion_hidden=3,
    )


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """(dims, n_audio, n_video, n_text, texts=(), seed=0) -> Batch in float64, noise as padding."""
    return _batch


@pytest.fixture(scope="session")
def alone() -> Callable[[Batch, int], Batch]:
    """(batch, i) -> a batch of utterance i alone."""
    return _alone


@pytest.fixture(scope="session")
def in_float32() -> Callable[[Batch], Batch]:
    """(batch) -> the batch as the loader gives it."""

    def cast(batch: Batch) -> Batch:
        values = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "ids"}
        return replace(
            batch, **{k: v.float() if v.is_floating_point() else v for k, v in values.items()}
        )

    return cast
