"""Pretraining on synthetic shards: what it writes, that it learns, and that it can be stopped."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from featurize.errors import StaleError, TrainError, UsageError
from model import checkpoint
from model.build import load_model
from pipelines.pretrain import pretrain


class Interruption(Exception):
    pass


def stop_after(n_epochs: int):
    def progress(epoch: int, _: int, line: dict) -> None:
        if epoch == n_epochs and "partial" not in line:
            raise Interruption

    return progress


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / checkpoint.LOG).read_text().splitlines()]


@pytest.fixture(scope="module")
def unbroken(features, tiny_model, tiny_train, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    summary = pretrain(features, run, model=tiny_model, train=tiny_train, device="cpu")
    assert summary["status"] == "made" and summary["n_speakers"] == 3
    assert summary["n_train"] + summary["n_dev"] == 48
    return run


def test_writes_a_run_that_loads(unbroken: Path, features, tiny_model, tiny_train) -> None:
    settings = checkpoint.read_json(unbroken / checkpoint.CONFIG)
    assert settings["kind"] == "multitask" and settings["speakers"][0] == "id00000"
    assert settings["dims"] == {"audio": 200, "video": 12, "text": 8}
    assert settings["train"] == asdict(tiny_train)
    lines = log(unbroken)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    wanted = {"step", "train_loss", "dev_loss", "lr", "seconds", "data_wait_share", "dev_cer"}
    assert wanted <= lines[0].keys() and 0 <= lines[-1]["dev_speaker_accuracy"] <= 1
    done = checkpoint.read_json(unbroken / checkpoint.DONE)
    best = min(lines, key=lambda line: line["dev_loss"])
    assert done["best_epoch"] == best["epoch"] and done["best"] == best
    assert not load_model(unbroken).training
    assert not list(unbroken.glob(".*"))


def test_learns_speaker_and_characters(
    features, tiny_model, tiny_train, tmp_path: Path, device
) -> None:
    """On a GPU as it would be used there: compiled, and in bfloat16 where it has that."""
    train = replace(tiny_train, max_epochs=12, patience=12)
    if device.type == "cuda":
        train = replace(train, compile=True, precision="auto")
    best = pretrain(features, tmp_path, model=tiny_model, train=train, device=device.type)["best"]
    lines = log(tmp_path)
    assert best["dev_loss"] < 0.5 * lines[0]["dev_loss"]
    assert best["dev_speaker_accuracy"] == 1.0
    # A speaker's transcript is always the same here, so the whole text can be learnt.
    assert best["dev_cer"] < 0.2


def test_stopped_between_epochs_ends_the_same(
    unbroken: Path, features, tiny_model, tiny_train, tmp_path: Path, same_run
) -> None:
    arguments = {"model": tiny_model, "train": tiny_train, "device": "cpu"}
    for n_epochs in (1, 3):
        with pytest.raises(Interruption):
            pretrain(features, tmp_path, **arguments, progress=stop_after(n_epochs))
        torch.rand(7)  # whatever else drew random numbers in between
    assert pretrain(features, tmp_path, **arguments)["status"] == "made"
    same_run(unbroken, tmp_path)


@pytest.mark.gpu
def test_stopped_on_a_gpu_it_goes_on(features, tiny_model, tiny_train, tmp_path, figures) -> None:
    """With the same batches and random numbers; sums on a GPU may differ in their last bits."""
    arguments = {"model": tiny_model, "train": tiny_train, "device": "cuda"}
    pretrain(features, tmp_path / "whole", **arguments)
    with pytest.raises(Interruption):
        pretrain(features, tmp_path / "broken", **arguments, progress=stop_after(2))
    torch.rand(7, device="cuda")
    pretrain(features, tmp_path / "broken", **arguments)
    whole, broken = figures(tmp_path / "whole"), figures(tmp_path / "broken")
    assert [line["epoch"] for line in broken] == [1, 2, 3, 4]
    for one, other in zip(whole, broken, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_a_finished_run_is_left_alone(unbroken: Path, features, tiny_model, tiny_train) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in unbroken.iterdir()}
    again = pretrain(features, unbroken, model=tiny_model, train=tiny_train, device="cpu")
    assert again["status"] == "unchanged" and again["best"]["dev_loss"] > 0
    assert before == {path.name: path.stat().st_mtime_ns for path in unbroken.iterdir()}


def test_other_settings_or_features_are_stale(
    unbroken: Path, features, make_features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    with pytest.raises(StaleError, match="train.lr_scale is 0.3 there and 1.0 now"):
        pretrain(features, unbroken, model=tiny_model, train=replace(tiny_train, lr_scale=1.0))
    other = make_features(tmp_path, n=40)
    with pytest.raises(StaleError, match="features_fingerprint|fold_sizes"):
        pretrain(other, unbroken, model=tiny_model, train=tiny_train)


@pytest.mark.parametrize("begun_in", ["float32", "bfloat16"])
def test_a_run_goes_on_in_the_precision_it_was_begun_in(
    begun_in: str, features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    """Whatever the processor of another machine would choose; only an explicit other is refused."""
    arguments = {"model": tiny_model, "device": "cpu"}
    first, auto = replace(tiny_train, precision=begun_in), replace(tiny_train, precision="auto")
    with pytest.raises(Interruption):
        pretrain(features, tmp_path, train=first, progress=stop_after(2), **arguments)
    assert pretrain(features, tmp_path, train=auto, **arguments)["status"] == "made"
    assert checkpoint.read_json(tmp_path / checkpoint.CONFIG)["train"]["precision"] == begun_in
    assert [line["epoch"] for line in log(tmp_path)] == [1, 2, 3, 4]
    (other,) = {"float32", "bfloat16"} - {begun_in}
    with pytest.raises(
        StaleError, match=f"train.precision is .{begun_in}. there and .{other}. now"
    ):
        pretrain(features, tmp_path, train=replace(first, precision=other), **arguments)


def test_auto_is_what_the_device_is_faster_in(
    features, tiny_model, tiny_train, tmp_path: Path, monkeypatch
) -> None:
    auto = replace(tiny_train, precision="auto", max_epochs=1)
    for abilities, expected in (({"avx512_bf16": True}, "bfloat16"), ({}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=abilities: found)
        pretrain(features, tmp_path, model=tiny_model, train=auto, device="cpu", redo=True)
        assert checkpoint.read_json(tmp_path / checkpoint.CONFIG)["train"]["precision"] == expected


def test_stops_without_progress(features, tiny_model, tiny_train, tmp_path: Path) -> None:
    train = replace(tiny_train, lr_scale=1e-9, max_epochs=50, patience=2)
    pretrain(features, tmp_path, model=tiny_model, train=train, device="cpu")
    done = checkpoint.read_json(tmp_path / checkpoint.DONE)
    assert done["n_epochs"] < 50 and done["n_epochs"] - done["best_epoch"] == 2


def test_bad_input_is_one_clear_error(tiny_model, tiny_train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TrainError, match="no features here; run `trimodal extract`"):
        pretrain(tmp_path, run, model=tiny_model, train=tiny_train)
    with pytest.raises(UsageError, match="device 'tpu'"):
        pretrain(tmp_path, run, model=tiny_model, train=tiny_train, device="tpu")
    assert not run.exists()


def test_unseen_speakers_are_held_out_whole(
    features, tiny_model, tiny_train, tmp_path: Path, monkeypatch
) -> None:
    """No utterance of theirs is trained on or in dev; they alone are spelt out."""
    rows: dict[str, set[str]] = {}

    def keep(run, network, task, loader, *_, **__):
        for name, part in (("train", loader), ("dev", task.dev), ("decoded", task.decoded)):
            rows[name] = {part.store.speakers[part.store.speaker[row]] for row in part.rows}
        raise Interruption

    monkeypatch.setattr("model.train.fit", keep)
    with pytest.raises(Interruption):
        pretrain(features, tmp_path, model=tiny_model, train=tiny_train, unseen=0.3, device="cpu")
    settings = checkpoint.read_json(tmp_path / checkpoint.CONFIG)
    (unseen,) = settings["unseen_speakers"]
    assert settings["n_speakers"] == 2 and unseen not in settings["speakers"]
    assert rows["decoded"] == {unseen}
    assert rows["train"] == rows["dev"] == set(settings["speakers"])


def test_a_run_with_unseen_speakers_scores_them(
    features, tiny_model, tiny_train, tmp_path: Path
) -> None:
    train = replace(tiny_train, max_epochs=1)
    summary = pretrain(features, tmp_path, model=tiny_model, train=train, unseen=0.3, device="cpu")
    assert summary["n_unseen"] + summary["n_train"] + summary["n_dev"] == 48
    assert summary["n_unseen"] > 0 and summary["best"]["dev_cer"] > 0
    with pytest.raises(TrainError, match="leaves none to learn"):
        pretrain(features, tmp_path / "b", model=tiny_model, train=train, unseen=0.9)
