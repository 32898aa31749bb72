"""Stages run alone on real recordings, brought into VoxCeleb2's layout."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.status import workspace_status


@pytest.mark.slow
def test_real_clips_go_through_every_data_stage(
    shared_data: Path, tmp_path: Path, trimodal: Callable
) -> None:
    clips = sorted((shared_data / "video").glob("*.m*"))
    clips += sorted((shared_data / "video" / "bad").iterdir())
    for number, clip in enumerate(clips, start=1):
        folder = tmp_path / "corpus" / "mp4" / f"id{number:05d}" / "video"
        folder.mkdir(parents=True)
        shutil.copy(clip, folder / "00001.mp4")
    work = tmp_path / "work"
    common = ("--preset", "demo", "--max-reject-share", "1")
    for words in (
        ("prepare", "voxceleb2", tmp_path / "corpus", work),
        ("decode", work, *common),
        ("select", work, "--keep-fraction", "1"),
        ("extract", work, *common),
    ):
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
    stages = {stage["stage"]: stage for stage in workspace_status(work)["stages"]}
    assert stages["prepare"]["done"] == len(clips) == 8
    assert stages["decode"]["rejected"] >= 2  # two clips have no sound
    assert stages["video"]["done"] >= 4  # the four whole talking faces
    assert all(stage["pending"] == 0 for stage in stages.values())
