"""Every stage killed at a rename, out of room, without permission: the same bytes in the end.

A small run of what ``make torture`` does for long.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.torture.cases import BY_NAME

SCRIPT = Path(__file__).with_name("interrupted_stages.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Stage -> fault -> what went wrong."""
    folder = tmp_path_factory.mktemp("torture")
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", BY_NAME)
def test_interrupted_it_ends_with_the_same_bytes(found: dict, stage: str) -> None:
    assert len(found[stage]) >= 2
    assert {fault: problems for fault, problems in found[stage].items() if problems} == {}
