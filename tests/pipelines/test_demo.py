"""The whole path at the scale of a few utterances, and the same again with SIGKILLs in it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.demo.corpora import DemoSize
from pipelines.demo.run import run_demo
from pipelines.status import workspace_status

SMALL = DemoSize(n_speakers=8, utterances_per_speaker=4, n_mosei_videos=6, segments_per_video=3)
# Everything of the demo up to the features, as one killable process.
DATA_STAGES = """
import sys
from pathlib import Path
from pipelines.cli import main
from pipelines.demo.run import commands
folder = Path(sys.argv[1])
print("started", flush=True)
for words in commands(folder, 2):
    if words[0] in ("prepare", "decode", "select", "extract"):
        words = words + ["--max-reject-share", "1"] * (words[0] in ("decode", "extract"))
        words = words + ["--shard-size", "4"] * (words[0] == "prepare")
        main.main(words, prog_name="trimodal", standalone_mode=False)
"""


def run_command(words: list[str]) -> None:
    from pipelines.cli import main

    if words[0] in ("decode", "extract", "embed"):  # a few utterances, three of them broken
        words = [*words, "--max-reject-share", "1"]
    if words[0] in ("pretrain", "finetune"):  # what is learnt is not looked at here
        words = [*words, "--max-epochs", "2"]
    main.main(words, prog_name="trimodal", standalone_mode=False)


def paths(folder: Path) -> list[Path]:
    kinds = ("manifest.jsonl", "decode/shard-*", "select/selected.jsonl", "features/shard-*")
    return [p for kind in (*kinds, "rejects.jsonl") for p in folder.glob(f"*/{kind}")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths(folder)}


@pytest.mark.slow
def test_the_demo_ends_with_three_tables_and_can_be_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = run_demo(tmp_path, 2, run_command, size=SMALL)
    printed = capsys.readouterr().out
    for table in ("Table 1", "Table 2", "Table 3"):
        assert table in printed
        assert table in page.read_text(encoding="utf-8")
    for corpus in ("voxceleb2", "mosei"):
        status = workspace_status(tmp_path / corpus)
        assert all(stage["pending"] == 0 for stage in status["stages"])
        assert sum(r["n"] for r in status["rejects"]) >= 3  # the broken files
    for run in ("late-fusion", "scratch", "embeddings"):
        evaluation = json.loads((tmp_path / "runs" / run / "evaluation.json").read_text())
        assert evaluation["over_runs"]["n"] == 3
    embedded = workspace_status(tmp_path / "embedded")["stages"][-1]
    assert embedded["stage"] == "embeddings" and embedded["done"] and not embedded["pending"]
    before = files(tmp_path)
    run_demo(tmp_path, 2, run_command, size=SMALL)
    assert files(tmp_path) == before
    assert "unchanged" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_at_random_moments_the_shards_are_the_same_bit_for_bit(
    tmp_path: Path, tiny_corpora: Path
) -> None:
    """Both runs read the same corpus; one is killed, workers and all, again and again."""
    folders = [tmp_path / "unbroken", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        (folder / "corpora").symlink_to(tiny_corpora)
    assert start(folders[0]).wait() == 0
    unbroken = files(folders[0])
    rng = random.Random(0)
    for share in (0.2, 0.7):
        process = start(folders[1])
        while process.poll() is None and len(paths(folders[1])) < share * len(unbroken):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        assert process.poll() is None, "ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(folders[1]).wait() == 0
    resumed = files(folders[1])
    assert resumed.keys() == unbroken.keys()
    for name in unbroken:
        assert resumed[name] == unbroken[name], name


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DATA_STAGES, str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **quiet)
