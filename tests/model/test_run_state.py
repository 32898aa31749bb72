"""Where a run stands comes back whole, or not at all."""

from pathlib import Path

import pytest
import torch
from torch import nn

from featurize.errors import UsageError
from model import checkpoint
from model.run_state import State, random_states, resume, save
from model.world import World

CPU = torch.device("cpu")


def parts() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(3, 2)
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    model, optimiser = parts()
    model(torch.randn(4, 3)).square().sum().backward()
    optimiser.step()
    return model, optimiser


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimiser = trained()
    state = State(epoch=2, step=7, n_batches=3, sums={"asr": 0.1}, points=[{"step": 5}])
    save(tmp_path, model, optimiser, state, random_states(World(), CPU))
    expected = torch.rand(5)
    other, other_optimiser = parts()
    assert resume(tmp_path, other, other_optimiser, World()) == state
    assert torch.equal(torch.rand(5), expected), "random numbers go on"
    assert torch.equal(other.weight, model.weight)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        for name, value in optimiser.state[one].items():
            assert torch.equal(other_optimiser.state[two][name], value)


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert resume(tmp_path, *parts(), World()) == State()


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    model, optimiser = trained()
    save(tmp_path, model, optimiser, State(), random_states(World(), CPU) * 2)
    with pytest.raises(UsageError, match="begun by 2 processes, now there are 1; start as many"):
        resume(tmp_path, *parts(), World())
    checkpoint.save_checkpoint(tmp_path / checkpoint.CHECKPOINT, {"rng": {}, "state": {}})
    with pytest.raises(UsageError, match="made by an older version; pass --redo"):
        resume(tmp_path, *parts(), World())


def test_an_epoch_ends() -> None:
    state = State(epoch=1, n_batches=4, n_seen=9, sums={"a": 1.0}, counts={"a": 2.0})
    state.end_epoch({"epoch": 2})
    assert state == State(epoch=2, lines=[{"epoch": 2}])
