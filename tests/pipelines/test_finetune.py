"""Fine-tuning on synthetic shards: from scratch, from pretraining, and late fusion."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from featurize.errors import StaleError, StoppedError, TrainError, UsageError
from model import checkpoint
from model.build import load_model
from model.data import Loader, labelled_fold
from model.predict import predict
from model.store import FeatureStore
from pipelines.finetune import finetune
from pipelines.pretrain import pretrain


@pytest.fixture(scope="module")
def pretrained(features, tiny_model, tiny_train, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "pretrained"
    train = replace(tiny_train, max_epochs=2)
    pretrain(features, run, model=tiny_model, train=train, device="cpu")
    return run


@pytest.mark.parametrize("kind", ["crossmodal", "late-fusion"])
def test_learns_a_planted_trace(kind, make_features, tiny_model, tiny_train, tmp_path) -> None:
    work, run = make_features(tmp_path / "work", n=160, n_per_shard=80), tmp_path / "run"
    train = replace(tiny_train, max_epochs=15, patience=15, frames_per_batch=200)
    summary = finetune(work, run, kind=kind, seeds=[3], model=tiny_model, train=train, device="cpu")
    best = summary["runs"][3]["best"]
    assert best["dev_wa"] > 0.85 and best["dev_f1"] > 0.85
    model = load_model(run / "seed-03")
    predictions = predict(model, work / "features", "test")
    assert predictions.scores.shape == predictions.labels.shape == (40, 6)
    assert predictions.scores.dtype == np.float32 and predictions.labels.dtype == bool
    assert ((predictions.scores > 0.5) == predictions.labels).mean() > 0.8
    ablated = predict(model, work / "features", "test", modality_weights=(1, 0, 0))
    assert ablated.ids == predictions.ids == sorted(predictions.ids, key=lambda i: i[-5:])
    assert ((ablated.scores > 0.5) == ablated.labels).mean() < 0.8


def test_one_run_a_seed_and_a_second_call_leaves_them(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    seen = []
    arguments = {"model": tiny_model, "train": replace(tiny_train, max_epochs=2), "device": "cpu"}

    def progress(epoch: int, n_epochs: int, line: dict) -> None:
        if not line.get("partial"):  # told every second, on a slow machine
            seen.append((line["seed"], epoch, n_epochs))

    made = finetune(features, tmp_path, seeds=[0, 5], **arguments, progress=progress)
    assert made["status"] == "made" and sorted(set(seen)) == seen
    assert seen[0] == (0, 1, 2) and seen[-1] == (5, 2, 2)
    described = json.loads((tmp_path / "run.json").read_text())
    assert described["kind"] == "crossmodal" and described["init"] is None
    assert described["seeds"] == [0, 5] and described["work"] == str(features.resolve())
    first, second = (
        checkpoint.load_weights(tmp_path / name / checkpoint.BEST)
        for name in ("seed-00", "seed-05")
    )
    assert not torch.equal(first["head.output.weight"], second["head.output.weight"])
    more = finetune(features, tmp_path, seeds=[0, 5, 6], **arguments)
    assert [run["status"] for run in more["runs"].values()] == ["unchanged", "unchanged", "made"]
    again = finetune(features, tmp_path, seeds=[0, 5, 6], **arguments)
    assert again["status"] == "unchanged" and again["runs"][0]["best"] == made["runs"][0]["best"]
    with pytest.raises(StaleError, match="kind is .crossmodal. there and .late-fusion. now"):
        finetune(features, tmp_path, kind="late-fusion", seeds=[0], **arguments)


def test_all_seeds_are_of_the_precision_that_one_was_begun_in(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    arguments = {"model": tiny_model, "device": "cpu"}
    for precision, seeds in (("bfloat16", [3]), ("auto", [0, 3])):
        train = replace(tiny_train, max_epochs=1, precision=precision)
        finetune(features, tmp_path, seeds=seeds, train=train, **arguments)
    settings = (checkpoint.read_json(path) for path in tmp_path.glob("seed-*/config.json"))
    assert [one["train"]["precision"] for one in settings] == ["bfloat16"] * 2


def test_a_seed_gives_the_same_weights_alone_or_after_another(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    arguments = {"model": tiny_model, "train": replace(tiny_train, max_epochs=2), "device": "cpu"}
    finetune(features, tmp_path / "two", seeds=[0, 1], **arguments)
    finetune(features, tmp_path / "one", seeds=[1], **arguments)
    two, one = (
        checkpoint.load_weights(tmp_path / name / "seed-01" / checkpoint.BEST)
        for name in ("two", "one")
    )
    assert all(torch.equal(two[name], one[name]) for name in one)


def test_starts_from_the_pretrained_encoder(
    pretrained, features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    train = replace(tiny_train, max_epochs=1, lr_scale=1e-12)  # so that nothing moves
    finetune(
        features, tmp_path, init=pretrained, seeds=[0], model=tiny_model, train=train, device="cpu"
    )
    before = checkpoint.load_weights(pretrained / checkpoint.BEST)
    after = checkpoint.load_weights(tmp_path / "seed-00" / checkpoint.BEST)
    shared = [name for name in after if name.startswith("encoder.")]
    assert shared
    for name in shared:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)
    settings = checkpoint.read_json(tmp_path / "seed-00" / checkpoint.CONFIG)
    done = checkpoint.read_json(pretrained / checkpoint.DONE)
    assert settings["init_fingerprint"] == done["fingerprint"]


def test_what_was_trained_on_normalised_audio_is_given_such(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    """The audio is the input's trace: other input, other scores."""
    train = replace(tiny_train, max_epochs=1)
    model = replace(tiny_model, cmvn="utterance")
    pretrain(features, tmp_path / "p", model=model, train=train, device="cpu")
    arguments = {"init": tmp_path / "p", "seeds": [0], "train": train, "device": "cpu"}
    with pytest.raises(UsageError, match="model.cmvn is utterance in the pretraining and none now"):
        finetune(features, tmp_path / "f", model=tiny_model, **arguments)
    finetune(features, tmp_path / "f", model=model, **arguments)
    network = load_model(tmp_path / "f" / "seed-00")
    assert network.encoder.inputs.cmvn == "utterance"
    scores = predict(network, features / "features", "test").scores
    store = FeatureStore(features / "features", n_stacked_frames=5, cmvn="utterance")
    batches = Loader(store, labelled_fold(store, "test"), 10_000, {}).in_order()
    expected = torch.cat([torch.sigmoid(network(batch)) for batch in batches])
    np.testing.assert_allclose(np.sort(scores, axis=0), np.sort(expected.detach(), axis=0), 1e-4)
    network.encoder.inputs.cmvn = "none"
    other = predict(network, features / "features", "test").scores
    assert np.abs(other - scores).max() > 1e-2


def test_bad_requests_are_one_clear_error(
    pretrained, features, make_features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    good = {"seeds": [0], "model": tiny_model, "train": tiny_train, "device": "cpu"}
    wide = replace(tiny_model, d_model=32)
    bad = [
        ({"init": pretrained, "model": wide}, UsageError, "model.d_model is 16 .* and 32 now"),
        (
            {"init": pretrained, "model": replace(tiny_model, norm_first=False)},
            UsageError,
            "model.norm_first is True .* and False now",
        ),
        ({"init": tmp_path}, UsageError, "no finished pretraining run"),
        ({"init": pretrained, "kind": "late-fusion"}, UsageError, "leave out --init"),
        ({"kind": "early-fusion"}, UsageError, "choose"),
        ({"task": "age"}, UsageError, "emotion, sentiment"),
        ({"seeds": []}, UsageError, "one or more"),
        ({"seeds": [1, 1]}, UsageError, "different"),
    ]
    for change, error, message in bad:
        with pytest.raises(error, match=message):
            finetune(features, tmp_path / "run", **{**good, **change})
    only_train = make_features(tmp_path / "small", n=2)
    with pytest.raises(TrainError, match="no labelled utterance in fold 'dev'"):
        finetune(only_train, tmp_path / "run", **good)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["crossmodal", "late-fusion"])
def test_learns_a_planted_sentiment(kind, make_features, tiny_model, tiny_train, tmp_path) -> None:
    work, run = make_features(tmp_path / "work", n=160, n_per_shard=80), tmp_path / "run"
    train = replace(tiny_train, max_epochs=20, patience=20, frames_per_batch=200)
    arguments = {"kind": kind, "task": "sentiment", "model": tiny_model, "train": train}
    summary = finetune(work, run, seeds=[0], device="cpu", **arguments)
    best = summary["runs"][0]["best"]
    assert best["dev_correlation"] > 0.7
    epochs = [json.loads(line) for line in (run / "seed-00" / "log.jsonl").read_text().splitlines()]
    assert best["dev_loss"] == min(line["dev_loss"] for line in epochs)
    found = predict(load_model(run / "seed-00"), work / "features", "test", task="sentiment")
    store = FeatureStore(work / "features", n_stacked_frames=5)
    truth = [store.sentiment[store.row(name)] for name in found.ids]
    assert found.labels[:, 0].tolist() == truth
    guessing = np.abs(found.labels - np.median(found.labels)).mean()  # the best constant
    assert np.abs(found.scores - found.labels).mean() < 0.8 * guessing


def test_all_layers_are_tuned(pretrained, features, tiny_model, tiny_train, tmp_path) -> None:
    model = replace(tiny_model, learned_weights=True)
    arguments = {"init": pretrained, "seeds": [0], "train": tiny_train, "device": "cpu"}
    finetune(features, tmp_path, model=model, **arguments)
    before = checkpoint.load_weights(pretrained / checkpoint.BEST)
    network = load_model(tmp_path / "seed-00")
    for name, tensor in network.named_parameters():
        if name.startswith("encoder."):
            assert not torch.equal(tensor, before[name]), name
    assert network.modality_weights != pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=1e-6)
    assert sum(network.modality_weights) == pytest.approx(1)


def test_stopped_in_the_middle_of_a_seed_it_goes_on_to_the_same_weights(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    """By a real signal, in the second epoch of the second of three seeds."""
    arguments = {"seeds": [0, 1, 2], "model": tiny_model, "device": "cpu"}
    arguments["train"] = replace(tiny_train, max_epochs=3)

    def stop(epoch: int, _: int, line: dict) -> None:
        if line["seed"] == 1 and epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    finetune(features, tmp_path / "unbroken", **arguments)
    with pytest.raises(StoppedError, match="run the same command again"):
        finetune(features, tmp_path / "stopped", **arguments, progress=stop)
    assert (tmp_path / "stopped" / "seed-00" / "done.json").is_file()
    assert not (tmp_path / "stopped" / "seed-01" / "done.json").exists()
    assert not (tmp_path / "stopped" / "seed-02").exists()
    summary = finetune(features, tmp_path / "stopped", **arguments)
    assert [run["status"] for run in summary["runs"].values()] == ["unchanged", "made", "made"]
    for seed in ("seed-00", "seed-01", "seed-02"):
        one, other = (
            checkpoint.load_weights(tmp_path / name / seed / checkpoint.BEST)
            for name in ("unbroken", "stopped")
        )
        assert all(torch.equal(one[name], other[name]) for name in one)
        config = checkpoint.read_json(tmp_path / "stopped" / seed / checkpoint.CONFIG)
        assert config["seed"] == config["train"]["seed"] == int(seed[-2:])


def test_few_labels_are_recorded_and_bound_to_the_run(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    train = replace(tiny_train, max_epochs=1, train_fraction=0.25)
    arguments = {"seeds": [0], "model": tiny_model, "device": "cpu"}
    summary = finetune(features, tmp_path, train=train, **arguments)
    assert (summary["n_train"], summary["n_dev"]) == (6, 12)
    config = checkpoint.read_json(tmp_path / "seed-00" / checkpoint.CONFIG)
    assert config["train"]["train_fraction"] == 0.25 and config["train"]["fraction_seed"] == 0
    assert config["fold_sizes"] == {"train": 6, "dev": 12}
    assert checkpoint.read_json(tmp_path / "run.json")["train_fraction"] == 0.25
    with pytest.raises(StaleError, match="fold_sizes.train is 6 there and 24 now"):
        finetune(features, tmp_path, train=replace(train, train_fraction=1.0), **arguments)


def test_refused_settings_leave_the_run_s_description(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    train = replace(tiny_train, max_epochs=1)
    arguments = {"seeds": [0], "model": tiny_model, "train": train, "device": "cpu"}
    finetune(features, tmp_path, **arguments)
    before = (tmp_path / "run.json").read_bytes()
    for other in ({"kind": "late-fusion"}, {"task": "sentiment"}):
        with pytest.raises(StaleError):
            finetune(features, tmp_path, **arguments, **other)
        assert (tmp_path / "run.json").read_bytes() == before


def test_the_command_s_options_are_those_of_the_run(exchanged, trimodal, tmp_path: Path) -> None:
    def run(name: str, *options: object) -> Result:
        usual = ("--n-seeds", 1, "--max-epochs", 1, "--preset", "demo", "--device", "cpu")
        return trimodal("finetune", exchanged.work, tmp_path / name, *options, *usual)

    few = ("--train-fraction", 0.5, "--fraction-seed", 3)
    result = run("fixed", "--weights", "0.4,0.4,0.2", *few, "--task", "sentiment")
    assert result.exit_code == 0, result.output
    config = checkpoint.read_json(tmp_path / "fixed" / "seed-00" / checkpoint.CONFIG)
    assert config["model"]["finetune_weights"] == [0.4, 0.4, 0.2]
    assert (config["task"], config["fold_sizes"]["train"]) == ("sentiment", 2)
    assert (config["train"]["train_fraction"], config["train"]["fraction_seed"]) == (0.5, 3)
    assert run("learned", "--weights", "learned").exit_code == 0
    assert load_model(tmp_path / "learned" / "seed-00").learned is not None
    for options, said in (
        (("--weights", "equal"), "three numbers, or learned"),
        (("--weights", "1,2"), "three weights"),
        (("--weights", "1,2,3", "--model", "late-fusion"), "leave out --weights"),
        (("--train-fraction", 0), "train-fraction"),
    ):
        result = run("bad", *options)
        assert result.exit_code == 2 and said in result.output, result.output
    assert not (tmp_path / "bad").exists()
