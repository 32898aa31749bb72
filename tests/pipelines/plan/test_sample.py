"""A plan of the demo's corpora by the command line: real stages, measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from featurize.errors import UsageError


@pytest.fixture
def work(tiny_corpora: Path, tmp_path: Path, trimodal: Callable) -> Path:
    corpus = tiny_corpora / "voxceleb2"
    words = ("voxceleb2", corpus, tmp_path / "work", "--preset", "demo", "--shard-size", 4)
    assert trimodal("prepare", *words).exit_code == 0
    return tmp_path / "work"


@pytest.mark.slow
def test_a_plan_measures_every_stage_and_writes_nothing(work: Path, trimodal: Callable) -> None:
    before = sorted(path.relative_to(work) for path in work.rglob("*"))
    found = trimodal("plan", work, "--preset", "demo", "--sample", 3, "--nodes", "1,4", "--json")
    assert found.exit_code == 0, found.output
    plan = json.loads(found.stdout)
    stages = ["decode", "audio", "video", "text", "targets", "pretrain, an epoch"]
    assert [cost["stage"] for cost in plan["sample"]] == stages
    assert all(cost["cpu_s"] > 0 for cost in plan["sample"])
    by_stage = {cost["stage"]: cost for cost in plan["sample"]}
    assert by_stage["video"]["cpu_s"] > 5 * by_stage["audio"]["cpu_s"]  # VGG-16 is most of it
    assert by_stage["video"]["bytes_read"] > by_stage["audio"]["bytes_read"] > 10_000
    assert by_stage["audio"]["bytes_written"] > 1_000
    corpus = {stage["stage"]: stage for stage in plan["corpus"]}
    assert corpus["video"]["cpu_s"] > 2 * by_stage["video"]["cpu_s"]  # 12 utterances of which 3
    assert [machine["n"] for machine in plan["machines"]] == [1, 4]
    assert plan["read_bytes_s"] > 0
    assert sorted(path.relative_to(work) for path in work.rglob("*")) == before


@pytest.mark.slow
def test_what_is_left_out_is_said(work: Path, trimodal: Callable, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[model]\nd_model = 32\n")
    words = ("--vgg-weights", "random:0", "--sample", 1, "--device", "cpu", "--config", settings)
    found = trimodal("plan", work, *words)
    assert found.exit_code == 0, found.output
    assert "without --model neither decoding" in found.stderr
    assert "video is planned for cores" in found.stderr
    assert "Measured on 1 of 12 utterances" in found.stdout and "decode" not in found.stdout


def test_numbers_of_machines_are_checked(work: Path, trimodal: Callable) -> None:
    found = trimodal("plan", work, "--preset", "demo", "--nodes", "1,many")
    assert found.exit_code == UsageError.exit_code and "e.g. 8 or 1,8,64" in found.stderr
