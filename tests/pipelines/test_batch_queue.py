"""The script of docs/cluster.md, run as it stands, with a loop for a queue."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]
N_TASKS = 3


@pytest.fixture
def work(tiny_corpora: Path, tmp_path: Path, trimodal: Callable) -> Workspace:
    words = ("voxceleb2", tiny_corpora / "voxceleb2", tmp_path / "work", "--preset", "demo")
    assert trimodal("prepare", *words, "--shard-size", 2).exit_code == 0
    return Workspace(tmp_path / "work")


def environment(task: int) -> dict[str, str]:
    """What Slurm sets for one task of an array 0 to N_TASKS - 1, and where `trimodal` is."""
    names = {"ID": task, "MIN": 0, "MAX": N_TASKS - 1, "STEP": 1, "COUNT": N_TASKS}
    slurm = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ours = {"SLURM_CPUS_PER_TASK": "1", "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    return {**os.environ, **slurm, **ours}


def script(work: Path) -> str:
    """The page's sbatch script, for this workspace and the shipped model."""
    page = (REPOSITORY / "docs" / "cluster.md").read_text()
    (found,) = re.findall(r"```sh\n(#!/bin/bash\n#SBATCH.*?)```", page, re.DOTALL)
    placed = found.replace("/nfs/vox2", str(work))
    return placed.replace(
        "--model /nfs/models/librispeech_tdnn", "--preset demo --max-reject-share 0.5"
    )


@pytest.mark.slow
def test_the_tasks_of_an_array_make_every_shard_once(work: Workspace, trimodal: Callable) -> None:
    said = []
    for task in range(N_TASKS):
        done = subprocess.run(
            ["bash", "-e"], input=script(work.root), env=environment(task), text=True,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done)
        made = len(list((work.root / "decode").glob("shard-*.jsonl")))
        assert made == sum(-(-(work.n_shards - rank) // N_TASKS) for rank in range(task + 1))
    assert "rank 1 of 3 (SLURM_ARRAY_TASK_ID): 2 of 6 shards" in said[1].stderr
    status = json.loads(trimodal("status", work.root, "--json").stdout)
    (decode,) = [stage for stage in status["stages"] if stage["stage"] == "decode"]
    assert (decode["in"], decode["pending"]) == (12, 0)  # the whole, whoever asks


@pytest.mark.slow
def test_of_two_tasks_given_the_same_shards_at_once_one_makes_them(work: Workspace) -> None:
    command = ["trimodal", "decode", str(work.root), "--preset", "demo", "--jobs", "1"]
    command += ["--max-reject-share", "0.5"]
    alone = environment(0) | {"SLURM_ARRAY_TASK_MAX": "0", "SLURM_ARRAY_TASK_COUNT": "1"}
    both = [
        subprocess.Popen(command, env=alone, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [one.stderr.read() for one in both if one.wait(timeout=120) and one.stderr]
    assert len(errors) <= 1  # none where one was done before the other began
    assert all("of decode is being made by process" in error for error in errors)
    assert not list((work.root / "decode").glob(".*"))
    paths = [work.decode_path(number) for number in range(work.n_shards)]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    subprocess.run(command, env=alone, check=True, capture_output=True, timeout=120)
    assert [path.read_bytes() for path in paths] == before
