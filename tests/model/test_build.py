import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from featurize.errors import ModelError, UsageError
from model.build import (
    build_downstream,
    build_multitask,
    initialise_from,
    load_model,
    parameter_counts,
)
from model.config import InputDims, ModelConfig


def save_run(folder, model, kind, config, dims, n_speakers=None):
    """A run's folder as the trainer leaves it, as far as it is read here."""
    folder.mkdir()
    settings = {"kind": kind, "task": "emotion", "model": asdict(config), "dims": asdict(dims)}
    (folder / "config.json").write_text(json.dumps({**settings, "n_speakers": n_speakers}))
    save_file(model.state_dict(), folder / "best.safetensors")
    return folder


@pytest.fixture
def pretrained(tmp_path, tiny, dims):
    """(run folder, its model), with statistics set."""
    torch.manual_seed(1)
    model = build_multitask(tiny, dims, n_speakers=5).eval()
    model.set_statistics({"text": (torch.randn(dims.text), torch.rand(dims.text) + 1)})
    return save_run(tmp_path / "pretrain", model, "multitask", tiny, dims, 5), model


def test_parameter_counts_of_the_paper():
    """By hand, section 4.1: D 512, feed-forward 200, 31 characters, 5,994 speakers."""
    with torch.device("meta"):
        model = build_multitask(ModelConfig(), InputDims(), n_speakers=5994)
    attention = 4 * (512 * 512 + 512)
    feed_forward = (512 * 200 + 200) + (200 * 512 + 512)
    norm = 2 * 512
    transformer = 4 * (attention + feed_forward + 2 * norm) + norm
    decoder_layers = 2 * (2 * attention + feed_forward + 3 * norm) + norm
    expected = {
        "encoder.projection.audio": 200 * 512 + 512,
        "encoder.projection.video": 4096 * 512 + 512,
        "encoder.projection.text": 300 * 512 + 512,
        "encoder.transformer.audio": transformer,
        "encoder.transformer.video": transformer,
        "encoder.transformer.text": transformer,
        "decoder": 31 * 512 + decoder_layers + 512 * 31 + 31,
        "speaker": 512 * 5994 + 5994,
    }
    assert transformer == 5_033_760
    assert parameter_counts(model) == {**expected, "total": sum(expected.values())}
    assert sum(expected.values()) == 25_183_353
    with torch.device("meta"):
        post_norm = build_multitask(ModelConfig(norm_first=False), InputDims(), n_speakers=5994)
    # Layers that end with their norm have none after the last: three transformers, one decoder.
    assert parameter_counts(post_norm)["total"] == 25_183_353 - 4 * norm


def test_parameter_counts_of_the_papers_emotion_models():
    config, dims = ModelConfig(), InputDims()
    with torch.device("meta"):
        crossmodal = parameter_counts(build_downstream("crossmodal", config, dims))
        late_fusion = parameter_counts(build_downstream("late-fusion", config, dims))
    assert crossmodal["head"] == 512 * 6 + 6
    assert crossmodal["total"] == 17_455_968 + 3078

    def gru(n_inputs):
        # Three gates, two biases, two directions; the second layer reads both directions.
        return sum(2 * 3 * (200 * n + 200 * 200 + 2 * 200) for n in (n_inputs, 400))

    parts = {"gru.audio": gru(200), "gru.video": gru(4096), "gru.text": gru(300)}
    parts |= {"hidden": 3 * 400 * 100 + 100, "output": 100 * 6 + 6}
    assert late_fusion == {**parts, "total": sum(parts.values())}


def test_default_weights_are_set_at_build(tiny, dims, make_batch, in_float32):
    batch = in_float32(make_batch(dims, [3, 2], [2, 0], [1, 1]))
    config = replace(tiny, pretrain_weights=(0.5, 0.5, 0.0), finetune_weights=(1.0, 0.0, 0.0))
    multitask = build_multitask(config, dims, 5).eval()
    assert multitask(batch).embeddings.equal(multitask(batch, (0.5, 0.5, 0.0)).embeddings)
    emotion = build_downstream("crossmodal", config, dims).eval()
    assert emotion(batch).equal(emotion(batch, (1.0, 0.0, 0.0)))
    assert not emotion(batch).equal(emotion(batch, (1.0, 1.0, 1.0)))


def test_shapes_of_all_models(tiny, dims, make_batch, in_float32):
    batch = in_float32(make_batch(dims, [3, 4], [2, 0], [1, 1], texts=["hi", "you"]))
    outputs = build_multitask(tiny, dims, 5)(batch)
    assert outputs.character_logits.shape == (2, 4, 31)
    assert outputs.speaker_logits.shape == (2, 5)
    assert outputs.embeddings.shape == (2, 4, 8)
    for kind in ("crossmodal", "late-fusion"):
        assert build_downstream(kind, tiny, dims)(batch).shape == (2, 6)
    with pytest.raises(UsageError, match="early-fusion"):
        build_downstream("early-fusion", tiny, dims)


@pytest.mark.parametrize("kind", ["multitask", "crossmodal", "late-fusion"])
def test_a_saved_run_loads_to_the_same_outputs(kind, tmp_path, tiny, dims, make_batch, in_float32):
    torch.manual_seed(2)
    if kind == "multitask":
        model = build_multitask(tiny, dims, 5)
    else:
        model = build_downstream(kind, tiny, dims)
    model.set_statistics({"audio": (torch.randn(dims.audio), torch.rand(dims.audio) + 1)})
    loaded = load_model(save_run(tmp_path / "run", model.eval(), kind, tiny, dims, 5))
    assert not loaded.training
    batch = in_float32(make_batch(dims, [3, 4], [2, 0], [1, 1]))
    expected, found = model(batch), loaded(batch)
    if kind == "multitask":
        expected, found = torch.cat([*expected[1:2]]), torch.cat([*found[1:2]])
    assert found.equal(expected)


def test_initialise_from_takes_encoder_and_statistics_only(pretrained, tiny, dims):
    run, source = pretrained
    torch.manual_seed(3)
    model = build_downstream("crossmodal", tiny, dims)
    head_before = model.head.output.weight.clone()
    initialise_from(model, run)
    for name, tensor in source.encoder.state_dict().items():
        assert model.encoder.state_dict()[name].equal(tensor), name
    assert model.head.output.weight.equal(head_before)


def test_initialise_from_names_what_does_not_fit(pretrained, tiny, dims):
    run, _ = pretrained
    other_glove = build_downstream("crossmodal", tiny, replace(dims, text=6))
    with pytest.raises(ModelError, match=r"inputs\.text\.mean is \(5,\) there and \(6,\) here"):
        initialise_from(other_glove, run)
    deeper = build_downstream("crossmodal", replace(tiny, n_audio_layers=3), dims)
    with pytest.raises(ModelError, match=r"layers\.2\..* is absent there .*more"):
        initialise_from(deeper, run)
    with pytest.raises(UsageError, match="late fusion"):
        initialise_from(build_downstream("late-fusion", tiny, dims), run)


def test_a_misfit_leaves_the_model_as_it_was(pretrained, tiny, dims):
    run, _ = pretrained
    model = build_downstream("crossmodal", replace(tiny, n_audio_layers=3), dims)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ModelError):
        initialise_from(model, run)
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())


def test_damaged_runs_end_in_one_line(pretrained, tmp_path):
    run, _ = pretrained
    with pytest.raises(ModelError, match="not a training run"):
        load_model(tmp_path / "nowhere")
    settings = json.loads((run / "config.json").read_text())
    damaged = [
        ("config.json", "{", "not JSON"),
        ("config.json", "[]", "train the run again"),
        ("config.json", json.dumps({**settings, "kind": "rnn"}), "rnn"),
        ("config.json", json.dumps({k: v for k, v in settings.items() if k != "dims"}), "dims"),
        ("config.json", json.dumps({**settings, "model": {"d_mod": 1}}), "d_mod"),
        ("config.json", json.dumps({**settings, "dims": {"smell": 1}}), "smell"),
        ("config.json", json.dumps({**settings, "dims": {"audio": -1}}), "dims.audio = -1"),
        ("config.json", json.dumps({**settings, "n_speakers": -1}), "n_speakers = -1"),
        ("best.safetensors", "no tensors", "damaged"),
    ]
    for name, content, match in damaged:
        good = (run / name).read_bytes()
        (run / name).write_text(content)
        with pytest.raises(ModelError, match=match) as caught:
            load_model(run)
        assert "\n" not in str(caught.value)
        (run / name).write_bytes(good)
    (run / "best.safetensors").unlink()
    with pytest.raises(ModelError, match="missing"):
        load_model(run)


def test_learned_weights_start_as_the_fixed_ones_and_are_trained(
    tiny, dims, make_batch, in_float32, tmp_path
):
    batch = in_float32(make_batch(dims, [3, 2], [2, 2], [1, 1]))
    config = replace(tiny, finetune_weights=(0.4, 0.4, 0.2))
    torch.manual_seed(4)
    fixed = build_downstream("crossmodal", config, dims).eval()
    config = replace(config, learned_weights=True)
    torch.manual_seed(4)
    learned = build_downstream("crossmodal", config, dims).eval()
    torch.testing.assert_close(learned(batch), fixed(batch))
    assert learned.modality_weights == pytest.approx((0.4, 0.4, 0.2))
    assert parameter_counts(learned)["learned"] == 3
    # The gradient is that of a central difference of the loss in each of the three numbers.
    learned(batch).square().sum().backward()
    logits = learned.learned.logits
    for k, slope in enumerate(logits.grad.tolist()):
        ends = []
        for step in (-1e-2, 1e-2):
            with torch.no_grad():
                moved = logits.detach().clone()
                moved[k] += step
                ends.append(float(learned(batch, tuple(moved.softmax(0).tolist())).square().sum()))
        assert slope == pytest.approx((ends[1] - ends[0]) / 2e-2, rel=2e-2, abs=1e-3)
    with torch.no_grad():
        logits += torch.tensor([1.0, 0.0, 0.0])
    loaded = load_model(save_run(tmp_path / "run", learned, "crossmodal", config, dims))
    assert loaded.modality_weights == learned.modality_weights
    assert sum(loaded.modality_weights) == pytest.approx(1)
    assert loaded(batch).equal(learned(batch))
    assert not loaded(batch).equal(loaded(batch, (0.4, 0.4, 0.2)))


def test_a_model_of_sentiment_has_one_output(tiny, dims, make_batch, in_float32):
    batch = in_float32(make_batch(dims, [3, 4], [2, 0], [1, 1]))
    for kind in ("crossmodal", "late-fusion"):
        assert build_downstream(kind, tiny, dims, "sentiment")(batch).shape == (2, 1)
