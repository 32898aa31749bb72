"""Imported features are features: a model trains on them, by the commands a user types."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from featurize.shards import ShardReader
from model import checkpoint
from pipelines.exchange.export_webdataset import export_webdataset
from pipelines.status import workspace_status
from pipelines.workspace import Workspace

COVAREP_WIDTH, OPENFACE_WIDTH = 74, 20


def write_covarep(workspace: Workspace, path: Path) -> None:
    """100 rows a second of whole recordings, some values minus infinity, as in the real file."""
    rng = np.random.default_rng(0)
    ends: dict[str, float] = {}
    for u in workspace.utterances:
        ends[str(u.recording)] = max(ends.get(str(u.recording), 0), u.recording_end_s or 0)
    with h5py.File(path, "w") as file:
        for recording, end_s in ends.items():
            starts = np.arange(0, end_s, 0.01)
            features = rng.normal(size=(len(starts), COVAREP_WIDTH))
            features[5, 3] = -np.inf
            file[f"COVAREP/data/{recording}/features"] = features
            file[f"COVAREP/data/{recording}/intervals"] = np.stack([starts, starts + 0.01], 1)


def write_openface(workspace: Workspace, folder: Path) -> None:
    rng = np.random.default_rng(1)
    for u in workspace.utterances:
        path = folder / f"{u.id}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        times_s = np.arange(0, 2, 0.2)
        np.savez(path, features=rng.normal(size=(10, OPENFACE_WIDTH)), times_s=times_s)


@pytest.mark.slow
def test_a_model_trains_on_imported_features(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    work, preset = tmp_path / "mosei", ("--preset", "demo")

    def run(*words: object) -> str:
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("prepare", "mosei", tiny_corpora / "mosei", work, *preset, "--shard-size", 8)
    workspace = Workspace(work)
    assert any(u.end_s is None for u in workspace.utterances)  # clips, whose time begins at 0
    write_covarep(workspace, tmp_path / "covarep.csd")
    write_openface(workspace, tmp_path / "openface")
    said = run("import", "csd", work, tmp_path / "covarep.csd", "--modality", "audio")
    assert "were not finite and are 0" in said and "0 recordings in it unused" in said
    run("import", "npz", work, tmp_path / "openface", "--modality", "video")
    run("extract", work, "targets", *preset)
    status = workspace_status(work)
    assert [s["done"] for s in status["stages"]] == [12, 12, 12, 0, 12]
    assert 0 < status["hours"] < 0.05
    for u in workspace.utterances:
        for number in range(workspace.n_shards):
            with ShardReader(workspace.feature_path(number, "audio")) as shard:
                if u.id in shard.index:
                    n_rows = len(shard.read(u.id)["features"])
                    length_s = u.recording_end_s - u.recording_start_s
                    assert n_rows == pytest.approx(100 * length_s, abs=1)
    (tmp_path / "few.toml").write_text("[pretrain]\ndev_fraction = 0.4\n")  # of 12 utterances
    run("pretrain", work, tmp_path / "pretrained", *preset, "--max-epochs", 1,
        "--config", tmp_path / "few.toml")  # fmt: skip
    run("finetune", work, tmp_path / "run", *preset, "--max-epochs", 1, "--n-seeds", 1,
        "--init", tmp_path / "pretrained")  # fmt: skip
    run("evaluate", work, tmp_path / "run")
    settings = checkpoint.read_json(tmp_path / "run" / "seed-00" / checkpoint.CONFIG)
    dims = settings["dims"]
    assert (dims["audio"], dims["video"]) == (5 * COVAREP_WIDTH, OPENFACE_WIDTH)
    assert export_webdataset(work, tmp_path / "out").n_utterances == 12
    mixed = trimodal("extract", work, "audio", *preset)
    assert mixed.exit_code == 2 and "--redo" in mixed.output
