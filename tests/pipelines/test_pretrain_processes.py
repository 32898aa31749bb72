"""Training in two real processes, joined by torchrun and gloo."""

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model import checkpoint

pytestmark = pytest.mark.slow


def finished(child) -> str:
    output, _ = child.communicate(timeout=300)
    assert child.returncode == 0, output
    return output


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    tables = 'frames_per_batch = 20\nmax_epochs = 3\nprecision = "float32"\nwarmup_steps = 5\n'
    path.write_text(
        "[model]\nd_model = 16\ndropout = 0.0\n"
        f"[pretrain]\ndev_fraction = 0.4\n{tables}[finetune]\n{tables}"
    )
    return path


def test_two_processes_learn_as_one_with_the_joint_batch(
    features, tiny_model, tiny_train, tmp_path: Path, start_pretraining, figures
) -> None:
    model = replace(tiny_model, dropout=0.0)  # random numbers are each process's own
    one = start_pretraining(
        1, features, tmp_path / "one", model, replace(tiny_train, batches_per_step=2)
    )
    two = start_pretraining(2, features, tmp_path / "two", model, tiny_train)
    finished(one), finished(two)
    alone, shared = figures(tmp_path / "one"), figures(tmp_path / "two")
    assert len(alone) == len(shared) == tiny_train.max_epochs
    for first, second in zip(alone, shared, strict=True):
        assert first == {name: pytest.approx(second[name], rel=1e-5) for name in first}
    (tmp_path / "two" / checkpoint.DONE).unlink()
    child = start_pretraining(1, features, tmp_path / "two", model, tiny_train)
    output, _ = child.communicate(timeout=120)
    assert "was begun by 2 processes, now there are 1; start as many as then" in output


def wait_for(path: Path, child, after_s: float = 0.0) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.stat().st_mtime <= after_s:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text().split()]


def test_two_processes_stopped_and_killed_end_the_same(
    features, tiny_model, tiny_train, tmp_path: Path, start_pretraining, same_run
) -> None:
    train = replace(tiny_train, max_epochs=12, patience=12)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finished(start_pretraining(2, features, whole, tiny_model, train))
    child = start_pretraining(2, features, broken, tiny_model, train)
    wait_for(broken / checkpoint.CHECKPOINT, child)
    child.terminate()  # torchrun passes it on
    output, _ = child.communicate(timeout=120)
    state = checkpoint.load_checkpoint(broken / checkpoint.CHECKPOINT)["state"]
    assert f"by SIGTERM after step {state['step']}, in epoch {state['epoch'] + 1};" in output
    kept_s = (broken / checkpoint.CHECKPOINT).stat().st_mtime
    child = start_pretraining(2, features, broken, tiny_model, train)
    wait_for(broken / checkpoint.CHECKPOINT, child, after_s=kept_s)
    os.kill(max(children_of(child.pid)), signal.SIGKILL)
    output, _ = child.communicate(timeout=120)
    # Unless torchrun's own signal reached the other one while it scored dev.
    assert "another process of this training is gone" in output or "by SIGTERM" in output
    assert not (broken / checkpoint.DONE).exists()
    finished(start_pretraining(2, features, broken, tiny_model, train))
    same_run(whole, broken)


def test_the_commands_run_under_torchrun_and_only_one_process_speaks(
    trainable, tmp_path: Path, config: Path, start, figures
) -> None:
    for command in ("pretrain", "finetune"):
        seeds = ("--n-seeds", 2) if command == "finetune" else ()
        run = tmp_path / command
        words = ("-m", "pipelines.cli", command, trainable, run, "--config", config, *seeds)
        assert finished(start(2, *words)).count(f"{run}: made;") == 1
        logs = sorted(run.rglob(checkpoint.LOG))
        assert [len(figures(path.parent)) for path in logs] == [3] * (2 if seeds else 1)
    assert finished(start(2, *words)).count(f"{run}: unchanged;") == 1


def test_an_error_is_told_once_and_ends_all(
    make_exchanged, trainable, tmp_path: Path, config: Path, start
) -> None:
    """Transcripts that the alphabet cannot spell; and a loss that is not finite."""
    unspelt = make_exchanged(tmp_path / "unspelt", last_word="7").work
    words = ("-m", "pipelines.cli", "pretrain")
    run, bad = tmp_path / "run", tmp_path / "bad.toml"
    bad.write_text(config.read_text().replace("[finetune]", "lr_scale = 1e30\n[finetune]"))
    one, other = (
        start(2, *words, unspelt, run, "--config", config),
        start(2, *words, trainable, run / "other", "--config", bad),
    )
    for child, told in ((one, "characters outside the alphabet"), (other, "is not finite at step")):
        output, _ = child.communicate(timeout=120)
        assert child.returncode and output.count("error: ") == output.count(told) == 1, output
    named = re.search(r"in the batch of (.*); look", output)
    assert named and len(named[1].split(", ")) > 1
    assert not list(run.rglob(checkpoint.DONE))
