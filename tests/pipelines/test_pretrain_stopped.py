"""Real training processes, stopped by real signals at random moments, end as if never stopped."""

import random
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from featurize.errors import StoppedError
from model import checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("batches_per_step", [1, 2])
def test_stopped_at_any_instant_ends_the_same(
    batches_per_step, features, tiny_model, tiny_train, tmp_path: Path, start_pretraining, same_run
) -> None:
    train = replace(
        tiny_train, max_epochs=50, patience=50, batches_per_step=batches_per_step
    )  # time enough to be stopped some times
    assert tiny_model.dropout > 0, "random numbers have to go on as well"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = start_pretraining(1, features, whole, tiny_model, train)
    assert unbroken.wait(timeout=300) == 0, unbroken.stdout.read()
    moments = random.Random(batches_per_step)
    codes: Counter[int] = Counter()
    for number in range(100):
        child = start_pretraining(1, features, broken, tiny_model, train)
        assert child.stdout.readline() == "go\n"
        time.sleep(moments.uniform(0.2, 2.0))
        child.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        output, _ = child.communicate(timeout=120)
        codes[child.returncode] += 1
        if child.returncode == 0:
            break
        if child.returncode == StoppedError.exit_code:
            pytest.fail("only the command line turns the error into a code")
        if "StoppedError" in output:
            assert "stopped by SIGTERM after step" in output and "all is saved" in output
        assert not (broken / checkpoint.DONE).exists()
    assert codes[-signal.SIGKILL] >= 2 and codes[1] >= 2, codes
    same_run(whole, broken)


@pytest.mark.slow
def test_the_command_ends_with_a_code_of_its_own(trainable, tmp_path: Path, start) -> None:
    config = tmp_path / "long.toml"
    config.write_text(
        "[model]\nd_model = 16\n[pretrain]\nmax_epochs = 100000\npatience = 100000\n"
        'precision = "float32"\nframes_per_batch = 20\ndev_fraction = 0.4\n'
    )
    run = tmp_path / "run"
    words = ("-m", "pipelines.cli", "pretrain", trainable, run, "--config", config)
    for number in (signal.SIGTERM, signal.SIGINT):
        child = start(1, *words)
        deadline = time.monotonic() + 120
        while not (run / checkpoint.CHECKPOINT).exists():
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        child.send_signal(number)
        output, _ = child.communicate(timeout=120)
        assert child.returncode == 75
        assert f"error: stopped by {number.name} after step" in output
        assert "run the same command again to go on" in output and "Traceback" not in output
        (run / checkpoint.CHECKPOINT).unlink()
