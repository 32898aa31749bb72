"""Beam search over characters: several texts are kept as they grow, the likeliest wins.

A finished text keeps its place and competes with those that still grow, all by their
log-probability over a penalty of length, ((5 + n) / 6) ** alpha for n characters, <eos> included
(Wu et al. 2016, equation 14; Vaswani et al. 2017 use it with 4 texts and alpha 0.6). A beam of one
is greedy decoding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.attention import KeysValues, attendable
from model.config import EOS_ID, PAD_ID, SOS_ID
from model.heads import CharacterDecoder


@torch.no_grad()
def beam_decode(
    decoder: CharacterDecoder,
    embeddings: Tensor,
    mask: Tensor,
    max_characters: int,
    beam_size: int,
    length_penalty: float,
) -> Tensor:
    """The best text of each row: ids (B, at most max_characters), as ``greedy_decode`` gives them.

    ``embeddings`` (B, T, D) and ``mask`` (B, T) come from the encoder. K texts a row are kept, in
    tensors (B, K) and (B, K, characters), and rows of B * K where the decoder sees them.
    """
    n_rows = len(mask)
    encoded = [_repeat(pair, beam_size) for pair in decoder.encoded(embeddings)]
    wide_mask = attendable(mask).repeat_interleave(beam_size, dim=0)
    past: list[KeysValues | None] = [None] * len(decoder.layers)
    texts = torch.full((n_rows, beam_size, 1), SOS_ID, device=mask.device)
    logp = torch.full((n_rows, beam_size), -torch.inf, device=mask.device)
    logp[:, 0] = 0.0  # all texts begin alike: the others are none
    lengths = torch.zeros_like(logp)
    ended = torch.zeros_like(logp, dtype=torch.bool)
    for position in range(max_characters):
        last = texts[:, :, -1].reshape(-1, 1)
        logits, past = decoder.advance(last, position, encoded, wide_mask, past)
        steps = logits[:, -1].float().log_softmax(dim=-1).unflatten(0, (n_rows, beam_size))
        steps = _frozen(steps, ended)
        grown = (logp[..., None] + steps).flatten(1)  # (B, K * characters)
        lengths = lengths + ~ended
        penalty = _penalty(lengths, length_penalty)[..., None].expand_as(steps).flatten(1)
        chosen = (grown / penalty).topk(beam_size, dim=1).indices  # best first
        parents, characters = chosen // steps.shape[-1], chosen % steps.shape[-1]
        logp = grown.gather(1, chosen)
        lengths, ended = lengths.gather(1, parents), ended.gather(1, parents)
        kept = texts.gather(1, parents[..., None].expand_as(texts))
        texts = torch.cat([kept, characters[..., None]], dim=2)
        ended = ended | (characters == EOS_ID)
        if _is_decided(logp, lengths, ended, max_characters, length_penalty):
            break
        places = torch.arange(n_rows, device=mask.device)[:, None] * beam_size + parents
        past = [_select(pair, places.flatten()) for pair in past]
    return texts[:, 0, 1:]


def _penalty(lengths: Tensor | float, alpha: float) -> Tensor:
    return ((5 + torch.as_tensor(lengths)) / 6) ** alpha


def _frozen(steps: Tensor, ended: Tensor) -> Tensor:
    """A text that has ended goes on with <pad> alone, which costs nothing."""
    only_pad = torch.full_like(steps[0, 0], -torch.inf)
    only_pad[PAD_ID] = 0.0
    return torch.where(ended[..., None], only_pad, steps)


def _is_decided(
    logp: Tensor, lengths: Tensor, ended: Tensor, max_characters: int, alpha: float
) -> bool:
    """Whether in every row the best text has ended and none that grows can overtake it.

    A text only loses probability as it grows, and the penalty is greatest at the greatest length.
    """
    bound = (logp / _penalty(float(max_characters), alpha)).masked_fill(ended, -torch.inf)
    best = logp[:, 0] / _penalty(lengths[:, 0], alpha)  # the beam is sorted
    return bool((ended[:, 0] & (best >= bound.amax(dim=1))).all())


def _repeat(pair: KeysValues, n: int) -> KeysValues:
    return pair[0].repeat_interleave(n, dim=0), pair[1].repeat_interleave(n, dim=0)


def _select(pair: KeysValues | None, places: Tensor) -> KeysValues | None:
    return None if pair is None else (pair[0][places], pair[1][places])
