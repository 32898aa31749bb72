"""Stages killed at a rename, out of room and without permission: the same bytes in the end.

A small run of what ``make torture`` does for long.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("interrupted_stages.py")


@pytest.fixture(scope="module")
def found(trainable: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Stage -> fault -> what went wrong."""
    folder = tmp_path_factory.mktemp("torture")
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, SCRIPT, folder, trainable]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["targets", "finetune", "evaluate", "report", "webdataset"])
def test_interrupted_it_ends_with_the_same_bytes(found: dict, stage: str) -> None:
    kinds = ("rename 2", "rename 3", "file_size_limit", "read_only")
    assert found[stage] == {kind: [] for kind in kinds}
