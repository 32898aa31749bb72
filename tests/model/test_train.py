"""The loop itself, on the simplest model and task; whole runs are tested with the stages."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from featurize.errors import TrainError
from model import checkpoint
from model.config import TrainConfig
from model.schedule import inverse_square_root
from model.train import fit

CONFIG = TrainConfig(
    lr_scale=0.1, warmup_steps=5, max_epochs=6, patience=6, precision="float32", seed=3
)


class Numbers(tuple):
    """The simplest batch: a few inputs."""

    ids = ("id1/v/1", "id2/v/2")

    def to(self, device: torch.device) -> "Numbers":
        return self


@dataclass
class Line:
    """The simplest loader: four batches an epoch, set by (seed, epoch)."""

    spoilt_at: int = -1  # index of a batch, over all epochs
    n_made: int = 0
    wait_s: float = 0.0
    batches_per_step: int = 1
    rows: tuple = tuple(range(20))

    def shuffled(self, seed: int, epoch: int, first_batch: int = 0):
        rng = np.random.default_rng([seed, epoch])
        for number in range(4):
            numbers = rng.normal(size=5)
            if number >= first_batch:
                spoilt = self.n_made == self.spoilt_at
                self.n_made += 1
                yield Numbers(numbers * (math.nan if spoilt else 1))


class FitLine:
    """Learns y = 3 x + 1 with noise from PyTorch's generator, as dropout has it."""

    weights = {"fit": 1.0}

    def counts(self, batch: Numbers):
        return {"fit": len(batch)}

    def losses(self, model: nn.Module, batch: Numbers):
        x = torch.tensor(batch, dtype=torch.float32)[:, None]
        noise = 0.01 * torch.randn_like(x)
        return {"fit": ((model(x) - (3 * x + 1 + noise)) ** 2).mean()}

    def evaluate(self, model: nn.Module, device: torch.device):
        x = torch.linspace(-1, 1, 5)[:, None]
        return {"dev_loss": ((model(x) - (3 * x + 1)) ** 2).mean().item()}

    def score(self, line) -> float:
        return -line["dev_loss"]


def run_fit(run: Path, *, loader=None, config=CONFIG, task=None, progress=None):
    checkpoint.begin_run(run, {"seed": 0}, redo=False)
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    best = fit(
        run,
        model,
        task or FitLine(),
        loader or Line(),
        config,
        d_model=1,
        device=torch.device("cpu"),
        progress=progress,
    )
    return model, best


def test_learns_and_follows_the_schedule(tmp_path: Path) -> None:
    lines = []
    config = TrainConfig(
        lr_scale=0.5, warmup_steps=5, max_epochs=40, patience=40, precision="float32"
    )

    def keep(epoch: int, n: int, line: dict) -> None:
        if not line.get("partial"):  # told every second, on a slow machine
            lines.append(line)

    run_fit(tmp_path, config=config, progress=keep)
    assert lines[-1]["dev_loss"] < 0.01 * lines[0]["dev_loss"]
    assert [line["step"] for line in lines] == [4 * (i + 1) for i in range(40)]
    for line in lines:
        rate = inverse_square_root(line["step"], d_model=1, warmup_steps=5, scale=0.5)
        assert line["lr"] == rate
    assert all(0 <= line["data_wait_share"] <= 1 and line["epoch_share"] == 1 for line in lines)


@pytest.mark.parametrize("n_epochs", [1, 2, 5])
def test_stopped_and_started_again_ends_the_same(tmp_path: Path, n_epochs: int) -> None:
    def stop(epoch: int, n: int, line: dict) -> None:
        if epoch == n_epochs:
            raise KeyboardInterrupt

    whole, _ = run_fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "broken", progress=stop)
    broken, _ = run_fit(tmp_path / "broken")
    assert torch.equal(whole.weight, broken.weight) and torch.equal(whole.bias, broken.bias)


@pytest.mark.parametrize("n_steps", [1, 6, 7, 11])
def test_stopped_in_mid_epoch_ends_the_same(tmp_path: Path, monkeypatch, n_steps: int) -> None:
    class Stopping(FitLine):
        n_left = n_steps

        def losses(self, model: nn.Module, batch: Numbers):
            if not self.n_left:
                raise KeyboardInterrupt
            self.n_left -= 1
            return super().losses(model, batch)

    whole, _ = run_fit(tmp_path / "whole")
    monkeypatch.setattr("model.train.CHECKPOINT_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "broken", task=Stopping())
    kept = checkpoint.load_checkpoint(tmp_path / "broken" / checkpoint.CHECKPOINT)["state"]
    assert (kept["step"], kept["n_batches"]) == (n_steps, n_steps % 4)
    broken, _ = run_fit(tmp_path / "broken")
    assert torch.equal(whole.weight, broken.weight) and torch.equal(whole.bias, broken.bias)
    logs = [(tmp_path / name / checkpoint.LOG).read_text() for name in ("whole", "broken")]
    first, second = ([json.loads(line) for line in log.splitlines()] for log in logs)
    for key in ("epoch", "step", "train_loss", "dev_loss", "epoch_share", "lr"):
        assert [line[key] for line in first] == [line[key] for line in second]


def test_stopped_while_writing_ends_the_same(tmp_path: Path, monkeypatch) -> None:
    """Killed between the best weights and the checkpoint that calls them best."""
    whole, best = run_fit(tmp_path / "whole")
    save = checkpoint.save_checkpoint

    def save_twice_then_die(path: Path, state: dict) -> None:
        if state["state"]["epoch"] == 3:
            raise KeyboardInterrupt
        save(path, state)

    monkeypatch.setattr(checkpoint, "save_checkpoint", save_twice_then_die)
    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "broken")
    monkeypatch.undo()
    broken, best_again = run_fit(tmp_path / "broken")
    assert torch.equal(whole.weight, broken.weight)
    assert best["dev_loss"] == best_again["dev_loss"]
    names = [tmp_path / name / checkpoint.BEST for name in ("whole", "broken")]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_loss_that_is_not_finite_names_the_batch(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="loss is not finite at step 6, .* id1/v/1, id2/v/2;"):
        run_fit(tmp_path, loader=Line(spoilt_at=5))
    kept = checkpoint.load_checkpoint(tmp_path / checkpoint.CHECKPOINT)
    assert kept["state"]["epoch"] == 1 and torch.isfinite(kept["model"]["weight"]).all()
    assert not (tmp_path / checkpoint.DONE).exists()


def test_a_gradient_that_is_not_finite_names_the_batch(tmp_path: Path) -> None:
    class Root(FitLine):
        def losses(self, model, batch):
            return {"fit": (0 * model.weight.sum()).abs().sqrt()}

    with pytest.raises(TrainError, match="gradient is not finite at step 1"):
        run_fit(tmp_path, task=Root())


def test_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    class Worsening(FitLine):
        def evaluate(self, model, device):
            self.seen = getattr(self, "seen", [])
            self.seen.append(model.weight.detach().clone())
            return {"dev_loss": abs(len(self.seen) - 2.0)}

    task = Worsening()
    config = TrainConfig(warmup_steps=5, max_epochs=9, patience=3, precision="float32")
    _, best = run_fit(tmp_path, task=task, config=config)
    assert best["epoch"] == 2 and len(task.seen) == 5
    kept = checkpoint.load_weights(tmp_path / checkpoint.BEST)["weight"]
    assert torch.equal(kept, task.seen[1])
