"""Real training processes, stopped by real signals at random moments, end as if never stopped."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from featurize.errors import StoppedError
from model import checkpoint


def stop(
    child: subprocess.Popen, run: Path, number: signal.Signals, delay_s: float
) -> tuple[int, str]:
    """Sends a signal so long after the next checkpoint; the exit code and what was printed."""
    path = run / checkpoint.CHECKPOINT
    before = path.stat().st_mtime_ns if path.exists() else None
    deadline = time.monotonic() + 240
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(delay_s)
    child.send_signal(number)
    output, _ = child.communicate(timeout=240)
    return child.returncode, output


@pytest.mark.slow
def test_stopped_at_random_moments_ends_the_same(
    features, tiny_model, tiny_train, tmp_path: Path, start_pretraining: Callable, same_run
) -> None:
    train = replace(tiny_train, max_epochs=60, patience=60, batches_per_step=2)
    assert tiny_model.dropout > 0, "random numbers have to go on as well"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = start_pretraining(1, features, whole, tiny_model, train)
    moments = random.Random(1)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        child = start_pretraining(1, features, broken, tiny_model, train)
        code, output = stop(child, broken, number, moments.uniform(0, 0.3))
        assert code == (1 if number == signal.SIGTERM else -signal.SIGKILL), output
        if number == signal.SIGTERM:
            state = checkpoint.load_checkpoint(broken / checkpoint.CHECKPOINT)["state"]
            place = f"after step {state['step']}, in epoch {state['epoch'] + 1};"
            assert f"stopped by SIGTERM {place} all is saved" in output
            assert state["n_batches"] % 2 == 0
    assert not (broken / checkpoint.DONE).exists()
    last = start_pretraining(1, features, broken, tiny_model, train)
    for child in (unbroken, last):
        output, _ = child.communicate(timeout=300)
        assert child.returncode == 0, output
    same_run(whole, broken)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_with_a_code_of_its_own(
    number, trainable: Path, tmp_path: Path, start: Callable
) -> None:
    run, config = tmp_path / "run", tmp_path / "long.toml"
    config.write_text(
        "[model]\nd_model = 16\n[pretrain]\nmax_epochs = 100000\npatience = 100000\n"
        'precision = "float32"\nframes_per_batch = 20\ndev_fraction = 0.4\n'
    )
    child = start(1, "-m", "pipelines.cli", "pretrain", trainable, run, "--config", config)
    code, output = stop(child, run, number, 0.5)
    assert code == StoppedError.exit_code == 75
    assert f"error: stopped by {number.name} after step" in output
    assert "run the same command again to go on" in output and "Traceback" not in output
