"""Fixtures shared by all tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]

PLACES = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[2:4]]
SHARED_DATA = next((place for place in PLACES if place.is_dir()), PLACES[0])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings kept beside the checkout, or beside the folder of its worktrees;
    skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real recordings at ../shared/data (looked for {SHARED_DATA.name})")
    return SHARED_DATA


@pytest.fixture(scope="session")
def kaldi_root() -> Path:
    """The user's Kaldi; skips where KALDI_ROOT names none."""
    named = os.environ.get("KALDI_ROOT")
    if not named:
        pytest.skip("no Kaldi here: set KALDI_ROOT to run this")
    return Path(named)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked ``gpu`` is skipped where there is no GPU."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU here")


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> "torch.device":
    """The CPU, and a GPU: the test runs on each."""
    import torch

    return torch.device(request.param)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """``start(n, *words)`` runs python, or torchrun with n > 1 processes, as a child.

    Its output is one pipe, ``stdout``; what still runs at the end of the test is ended.
    """
    children: list[subprocess.Popen] = []

    def run(n_processes: int, *words: object) -> subprocess.Popen:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command = [sys.executable, *([*torchrun, n_processes] if n_processes > 1 else []), *words]
        children.append(
            subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return children[-1]

    yield run
    for child in children:
        if child.poll() is None:
            child.terminate()  # torchrun takes its own children along
        child.communicate(timeout=60)
