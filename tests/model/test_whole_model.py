"""The pretraining model against a plain reference, over random settings; and no leak of padding."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from model.build import build_downstream, build_multitask
from model.config import MODALITIES, SOS_ID, ModelConfig, TrainConfig
from model.heads import emotion_loss, multitask_loss

WEIGHTS = (0.5, 0.3, 0.2)
N_SPEAKERS = 4


def make_model(config, dims, seed=0):
    """In float64 and evaluation mode, every parameter random, the biases and norms too."""
    torch.manual_seed(seed)
    model = build_multitask(config, dims, N_SPEAKERS).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.set_statistics(
        {
            name: (torch.randn(n, dtype=torch.float64), torch.rand(n, dtype=torch.float64) + 0.5)
            for name, n in ((m, getattr(dims, m)) for m in MODALITIES)
        }
    )
    return model


class Reference:
    """The model for one utterance without padding, in NumPy, written out step by step."""

    def __init__(self, model, config):
        self.weights = {name: x.cpu().numpy() for name, x in model.state_dict().items()}
        self.config = config

    def affine(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        normed = np.empty_like(x)
        for i, step in enumerate(x):
            centred = step - step.mean()
            scaled = centred / np.sqrt((centred**2).mean() + 1e-5)
            normed[i] = scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return normed

    def before(self, x, name):
        return self.norm(x, name) if self.config.norm_first else x

    def after(self, x, name):
        return x if self.config.norm_first else self.norm(x, name)

    def activation(self, x):
        if self.config.activation == "relu":
            return np.maximum(x, 0)
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def attention(self, x, source, name, causal=False):
        """softmax(Q K^T / sqrt(d)) V, a head and a query at a time."""
        queries = self.affine(x, f"{name}.query")
        keys, values = np.split(self.affine(source, f"{name}.key_value"), 2, axis=1)
        d_head = self.config.d_model // self.config.n_heads
        heads = np.zeros_like(queries)
        for start in range(0, self.config.d_model, d_head):
            part = slice(start, start + d_head)
            for i, query in enumerate(queries):
                n_seen = i + 1 if causal else len(keys)
                scores = [key[part] @ query[part] / math.sqrt(d_head) for key in keys[:n_seen]]
                weights = np.exp(np.array(scores) - max(scores))
                heads[i, part] = weights / weights.sum() @ values[:n_seen, part]
        return self.affine(heads, f"{name}.output")

    def feed_forward(self, x, name):
        hidden = self.affine(self.before(x, f"{name}_norm"), f"{name}.0")
        return self.after(x + self.affine(self.activation(hidden), f"{name}.2"), f"{name}_norm")

    def transformer(self, x, source, name, n_layers):
        for i in range(n_layers):
            layer = f"{name}.layers.{i}"
            keys = self.before(x if source is None else source, f"{layer}.attention_norm")
            queries = self.before(x, f"{layer}.attention_norm")
            x = x + self.attention(queries, keys, f"{layer}.attention")
            x = self.after(x, f"{layer}.attention_norm")
            x = self.feed_forward(x, f"{layer}.feed_forward")
        return self.before(x, f"{name}.norm")

    def add_positions(self, x):
        x, half = x.copy(), self.config.d_model // 2
        for position in range(len(x)) if self.config.positions == "sinusoidal" else ():
            for i in range(half):
                angle = position / 10_000 ** (i / half)
                x[position, i] += math.sin(angle)
                x[position, half + i] += math.cos(angle)
        return x

    def embed(self, x, modality):
        mean, std = (self.weights[f"encoder.inputs.{modality}.{s}"] for s in ("mean", "std"))
        projected = self.affine((x - mean) / std, f"encoder.projection.{modality}")
        scale = math.sqrt(self.config.d_model) if self.config.scale_inputs else 1
        return self.add_positions(scale * projected)

    def encode(self, inputs, weights):
        """(T, D) of {modality: (n, width)}."""
        c = self.config
        queries = self.embed(inputs["audio"], "audio")
        encoded = self.transformer(queries, None, "encoder.transformer.audio", c.n_audio_layers)
        total = weights[0] * encoded
        if c.crossmodal_query == "encoded":
            queries = encoded
        for modality, weight in zip(("video", "text"), weights[1:], strict=True):
            if len(inputs[modality]):
                source, name = (
                    self.embed(inputs[modality], modality),
                    f"encoder.transformer.{modality}",
                )
                total = total + weight * self.transformer(
                    queries, source, name, c.n_crossmodal_layers
                )
        return total

    def decode(self, characters, embeddings):
        """Logits (C, 31) of the character after each."""
        table = self.weights["decoder.characters.weight"]
        x = self.add_positions(table[characters] * math.sqrt(self.config.d_model))
        for i in range(self.config.n_decoder_layers):
            layer = f"decoder.layers.{i}"
            queries = self.before(x, f"{layer}.self_norm")
            x = x + self.attention(queries, queries, f"{layer}.self_attention", causal=True)
            x = self.after(x, f"{layer}.self_norm")
            queries = self.before(x, f"{layer}.encoder_norm")
            x = x + self.attention(queries, embeddings, f"{layer}.encoder_attention")
            x = self.after(x, f"{layer}.encoder_norm")
            x = self.feed_forward(x, f"{layer}.feed_forward")
        return self.affine(self.before(x, "decoder.norm"), "decoder.output")

    def speaker(self, embeddings):
        return self.affine(embeddings.mean(axis=0), "speaker.output")


configs = st.builds(
    ModelConfig,
    d_model=st.sampled_from([4, 8, 12]),
    n_heads=st.sampled_from([1, 2, 4]),
    n_audio_layers=st.integers(1, 2),
    n_crossmodal_layers=st.integers(1, 2),
    n_decoder_layers=st.integers(1, 2),
    d_ff=st.integers(1, 7),
    norm_first=st.booleans(),
    positions=st.sampled_from(["sinusoidal", "none"]),
    scale_inputs=st.booleans(),
    activation=st.sampled_from(["relu", "gelu"]),
    crossmodal_query=st.sampled_from(["input", "encoded"]),
)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), config=configs, n=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_the_model_is_the_reference(data, config, n, seed, dims, make_batch, device):
    """Also a test of padding: the reference sees each utterance alone."""
    lengths = [
        data.draw(st.lists(st.integers(low, 7), min_size=n, max_size=n)) for low in (1, 0, 0)
    ]
    texts = ["hi", "it is", "so", "a b c"][:n]
    model, batch = make_model(config, dims, seed), make_batch(dims, *lengths, texts, seed=seed)
    with torch.no_grad():
        found = model.to(device)(batch.to(device), WEIGHTS)
    reference = Reference(model, config)
    for i in range(n):
        counts = dict(zip(MODALITIES, (column[i] for column in lengths), strict=True))
        inputs = {m: getattr(batch, m)[i, : counts[m]].numpy() for m in MODALITIES}
        embeddings = reference.encode(inputs, WEIGHTS)
        assert_near(found.embeddings[i, : counts["audio"]], embeddings)
        assert not found.embeddings[i, counts["audio"] :].any(), "padding is zero"
        read = batch.characters[i, : 1 + len(texts[i])].numpy()
        assert read[0] == SOS_ID
        assert_near(found.character_logits[i, : len(read)], reference.decode(read, embeddings))
        assert_near(found.speaker_logits[i], reference.speaker(embeddings))


def assert_near(found, expected):
    np.testing.assert_allclose(found.detach().cpu().numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("crossmodal_query", ["input", "encoded"])
def test_padding_never_leaks(norm_first, crossmodal_query, tiny, dims, make_batch, alone, device):
    """Each utterance of a batch has the outputs and the share in the loss that it has alone.

    Lengths are random; one utterance lacks video, one text, one both. What stands in the paddings,
    here no number, changes no output and no gradient.
    """
    config = replace(tiny, norm_first=norm_first, crossmodal_query=crossmodal_query)
    model, rng = make_model(config, dims).to(device), np.random.default_rng(0)
    texts = ["hi", "it is not so", "a b", "we", "padding"]
    lengths = [rng.integers(1, 30, 5).tolist(), [4, 0, 2, 0, 9], [0, 6, 1, 0, 3]]
    batch = spoilt(make_batch(dims, *lengths, texts), math.nan)
    batch = replace(batch, speakers=batch.speakers % N_SPEAKERS).to(device)
    together = model(batch)
    parts = [model(alone(batch, i)) for i in range(5)]
    for i, part in enumerate(parts):
        for name in ("character_logits", "speaker_logits", "embeddings"):
            mine, theirs = getattr(part, name)[0], getattr(together, name)[i]
            assert_near(theirs[: len(mine)], mine.detach().cpu().numpy())
    train, n_characters = TrainConfig(), [1 + len(text) for text in texts]
    loss, _ = multitask_loss(together, batch, train)
    found = torch.autograd.grad(loss, list(model.parameters()))
    apart = [multitask_loss(part, alone(batch, i), train)[1] for i, part in enumerate(parts)]
    asr = sum(n * float(one["asr"]) for n, one in zip(n_characters, apart, strict=True))
    speaker = sum(float(one["speaker"]) for one in apart) / 5
    expected = 0.8 * asr / sum(n_characters) + 0.2 * speaker
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    clean = model(
        replace(batch, **{m: torch.nan_to_num(getattr(batch, m), 7.0) for m in MODALITIES})
    )
    clean_loss, _ = multitask_loss(clean, batch, train)
    for one, other in zip(
        found, torch.autograd.grad(clean_loss, list(model.parameters())), strict=True
    ):
        assert one.isfinite().all() and one.equal(other)


def spoilt(batch, value):
    """The batch with ``value`` wherever a mask is False."""
    filled = {m: getattr(batch, m).clone() for m in MODALITIES}
    for modality, x in filled.items():
        x[~getattr(batch, f"{modality}_mask")] = value
    assert {field.name for field in fields(batch)} > filled.keys()
    return replace(batch, **filled)


def test_each_setting_changes_the_outputs(tiny, dims, make_batch):
    """None of them is dead: with the same weights another choice is another function."""
    batch = make_batch(dims, [5, 3], [2, 4], [3, 0])
    choices = {
        "norm_first": False, "positions": "none", "scale_inputs": True, "activation": "gelu",
        "crossmodal_query": "encoded",
    }  # fmt: skip
    usual = make_model(tiny, dims)
    for name, choice in choices.items():
        other = build_multitask(replace(tiny, **{name: choice}), dims, N_SPEAKERS).double().eval()
        other.load_state_dict(usual.state_dict(), strict=name != "norm_first")
        difference = (other(batch).embeddings - usual(batch).embeddings).abs().max()
        assert difference > 1e-3, name


@pytest.mark.parametrize("kind", ["multitask", "crossmodal"])
def test_nothing_is_left_on_the_cpu(kind, tiny, dims, make_batch, in_float32):
    """By tensors without content, which PyTorch takes for a GPU's and does not mix with others."""
    gpu = torch.device("cuda")
    with FakeTensorMode():
        with gpu:
            multitask = build_multitask(tiny, dims, N_SPEAKERS)
            downstream = build_downstream("crossmodal", tiny, dims)
        batch = in_float32(make_batch(dims, [5, 3], [2, 0], [3, 4]))
        on_gpu = batch.to(gpu)
        if kind == "multitask":
            outputs = multitask(on_gpu)
            found = multitask_loss(outputs, on_gpu, TrainConfig())[0]
        else:
            found = emotion_loss(downstream(on_gpu), on_gpu.labels, torch.ones(6, device=gpu))
        assert found.device.type == "cuda" and found.shape == ()
        with pytest.raises(Exception, match="cuda.*cpu|cpu.*cuda"):
            multitask(replace(on_gpu, text=batch.text))
