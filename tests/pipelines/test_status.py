"""Every utterance is accounted for, whatever has been done and lost so far."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.status import workspace_status


def check_sums(status: dict) -> None:
    """in = done + rejected + dropped + pending; a stage's in is what came out before it."""
    stages = {stage["stage"]: stage for stage in status["stages"]}
    for stage in stages.values():
        parts = [stage[key] for key in ("done", "rejected", "dropped", "pending")]
        assert stage["in"] == sum(parts), stage
        assert min(parts) >= 0, stage
    assert stages["prepare"]["in"] == status["n_utterances"]
    order = [name for name in ("prepare", "decode", "select") if name in stages]
    for before, after in zip(order, order[1:], strict=False):
        assert stages[after]["in"] == stages[before]["done"]
    for modality in ("audio", "video", "text", "targets"):
        if modality in stages:
            assert stages[modality]["in"] == stages[order[-1]]["done"]
    assert sum(r["n"] for r in status["rejects"]) == sum(s["rejected"] for s in stages.values())


def test_the_sums_agree_after_every_stage(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    work = tmp_path / "work"
    preset = ("--preset", "demo")
    lenient = ("--max-reject-share", "1")
    steps: list[tuple] = [
        ("prepare", "voxceleb2", tiny_corpora / "voxceleb2", work, *preset, "--shard-size", 4),
        ("decode", work, *preset, *lenient, "--shards", "0:1", "--jobs", 1),
        ("decode", work, *preset, *lenient, "--jobs", 1),
        ("select", work, *preset),
        ("extract", work, "audio", *preset, *lenient, "--shards", "1:3", "--jobs", 1),
        ("extract", work, "audio", *preset, *lenient, "--jobs", 1),
        ("extract", work, "text", *preset, *lenient, "--jobs", 1),
    ]
    for step in steps:
        result = trimodal(*step)
        assert result.exit_code == 0, result.output
        check_sums(workspace_status(work))
    printed = trimodal("status", work, "--json")
    assert json.loads(printed.output) == workspace_status(work)
    status = workspace_status(work)
    assert status["n_utterances"] == 13  # 10 and the three broken ones
    lost = [json.loads(line) for line in (work / "rejects.jsonl").read_text().splitlines()]
    assert {r["stage"] for r in lost} == {"prepare", "decode"}
    assert len(lost) == len({r["id"] for r in lost}) == 3
    assert status["hours"] == pytest.approx(0.01, abs=0.008)
    # Another selection: what was extracted for the earlier one is to do again.
    assert trimodal("select", work, "--keep-fraction", 0.6).exit_code == 0
    status = workspace_status(work)
    check_sums(status)
    audio = next(stage for stage in status["stages"] if stage["stage"] == "audio")
    assert audio["pending"] > 0
    refused = trimodal("pretrain", work, tmp_path / "run", *preset)
    assert refused.exit_code == 2
    assert "trimodal extract" in refused.output


def test_another_manifest_leaves_nothing_of_the_old_one(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    work = tmp_path / "work"
    lenient = ("--preset", "demo", "--max-reject-share", "1", "--jobs", 1)
    prepare = ("prepare", "mosei", tiny_corpora / "mosei", work, "--preset", "demo")
    trimodal(*prepare, "--shard-size", 3)
    trimodal("extract", work, "audio", *lenient)
    assert len(list((work / "features").iterdir())) == 4
    assert trimodal(*prepare, "--shard-size", 8, "--redo").exit_code == 0
    assert len(list((work / "features").iterdir())) == 2
    status = workspace_status(work)
    check_sums(status)
    assert status["hours"] is None  # the two that are left are of the old manifest
    assert trimodal("extract", work, "audio", *lenient).exit_code == 2
    assert trimodal("extract", work, "audio", *lenient, "--redo").exit_code == 0
    check_sums(workspace_status(work))


def test_words_decoded_after_the_selection_are_not_mixed_with_it(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    work = tmp_path / "work"
    preset = ("--preset", "demo")
    lenient = ("--max-reject-share", "1", "--jobs", 1)
    trimodal("prepare", "voxceleb2", tiny_corpora / "voxceleb2", work, *preset)
    trimodal("decode", work, *preset, *lenient)
    trimodal("select", work, *preset)
    other = tmp_path / "model"
    shutil.copytree(DEMO_FOLDER, other)
    (other / "conf" / "model.conf").open("a").write("--beam=9.0\n")
    refused = trimodal("decode", work, "--model", other, *lenient)
    assert refused.exit_code == 2
    assert "model_digest" in refused.output
    again = trimodal("decode", work, "--model", other, *lenient, "--redo")
    assert again.exit_code == 0, again.output
    stale = trimodal("extract", work, "text", *preset, *lenient)
    assert stale.exit_code == 2
    assert "trimodal select" in stale.output
    trimodal("select", work, *preset)
    assert trimodal("extract", work, "text", *preset, *lenient).exit_code == 0
