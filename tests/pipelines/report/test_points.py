"""Embeddings for the map, from runs that were really trained."""

from pathlib import Path

import numpy as np
import pytest

import model
from featurize.errors import ModelError, StaleError, TrimodalError
from model.store import FeatureStore
from pipelines.evaluate import evaluate
from pipelines.finetune import finetune
from pipelines.pretrain import pretrain
from pipelines.report.points import points
from pipelines.report.runs import read_run


@pytest.fixture(scope="module")
def runs(features, tiny_model, tiny_train, tmp_path_factory) -> Path:
    """ "pretrained", and "tuned", which is evaluated."""
    folder = tmp_path_factory.mktemp("runs")
    common = {"model": tiny_model, "train": tiny_train, "device": "cpu"}
    pretrain(features, folder / "pretrained", **common)
    finetune(features, folder / "tuned", init=folder / "pretrained", seeds=[0, 1], **common)
    evaluate(features, folder / "tuned", device="cpu", n_bootstrap=5)
    return folder


def mean_embedding(network, store: FeatureStore, row: int) -> np.ndarray:
    """By the other way: one utterance alone, without batches."""
    arrays = (store.features(row, modality) for modality in ("audio", "video", "text"))
    return model.embed(network, *arrays).mean(axis=0)


def test_points_are_the_means_of_the_embeddings(runs: Path, features: Path, tmp_path: Path) -> None:
    store = FeatureStore(features / "features", n_stacked_frames=5)
    run = read_run(runs / "tuned")
    found = points(run, tmp_path)
    rows = np.flatnonzero(np.array(store.folds)[store.fold] == "test")
    assert found.vectors.shape == (len(rows), 16) == (12, 16)
    network = model.load(runs / "tuned" / f"seed-{run.scores['best_seed']:02d}")
    want = np.stack([mean_embedding(network, store, row) for row in rows])
    np.testing.assert_allclose(found.vectors, want, atol=1e-5)
    np.testing.assert_array_equal(found.emotions, store.emotions[rows])


def test_pretraining_gives_the_speakers_with_most(runs: Path, tmp_path: Path) -> None:
    found = points(read_run(runs / "pretrained"), tmp_path)
    assert found.speakers == sorted(found.speakers)
    assert {name: found.speakers.count(name) for name in found.speakers} == {
        "id00000": 16, "id00001": 16, "id00002": 16,
    }  # fmt: skip


def test_the_cache_is_used_and_a_damaged_one_made_again(runs: Path, tmp_path: Path) -> None:
    run = read_run(runs / "tuned")
    first = points(run, tmp_path).vectors
    [path] = tmp_path.iterdir()
    np.save(path, first + 1)
    np.testing.assert_array_equal(points(run, tmp_path).vectors, first + 1)
    path.write_bytes(path.read_bytes()[:20])
    np.testing.assert_array_equal(points(run, tmp_path).vectors, first)


def test_other_weights_are_not_taken_from_the_cache(runs: Path, tmp_path: Path) -> None:
    points(read_run(runs / "tuned"), tmp_path)
    points(read_run(runs / "pretrained"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_gone_or_other_is_an_error_that_says_so(
    runs: Path, tmp_path: Path, make_features
) -> None:
    run = read_run(runs / "pretrained")
    with pytest.raises(ModelError, match="not a training run"):
        points(type(run)(tmp_path, run.role, run.config, run.work), tmp_path)
    other = make_features(tmp_path / "other", n=32)
    with pytest.raises(StaleError, match="changed since"):
        points(type(run)(run.path, run.role, run.config, other), tmp_path)
    with pytest.raises(TrimodalError, match="trimodal extract"):
        points(type(run)(run.path, run.role, run.config, tmp_path), tmp_path)
