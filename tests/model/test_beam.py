"""Beam search against greedy decoding and against looking at every text there is."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import model.heads
from model.beam import beam_decode
from model.config import ALPHABET, EOS_ID, PAD_ID, SOS_ID
from model.heads import CharacterDecoder


def make_decoder(config, seed: int, spread: float = 0.6) -> CharacterDecoder:
    torch.manual_seed(seed)
    decoder = CharacterDecoder(config).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return decoder


def make_embeddings(lengths, d_model):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randn(*mask.shape, d_model, dtype=torch.float64), mask


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    max_characters=st.integers(1, 12),
    alpha=st.sampled_from([0.0, 0.6, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_a_beam_of_one_is_greedy(lengths, max_characters, alpha, seed, tiny) -> None:
    decoder = make_decoder(tiny, seed)
    with torch.no_grad():
        decoder.output.bias[EOS_ID] += 2  # so that some end and some do not
    seen = (*make_embeddings(lengths, tiny.d_model), max_characters)
    greedy = decoder.greedy_decode(*seen)
    assert beam_decode(decoder, *seen, 1, alpha).tolist() == greedy.tolist()


def every_text(n_characters: int, longest: int) -> list[tuple[int, ...]]:
    """All that end in <eos>, and all of the greatest length that do not."""
    others = [i for i in range(n_characters) if i != EOS_ID]
    ended = [
        (*text, EOS_ID) for n in range(longest) for text in itertools.product(others, repeat=n)
    ]
    return ended + list(itertools.product(others, repeat=longest))


@torch.no_grad()
def score(decoder, embeddings, mask, text: tuple[int, ...], alpha: float) -> float:
    """log P(text) by teacher forcing, over ((5 + n) / 6) ** alpha."""
    logits = decoder(torch.tensor([[SOS_ID, *text[:-1]]]), embeddings, mask)
    logp = logits[0].log_softmax(dim=-1)[torch.arange(len(text)), torch.tensor(text)].sum()
    return float(logp) / ((5 + len(text)) / 6) ** alpha


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_best_of_all_texts(seed, alpha, tiny, monkeypatch) -> None:
    """Four characters, texts of at most three: 3 + 9 + 1 that end, 27 that do not."""
    monkeypatch.setattr(model.heads, "ALPHABET", ALPHABET[:4])  # <pad>, <sos>, <eos>, space
    decoder = make_decoder(tiny, seed)
    embeddings, mask = make_embeddings([5, 2, 3], tiny.d_model)
    found = beam_decode(decoder, embeddings, mask, 3, 40, alpha)
    texts = every_text(4, 3)
    assert len(texts) == 40
    for row in range(3):
        one = embeddings[row : row + 1], mask[row : row + 1]
        best = max(texts, key=lambda text: score(decoder, *one, text, alpha))
        padded = [*best, *[PAD_ID] * (found.shape[1] - len(best))]
        assert found[row].tolist() == padded


def test_a_wider_beam_is_never_worse_here_and_a_row_does_not_depend_on_others(tiny) -> None:
    decoder = make_decoder(tiny, 3)
    embeddings, mask = make_embeddings([6, 1, 4], tiny.d_model)
    together = beam_decode(decoder, embeddings, mask, 9, 4, 0.6)
    for row, n in enumerate([6, 1, 4]):
        alone = embeddings[row : row + 1, :n], mask[row : row + 1, :n]
        found = beam_decode(decoder, *alone, 9, 4, 0.6)[0].tolist()
        padded = found + [PAD_ID] * (together.shape[1] - len(found))
        assert together[row].tolist() == padded
        greedy = tuple(decoder.greedy_decode(*alone, 9)[0].tolist())
        assert score(decoder, *alone, tuple(found), 0.6) >= score(decoder, *alone, greedy, 0.6)
