"""Embeddings by a trained network: of a batch, or of the arrays of one utterance."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from featurize.cmvn import apply_cmvn, cmvn_statistics
from featurize.errors import UsageError
from model.config import EMOTIONS, MODALITIES, ModalityWeights, encode
from model.data import FRAMES_PER_BATCH, Batch, Loader, Rows
from model.encoder import Encoder
from model.heads import UNKNOWN_SPEAKER
from model.store import FeatureStore, stack_frames


def encoder_of(network: nn.Module) -> Encoder:
    """The network's encoder. Raises UsageError where it has none."""
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise UsageError(
            "late fusion has no encoder, so no embeddings; take a pretraining run, or a "
            "cross-modal one"
        )
    return encoder


def weights_for(network: nn.Module, modalities: Collection[str]) -> ModalityWeights:
    """The network's weights of audio, video and text, 0 for those that are not chosen.

    The others stay as they are (the paper's section 5.3). Audio that is not chosen is still read:
    video and text come in its time, as answers to its queries.

    Raises:
        UsageError: unknown or repeated modalities, or none of a weight above 0.
    """
    encoder_of(network)
    if not modalities or not set(modalities) <= set(MODALITIES):
        raise UsageError(f"modalities {','.join(modalities)!r}: choose of {', '.join(MODALITIES)}")
    audio, video, text = (
        float(weight) if modality in modalities else 0.0
        for modality, weight in zip(MODALITIES, network.modality_weights, strict=True)  # type: ignore
    )
    if audio + video + text == 0:
        raise UsageError(f"the network was trained with {', '.join(modalities)} at weight 0")
    return audio, video, text


@torch.no_grad()
def embed_rows(
    network: nn.Module,
    store: FeatureStore,
    rows: Rows,
    weights: ModalityWeights,
    device: torch.device | str,
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of some rows of a store on the device, shortest first, and embeddings (B, T, D)."""
    encoder = encoder_of(network)
    if len(rows):
        for batch in Loader(store, rows, FRAMES_PER_BATCH, speakers={}).in_order():
            moved = batch.to(device)
            yield moved, encoder(moved, weights)


def embed_utterance(
    network: nn.Module,
    audio: np.ndarray,
    video: np.ndarray | None = None,
    text: np.ndarray | None = None,
) -> np.ndarray:
    """Embeddings (T, D) of one utterance, float32: one for each stack of audio frames.

    ``audio`` is (n, 40) LFBE, stacked here, or (T, 200) as stacked before; ``video`` (F, 4096) and
    ``text`` (W, 300) may be missing, and then add nothing. The network is as ``model.load`` gives
    it: in evaluation mode.

    Raises:
        UsageError: arrays of another width than the network was trained on, no audio, or audio
            that has to be normalised over more than this utterance.
    """
    encoder = encoder_of(network)
    arrays = {"audio": _stacked(encoder, np.asarray(audio)), "video": video, "text": text}
    batch = _batch_of_one(encoder, arrays)
    device = next(encoder.parameters()).device
    with torch.no_grad():
        embeddings = encoder(batch.to(device), weights_for(network, MODALITIES))
    return embeddings[0].float().cpu().numpy()


def _width(encoder: Encoder, modality: str) -> int:
    return encoder.inputs[modality].mean.numel()  # type: ignore[union-attr,operator]


def _stacked(encoder: Encoder, audio: np.ndarray) -> np.ndarray:
    """(T, 200), normalised as the network is used to."""
    width = _width(encoder, "audio")
    if audio.ndim != 2 or not len(audio) or width % audio.shape[1]:
        raise UsageError(f"audio is {audio.shape}: the network takes frames that stack to {width}")
    cmvn = encoder.inputs.cmvn
    if cmvn in ("speaker", "global"):
        raise UsageError(
            f'the network takes audio normalised over more than an utterance (cmvn "{cmvn}"); '
            "use `trimodal embed` on a workspace"
        )
    if cmvn == "utterance":
        audio = apply_cmvn(audio, cmvn_statistics(audio))
    return stack_frames(audio, width // audio.shape[1])


def _batch_of_one(encoder: Encoder, arrays: dict[str, np.ndarray | None]) -> Batch:
    tensors: dict[str, Tensor] = {}
    for modality, array in arrays.items():
        width = _width(encoder, modality)
        is_there = array is not None and len(array) > 0
        rows = np.asarray(array) if is_there else np.zeros((1, width))
        if rows.ndim != 2 or rows.shape[1] != width:
            raise UsageError(f"{modality} is {rows.shape}: the network takes (n, {width})")
        tensors[modality] = torch.from_numpy(rows.astype(np.float32))[None]
        tensors[f"{modality}_mask"] = torch.full((1, len(rows)), is_there)
    return Batch(
        ids=("",),
        **tensors,
        characters=torch.tensor([encode("")]),
        speakers=torch.tensor([UNKNOWN_SPEAKER]),
        labels=torch.zeros(1, len(EMOTIONS)),
    )
