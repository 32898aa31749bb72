"""The map: principal components against scikit-learn, neighbours against a plain count."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from pipelines.report.map import embedding_map, principal_components, same_neighbour
from pipelines.report.points import Points
from pipelines.report.runs import EMBEDDINGS, PRETRAINING, Run


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(2, 9))
def test_components_are_scikit_learns(seed: int, n: int, width: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32) * 5 + 3
    at, shares = principal_components(vectors)
    theirs = PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(np.abs(at), np.abs(theirs.transform(vectors)), atol=1e-4)


def test_sign_of_an_axis_is_fixed_by_its_largest_loading() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)) * [9, 4, 1, 1, 1]
    at, _ = principal_components(vectors)
    assert np.corrcoef(at[:, 0], vectors[:, 0])[0, 1] > 0.9
    assert np.corrcoef(at[:, 1], vectors[:, 1])[0, 1] > 0.9


@pytest.mark.parametrize("n", [1, 2, 5])
def test_vectors_without_variance_lie_on_one_point(n: int) -> None:
    at, shares = principal_components(np.full((n, 3), 2.0, np.float32))
    assert at.shape == (n, 2)
    assert not at.any() and not shares.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_neighbours_are_those_of_a_plain_count(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, groups = rng.normal(size=(n, 4)), rng.integers(0, 3, n)
    hits, pairs = 0, 0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        pairs += sum(groups[i] == groups[j] for j in others)
        lengths = np.linalg.norm(vectors, axis=1)
        cosines = [vectors[i] @ vectors[j] / lengths[i] / lengths[j] for j in others]
        hits += groups[others[int(np.argmax(cosines))]] == groups[i]
    assert same_neighbour(vectors, groups) == pytest.approx((hits / n, pairs / n / (n - 1)))


def test_speakers_apart_are_seen_and_told() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(3, 8))
    vectors = np.repeat(centres, 5, axis=0) + rng.normal(size=(15, 8))
    speakers = [name for name in ("a", "b", "$c$") for _ in range(5)]
    run = Run(Path("p"), PRETRAINING, {}, Path("w"))
    picture = embedding_map(Points(run, vectors, speakers, np.zeros((15, 6), bool)))
    assert picture.key == ("a", "b", "$c$")
    assert "100% of them have a nearest neighbour of the same speaker" in picture.caption
    assert "by chance it would be 29%" in picture.caption
    assert len(picture.panels) == 1


def test_emotions_have_a_panel_each() -> None:
    rng = np.random.default_rng(0)
    run = Run(Path("e"), EMBEDDINGS, {}, Path("w"))
    points = Points(run, rng.normal(size=(30, 8)), ["v"] * 30, rng.random((30, 6)) < 0.5)
    picture = embedding_map(points)
    assert [f">{name}<" in panel for name, panel in zip(
        ("Happy", "Sad", "Anger", "Surprise", "Disgust", "Fear"), picture.panels, strict=True
    )] == [True] * 6  # fmt: skip
