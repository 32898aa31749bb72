"""Cutting to faces as the command does it: by box lists, and when they change."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import MediaError
from featurize.faces import _read_boxes
from featurize.media import read_frames
from featurize.shards import ShardReader
from featurize.vgg import Vgg16, VggConfig
from pipelines.face_settings import FaceSettings
from pipelines.manifest import Utterance
from pipelines.workspace import Workspace

ROW = "{:06d} \t{:.3f} \t0.200 \t0.300 \t0.400 \n"


def write_boxes(folder: Path, utterance_id: str, n_frames: int, left: float = 0.3) -> Path:
    """A list of the same box for each of the first frames."""
    path = folder / f"{utterance_id}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(ROW.format(100 + k, left) for k in range(n_frames))
    path.write_text(f"Identity  : \tid\n\nFRAME \tX \tY \tW \tH \n{rows}")
    return path


@pytest.fixture(scope="module")
def work(tiny_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MOSEI-like corpus, whose transcripts need no decoding, prepared."""
    from click.testing import CliRunner

    from pipelines.cli import main

    folder = tmp_path_factory.mktemp("faces") / "mosei"
    words = ["prepare", "mosei", str(tiny_corpora / "mosei"), str(folder), "--preset", "demo"]
    assert CliRunner().invoke(main, words).exit_code == 0
    return folder


def test_pictures_are_cut_to_listed_boxes(work: Path, tmp_path: Path, trimodal: Callable) -> None:
    workspace = Workspace(work)
    boxes = tmp_path / "boxes"
    listed = [u for u in workspace.utterances if u.video][:-1]
    for utterance in listed:
        write_boxes(boxes, utterance.id, n_frames=25)  # one second of each
    run = ("extract", work, "video", "--preset", "demo", "--max-reject-share", "0.9", "--jobs", "1",
           "--faces", boxes)  # fmt: skip
    result = trimodal(*run)
    assert result.exit_code == 0, result.output
    assert "pictures without a face of their own" in result.output
    with ShardReader(workspace.feature_path(0, "video")) as shard:
        utterance = next(u for u in listed if u.id in shard.ids)
        arrays = shard.read(utterance.id)
        n_without = shard.columns["n_without_face"][shard.ids.index(utterance.id)]
        reasons = [reject["reason"] for reject in shard.rejects]
    assert "no readable box list: No such file or directory" in reasons
    path = workspace.corpus_root / str(utterance.video)
    _, frames = read_frames(path, fps=1.0, start_s=utterance.start_s, end_s=utterance.end_s)
    assert n_without == len(frames) - 1
    height, width = frames.shape[1:3]
    side = round(1.4 * max(0.3 * width, 0.4 * height))
    left, top = round(0.45 * width - side / 2), round(0.4 * height - side / 2)
    np.testing.assert_allclose(
        arrays["crops"][0] * [width, height, width, height], [left, top, side, side], atol=1e-3
    )
    network = Vgg16(VggConfig(weights="random:0"))
    expected = network(frames[:, top : top + side, left : left + side])
    error = np.linalg.norm(arrays["features"].astype(np.float32) - expected)
    assert error < 0.02 * np.linalg.norm(expected)

    again = trimodal(*run)
    assert again.exit_code == 0 and "already there" in again.output
    write_boxes(boxes, listed[0].id, n_frames=25, left=0.31)
    changed = trimodal(*run)
    assert changed.exit_code == 2 and "boxes=" in changed.output
    shutil.rmtree(boxes)
    gone = trimodal(*run)
    assert gone.exit_code == 2 and "no such folder" in gone.output


def test_other_settings_of_faces_are_named(work: Path, trimodal: Callable, tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text("[video]\nface_scale = 0.01\n")
    result = trimodal("extract", work, "video", "--preset", "demo", "--config", config)
    assert result.exit_code == 2 and "face_scale = 0.01: must be from 0.1 to 10" in result.output
    for device in ("gpu", "cuda:x", "cuda:99"):
        result = trimodal("extract", work, "video", "--preset", "demo", "--device", device)
        assert result.exit_code == 2 and "PyTorch sees" in result.output


def test_a_pipe_among_the_box_lists_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "id1").mkdir()
    os.mkfifo(tmp_path / "id1/a.txt")
    utterance = Utterance("id1/a", "id1", None, "a.mp4")
    absent = FaceSettings(str(tmp_path), 1.4).of_shard([Utterance("id1/a", "id1", None, None)])
    assert FaceSettings(str(tmp_path), 1.4).of_shard([utterance]) == absent
    with pytest.raises(MediaError, match="no regular file"):
        _read_boxes(tmp_path / "id1/a.txt")
