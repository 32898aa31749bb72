"""What a run leaves on disk, and what it refuses to read."""

import errno
import os
import pickle
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from featurize.errors import ModelError, StaleError, TrainError
from model import checkpoint

CONFIG = {"kind": "multitask", "model": {"d_model": 8}, "seed": 0, "features": "here", "init": None}


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


def test_a_run_begins_goes_on_and_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert not checkpoint.begin_run(run, CONFIG, redo=False)
    assert not checkpoint.begin_run(run, CONFIG, redo=False)
    checkpoint.write_json(run / checkpoint.DONE, {})
    assert checkpoint.begin_run(run, CONFIG, redo=False)
    assert not checkpoint.begin_run(run, CONFIG, redo=True)
    assert not (run / checkpoint.DONE).exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1 now"),
        ({"model": {"d_model": 16}}, "model.d_model is 8 there and 16 now"),
        ({"train": {"patience": 3}}, "train.patience is null there and 3 now"),
    ],
)
def test_another_setting_is_named(tmp_path: Path, change: dict, named: str) -> None:
    checkpoint.begin_run(tmp_path, CONFIG, redo=False)
    with pytest.raises(StaleError, match=named):
        checkpoint.begin_run(tmp_path, {**CONFIG, **change}, redo=False)
    assert not checkpoint.begin_run(tmp_path, {**CONFIG, **change}, redo=True)


def test_places_may_move(tmp_path: Path) -> None:
    moved = {**CONFIG, "features": "there", "init": "elsewhere"}
    checkpoint.begin_run(tmp_path, CONFIG, redo=False)
    assert not checkpoint.begin_run(tmp_path, moved, redo=False)
    assert checkpoint.fingerprint(moved) == checkpoint.fingerprint(CONFIG)
    assert checkpoint.fingerprint({**CONFIG, "seed": 1}) != checkpoint.fingerprint(CONFIG)


def test_weights_and_state_come_back_bit_for_bit(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    checkpoint.save_weights(tmp_path / "w", model)
    state = {"rng": torch.get_rng_state(), "lines": [{"a": 0.1, "b": None}], "n": 3}
    checkpoint.save_checkpoint(tmp_path / "c", state)
    for name, tensor in checkpoint.load_weights(tmp_path / "w").items():
        assert torch.equal(tensor, model.state_dict()[name])
    back = checkpoint.load_checkpoint(tmp_path / "c")
    assert torch.equal(back.pop("rng"), state.pop("rng")) and back == state
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "w"]


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state": Harmful()}, tmp_path / "c")
    (tmp_path / "p").write_bytes(pickle.dumps(Harmful()))
    for name in "cp":
        with pytest.raises(TrainError, match="not a checkpoint"):
            checkpoint.load_checkpoint(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"[1]", b"\xff\xfe"])
def test_damaged_files_are_clear_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    readers = {
        checkpoint.read_json: TrainError,
        checkpoint.load_weights: ModelError,
        checkpoint.load_checkpoint: TrainError,
    }
    for read, error in readers.items():
        path.unlink(missing_ok=True)
        with pytest.raises(error):
            read(path)
        path.write_bytes(content)
        with pytest.raises(error):
            read(path)


def test_a_cut_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoint.save_checkpoint(path, {"x": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(TrainError, match="not a checkpoint"):
        checkpoint.load_checkpoint(path)


def test_the_same_state_gives_the_same_bytes_wherever_it_is_written(tmp_path: Path) -> None:
    state = {"model": {"a": torch.arange(9.0)}, "lines": [{"epoch": 1}], "best": None}
    for name in ("one", "other"):
        checkpoint.save_checkpoint(tmp_path / name / checkpoint.CHECKPOINT, state)
    one, other = (tmp_path / name / checkpoint.CHECKPOINT for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert torch.equal(checkpoint.load_checkpoint(one)["model"]["a"], state["model"]["a"])


def test_on_a_full_disk_the_reason_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    """At every size, and in a process of its own, as the limit holds for all that it writes."""
    model = nn.Linear(30, 30)
    small, large = {"a": 1}, {"model": model.state_dict()}
    for limit in range(0, 5000, 500):
        path = tmp_path / str(limit) / checkpoint.CHECKPOINT
        checkpoint.save_checkpoint(path, small)
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            errors = []
            for write in (checkpoint.save_weights, checkpoint.save_checkpoint):
                what = large if write is checkpoint.save_checkpoint else model
                try:
                    write(path, what)  # type: ignore[operator]
                except OSError as error:
                    errors.append(error.errno)
                except BaseException:
                    os._exit(3)
            os._exit(0 if errors == [errno.EFBIG, errno.EFBIG] else 4)
        is_large = limit < 4000  # the weights alone have 3,720 bytes
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 or not is_large
        assert [p.name for p in path.parent.iterdir()] == [checkpoint.CHECKPOINT]
        if is_large:
            assert checkpoint.load_checkpoint(path) == small
