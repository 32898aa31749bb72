import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ALPHABET, EOS_ID, PAD_ID, SOS_ID, TrainConfig
from model.heads import (
    CharacterDecoder,
    MeanHead,
    MultitaskOutputs,
    emotion_loss,
    masked_mean,
    multitask_loss,
)


def make_decoder(config, seed=0):
    """In float64 and evaluation mode, every parameter random."""
    torch.manual_seed(seed)
    decoder = CharacterDecoder(config).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return decoder


def make_embeddings(lengths, d_model):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randn(*mask.shape, d_model, dtype=torch.float64), mask


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    max_characters=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_greedy_decode_agrees_with_teacher_forcing(lengths, max_characters, seed, tiny):
    """Fed its own output, the decoder predicts that output at every step."""
    decoder = make_decoder(tiny, seed)
    embeddings, mask = make_embeddings(lengths, tiny.d_model)
    decoded = decoder.greedy_decode(embeddings, mask, max_characters)
    assert 1 <= decoded.shape[1] <= max_characters
    sos = torch.full((len(lengths), 1), SOS_ID)
    logits = decoder(torch.cat([sos, decoded[:, :-1]], dim=1), embeddings, mask)
    running = torch.cat([sos, decoded[:, :-1]], dim=1).ne(EOS_ID).cumprod(dim=1).bool()
    assert decoded[running].equal(logits.argmax(dim=-1)[running])
    assert (decoded[~running] == PAD_ID).all()


def test_greedy_decode_stops_at_eos(tiny):
    decoder = make_decoder(tiny)
    with torch.no_grad():
        decoder.output.bias[EOS_ID] = 1e6
    decoded = decoder.greedy_decode(*make_embeddings([3, 5], tiny.d_model), max_characters=50)
    assert decoded.tolist() == [[EOS_ID], [EOS_ID]]
    assert decoder.greedy_decode(*make_embeddings([3], tiny.d_model), 0).shape == (1, 0)


def test_decoder_sees_no_future_and_no_padding(tiny):
    decoder = make_decoder(tiny)
    embeddings, mask = make_embeddings([4, 7], tiny.d_model)
    characters = torch.randint(3, len(ALPHABET), (2, 9))
    logits = decoder(characters, embeddings, mask)
    changed = characters.clone()
    changed[:, 5:] = torch.randint(3, len(ALPHABET), (2, 4))
    changed_logits = decoder(changed, embeddings, mask)
    torch.testing.assert_close(changed_logits[:, :5], logits[:, :5], rtol=0, atol=1e-12)
    assert not changed_logits[:, 5:].equal(logits[:, 5:])
    alone = decoder(characters[:1, :6], embeddings[:1, :4], mask[:1, :4])
    torch.testing.assert_close(alone[0], logits[0, :6], rtol=0, atol=1e-10)


def test_mean_head_averages_valid_steps(tiny):
    torch.manual_seed(0)
    head = MeanHead(tiny, 3).double()
    embeddings, mask = make_embeddings([2, 5], 8)
    for i, n in enumerate([2, 5]):
        mean = embeddings[i, :n].sum(dim=0) / n
        expected = head.output.weight @ mean + head.output.bias
        torch.testing.assert_close(head(embeddings, mask)[i], expected)
    assert masked_mean(embeddings, torch.zeros_like(mask)).equal(torch.zeros(2, 8).double())


def log_softmax(logits):
    return [x - math.log(sum(math.exp(y) for y in logits)) for x in logits]


def smoothed_cross_entropy(logits, target, smoothing):
    """Against (1 - smoothing) of the target plus smoothing spread evenly over all classes."""
    logs = log_softmax(logits)
    return -(1 - smoothing) * logs[target] - smoothing * sum(logs) / len(logs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_multitask_loss_by_hand(smoothing, dims, make_batch):
    batch = make_batch(dims, [3, 4], [1, 1], [1, 1], texts=["hi", "it's"])
    batch = replace(batch, speakers=torch.tensor([2, 0]))
    logits = torch.randn(2, batch.characters.shape[1] - 1, len(ALPHABET), dtype=torch.float64)
    speaker_logits = torch.randn(2, 3, dtype=torch.float64)
    outputs = MultitaskOutputs(logits, speaker_logits, torch.empty(0))
    loss, parts = multitask_loss(outputs, batch, TrainConfig(label_smoothing=smoothing))
    targets = [batch.characters[i, 1 : 1 + n].tolist() for i, n in enumerate([3, 5])]
    asr = [
        smoothed_cross_entropy(logits[i, step].tolist(), target, smoothing)
        for i in range(2)
        for step, target in enumerate(targets[i])
    ]
    assert len(asr) == 8, "h i eos, i t ' s eos"
    speaker = -sum(log_softmax(speaker_logits[i].tolist())[s] for i, s in enumerate([2, 0])) / 2
    assert float(parts["asr"]) == pytest.approx(sum(asr) / 8, rel=1e-12)
    assert float(parts["speaker"]) == pytest.approx(speaker, rel=1e-12)
    assert float(loss) == pytest.approx(0.8 * sum(asr) / 8 + 0.2 * speaker, rel=1e-12)


def test_unknown_speakers_do_not_count(dims, make_batch):
    batch = make_batch(dims, [3, 4], [1, 1], [1, 1])
    logits = torch.zeros(2, batch.characters.shape[1] - 1, len(ALPHABET))
    outputs = MultitaskOutputs(logits, torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.empty(0))
    for speakers, expected in (([0, -1], math.log(1 + math.exp(-2))), ([-1, -1], 0.0)):
        known = replace(batch, speakers=torch.tensor(speakers))
        _, parts = multitask_loss(outputs, known, TrainConfig())
        assert float(parts["speaker"]) == pytest.approx(expected, rel=1e-6)


def test_emotion_loss_by_hand():
    torch.manual_seed(0)
    logits = torch.randn(4, 6, dtype=torch.float64)
    labels = torch.randint(0, 2, (4, 6)).double()
    weight = torch.rand(6, dtype=torch.float64) * 5
    total = 0.0
    for i in range(4):
        for j in range(6):
            p = 1 / (1 + math.exp(-logits[i, j]))
            y = float(labels[i, j])
            total -= float(weight[j]) * y * math.log(p) + (1 - y) * math.log(1 - p)
    assert float(emotion_loss(logits, labels, weight)) == pytest.approx(total / 24, rel=1e-12)
