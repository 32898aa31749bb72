"""Embeddings of one utterance, from arrays; and the example of docs/model.md."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import model
from featurize.errors import ModelError, UsageError
from model import checkpoint
from model.build import build_downstream, build_multitask
from model.config import InputDims, ModelConfig
from model.embedding import embed_utterance, weights_for
from model.store import stack_frames

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"d_model": 16, "n_heads": 2, "n_audio_layers": 1, "n_crossmodal_layers": 1, "d_ff": 8}
DIMS = InputDims(audio=20, video=6, text=4)


def random_network(**settings):
    torch.manual_seed(0)
    network = build_multitask(ModelConfig(**SMALL, **settings), DIMS, 3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def random_arrays(n_frames=23):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_frames, 4)), rng.normal(size=(3, 6)), rng.normal(size=(5, 4))


def test_frames_are_stacked_as_in_training():
    network, (audio, video, text) = random_network(), random_arrays()
    found = embed_utterance(network, audio, video, text)
    assert found.shape == (5, 16) and found.dtype == np.float32
    stacked = np.concatenate([audio, np.repeat(audio[-1:], 2, axis=0)]).reshape(5, 20)
    assert np.array_equal(embed_utterance(network, stacked, video, text), found)
    assert np.array_equal(
        embed_utterance(network, audio.astype(np.float16), video, text).shape, (5, 16)
    )


def test_each_device_gives_the_same(device):
    expected = embed_utterance(random_network(), *random_arrays())
    found = embed_utterance(random_network().to(device), *random_arrays())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_missing_adds_nothing():
    network, (audio, video, text) = random_network(), random_arrays()
    alone = embed_utterance(network, audio)
    assert np.array_equal(embed_utterance(network, audio, video[:0], text[:0]), alone)
    network.modality_weights = (0.4, 0.0, 0.0)
    assert np.array_equal(embed_utterance(network, audio, video, text), alone)


def test_audio_is_normalised_as_in_training():
    audio, video, text = random_arrays()
    plain, normalised = random_network(), random_network(cmvn="utterance")
    by_hand = (audio - audio.mean(axis=0)) / audio.std(axis=0)
    np.testing.assert_allclose(
        embed_utterance(normalised, 3 * audio + 2, video, text),
        embed_utterance(plain, stack_frames(by_hand, 5), video, text),
        atol=1e-4,
    )
    with pytest.raises(UsageError, match="cmvn .speaker.*trimodal embed"):
        embed_utterance(random_network(cmvn="speaker"), audio)


def test_bad_requests_are_one_clear_error():
    network, (audio, _, text) = random_network(), random_arrays()
    late = build_downstream("late-fusion", ModelConfig(**SMALL), DIMS)
    bad = [
        (lambda: embed_utterance(network, audio[:, :3]), r"audio is \(23, 3\): .* stack to 20"),
        (lambda: embed_utterance(network, audio[:0]), "audio is"),
        (lambda: embed_utterance(network, audio, video=text), r"video is \(5, 4\)"),
        (lambda: embed_utterance(network, audio, text=text[0]), r"text is \(4,\)"),
        (lambda: embed_utterance(late, audio), "late fusion has no encoder"),
        (lambda: weights_for(network, ["smell"]), "choose of audio, video, text"),
        (lambda: weights_for(network, []), "choose of"),
    ]
    for request, message in bad:
        with pytest.raises(UsageError, match=message):
            request()
    network.modality_weights = (0.5, 0.5, 0.0)
    with pytest.raises(UsageError, match="trained with text at weight 0"):
        weights_for(network, ["text"])


def save_run(folder: Path, network: torch.nn.Module, kind: str, dims: InputDims) -> None:
    folder.mkdir(parents=True)
    settings = {
        "kind": kind,
        "task": "emotion",
        "model": SMALL,
        "dims": vars(dims),
        "n_speakers": 3,
    }
    checkpoint.write_json(folder / checkpoint.CONFIG, settings)
    checkpoint.save_weights(folder / checkpoint.BEST, network)


def test_a_fine_tuned_run_loads_as_its_best_seed(tmp_path: Path):
    networks = [build_downstream("crossmodal", ModelConfig(**SMALL), DIMS) for _ in range(3)]
    for seed, (network, score) in enumerate(zip(networks, (0.6, 0.8, None), strict=True)):
        folder = tmp_path / f"seed-{seed:02d}"
        save_run(folder, network, "crossmodal", DIMS)
        if score:
            line = {"dev_wa": score, "dev_f1": score}
            checkpoint.write_json(folder / checkpoint.DONE, {"best": line})
    checkpoint.write_json(tmp_path / "run.json", {"seeds": [0, 1, 2]})
    loaded = model.load(str(tmp_path))
    assert not loaded.training
    assert loaded.head.output.weight.equal(networks[1].head.output.weight)
    one = model.load(tmp_path / "seed-02")
    assert one.head.output.weight.equal(networks[2].head.output.weight)
    for path in tmp_path.glob("seed-*/done.json"):
        path.unlink()
    with pytest.raises(ModelError, match="no seed is finished"):
        model.load(tmp_path)


def test_nothing_is_unpickled(tmp_path: Path):
    """A pickle in place of the weights is refused; the checkpoint beside them is not opened."""
    network = build_multitask(ModelConfig(**SMALL), DIMS, 3)
    save_run(tmp_path / "run", network, "multitask", DIMS)
    (tmp_path / "run" / checkpoint.CHECKPOINT).write_bytes(b"no checkpoint")
    assert model.load(tmp_path / "run").speaker.output.weight.equal(network.speaker.output.weight)
    torch.save(network.state_dict(), tmp_path / "run" / checkpoint.BEST)
    with pytest.raises(ModelError, match="damaged"):
        model.load(tmp_path / "run")


def test_the_example_of_the_docs_runs(tmp_path: Path):
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    network = build_multitask(ModelConfig(**SMALL), InputDims(), 3)
    save_run(tmp_path / "runs" / "pretrained", network, "multitask", InputDims())
    code = example + "\nassert embeddings.shape == (160, 16), embeddings.shape\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_importing_model_does_not_wait_for_torch():
    code = "import model, sys; sys.exit('torch' in sys.modules or 'h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
