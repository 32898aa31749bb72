"""What stands on the encoder: character decoder, speaker and emotion heads, and their losses."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.attention import (
    Dropout,
    FeedForward,
    KeysValues,
    MultiHeadAttention,
    ResidualLayer,
    attendable,
    last_norm,
    linear,
    sinusoids,
)
from model.config import ALPHABET, EOS_ID, PAD_ID, SOS_ID, ModelConfig, TrainConfig
from model.data import Batch

UNKNOWN_SPEAKER = -1  # in a batch: a speaker that the training never saw


class DecoderLayer(ResidualLayer):
    """Causal self-attention, attention to the encoder, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d_model = config.d_model
        self.self_norm = nn.LayerNorm(d_model)
        self.self_attention = MultiHeadAttention(config)
        self.encoder_norm = nn.LayerNorm(d_model)
        self.encoder_attention = MultiHeadAttention(config)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, encoded: KeysValues, encoded_mask: Tensor, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """(B, C, D) -> (B, C, D), and the keys and values of all characters up to here.

        ``past`` None: ``x`` is a text from its beginning. Else ``x`` is the one character (C = 1)
        that follows those whose keys and values ``past`` holds.
        """
        queries = self.before(self.self_norm, x)
        seen = self.self_attention.keys_values(queries)
        if past is not None:
            seen = (torch.cat([past[0], seen[0]], dim=2), torch.cat([past[1], seen[1]], dim=2))
        attended = self.self_attention.attend(queries, seen, causal=past is None)
        x = self.after(self.self_norm, x, attended)
        queries = self.before(self.encoder_norm, x)
        attended = self.encoder_attention.attend(queries, encoded, encoded_mask)
        x = self.after(self.encoder_norm, x, attended)
        change = self.feed_forward(self.before(self.feed_forward_norm, x))
        return self.after(self.feed_forward_norm, x, change), seen


class CharacterDecoder(nn.Module):
    """Transformer decoder from embeddings to characters (Vaswani et al. 2017).

    As there, characters are embedded times sqrt(D); unlike there, the output layer has weights of
    its own: with 31 characters there is nothing to save.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.has_positions = config.positions == "sinusoidal"
        self.characters = nn.Embedding(len(ALPHABET), config.d_model)
        nn.init.normal_(self.characters.weight, std=config.d_model**-0.5)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layers))
        self.norm = last_norm(config)
        self.output = linear(config.d_model, len(ALPHABET), config)

    def forward(self, characters: Tensor, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, C, len(ALPHABET)) of the character after each of ``characters`` (B, C).

        ``embeddings`` (B, T, D) and ``mask`` (B, T) come from the encoder.
        """
        logits, _ = self.advance(
            characters,
            0,
            self.encoded(embeddings),
            attendable(mask),
            [None] * len(self.layers),
        )
        return logits

    @torch.no_grad()
    def greedy_decode(self, embeddings: Tensor, mask: Tensor, max_characters: int) -> Tensor:
        """The likeliest next character again and again: ids (B, at most max_characters).

        No <sos>; <eos> where one was reached, and <pad> after it. Ends early when all have ended.
        """
        encoded, mask = self.encoded(embeddings), attendable(mask)
        past: list[KeysValues | None] = [None] * len(self.layers)
        last = torch.full((len(mask),), SOS_ID, device=mask.device)
        ended = torch.zeros_like(last, dtype=torch.bool)
        decoded: list[Tensor] = []
        while len(decoded) < max_characters and not ended.all():
            logits, past = self.advance(last[:, None], len(decoded), encoded, mask, past)
            last = logits[:, -1].argmax(dim=-1).masked_fill(ended, PAD_ID)
            ended = ended | (last == EOS_ID)
            decoded.append(last)
        return torch.stack(decoded, dim=1) if decoded else last.new_empty(len(last), 0)

    def encoded(self, embeddings: Tensor) -> list[KeysValues]:
        """Each layer's keys and values of ``embeddings`` (B, T, D), computed once a decoding."""
        attentions = [layer.encoder_attention for layer in self.layers]
        return [attention.keys_values(embeddings) for attention in attentions]  # type: ignore

    def advance(
        self,
        characters: Tensor,
        first: int,
        encoded: list[KeysValues],
        encoded_mask: Tensor,
        past: list[KeysValues | None],
    ) -> tuple[Tensor, list[KeysValues | None]]:
        """Logits of the characters (B, C) at positions ``first`` and on, and each layer's past."""
        x = self.characters(characters) * math.sqrt(self.d_model)
        if self.has_positions:
            x = x + sinusoids(x.shape[1], self.d_model, like=x, first=first)
        x = self.dropout(x)
        present: list[KeysValues | None] = []
        for layer, layer_encoded, layer_past in zip(self.layers, encoded, past, strict=True):
            x, seen = layer(x, layer_encoded, encoded_mask, layer_past)
            present.append(seen)
        return self.output(self.norm(x)), present


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean (B, D) over the valid steps of ``x`` (B, T, D); ``mask`` (B, T)."""
    n_valid = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return x.masked_fill(~mask[..., None], 0.0).sum(dim=1) / n_valid


class MeanHead(nn.Module):
    """Mean over time and an affine layer: the speaker head and that of a downstream task."""

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        self.output = linear(config.d_model, n_classes, config)

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, n_classes) of ``embeddings`` (B, T, D), ``mask`` (B, T)."""
        return self.output(masked_mean(embeddings, mask))


def speaker_head(config: ModelConfig, n_speakers: int) -> MeanHead:
    """The head of person identification (section 3)."""
    return MeanHead(config, n_speakers)


def downstream_head(config: ModelConfig, n_outputs: int) -> MeanHead:
    """The linear layer of emotion classification (section 4.1); the paper names no pooling."""
    return MeanHead(config, n_outputs)


class MultitaskOutputs(NamedTuple):
    """What the multitask model gives for a batch."""

    character_logits: Tensor  # (B, C - 1, len(ALPHABET)): of characters 1, 2, ... C - 1
    speaker_logits: Tensor  # (B, n_speakers)
    embeddings: Tensor  # (B, T, D)


def multitask_loss(
    outputs: MultitaskOutputs, batch: Batch, config: TrainConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the two losses (section 3), and {"asr", "speaker"}, unweighted.

    asr: cross entropy a character, label-smoothed, averaged over all characters of the batch but
    padding. speaker: cross entropy, averaged over the utterances of known speakers (not -1).
    """
    asr = F.cross_entropy(
        outputs.character_logits.flatten(0, 1),
        batch.characters[:, 1:].flatten(),
        ignore_index=PAD_ID,
        label_smoothing=config.label_smoothing,
    )
    n_known = (batch.speakers != UNKNOWN_SPEAKER).sum().clamp(min=1)
    speaker_sum = F.cross_entropy(
        outputs.speaker_logits, batch.speakers, ignore_index=UNKNOWN_SPEAKER, reduction="sum"
    )
    speaker = speaker_sum / n_known
    loss = config.asr_weight * asr + config.speaker_weight * speaker
    return loss, {"asr": asr, "speaker": speaker}


def emotion_loss(logits: Tensor, labels: Tensor, positive_weight: Tensor) -> Tensor:
    """Binary cross entropy averaged over utterances and emotions, the positives weighted.

    ``logits`` and ``labels`` (B, 6), labels 0 or 1; ``positive_weight`` (6,), say negatives over
    positives of the training fold, compensates the imbalance (section 4.1).
    """
    return F.binary_cross_entropy_with_logits(logits, labels, pos_weight=positive_weight)
