"""A two-dimensional map of the embeddings, by speaker and by emotion.

The axes are the two principal components. They are a projection, the same at every run and without
a setting: what lies apart on the map lies apart among the embeddings. t-SNE and UMAP separate more
to the eye, but show clusters where there are none (Wattenberg, Viégas, Johnson, "How to use t-SNE
effectively", Distill 2016) and would be a dependency more. What two axes hide is said by a number
beside the map, taken from all dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.config import EMOTIONS
from pipelines.report.drawing import (
    FAINT,
    GLYPHS,
    LINES,
    MARKERS,
    SMALL_INCHES,
    Picture,
    panel,
    svg,
)
from pipelines.report.points import N_SPEAKERS, Points
from pipelines.report.runs import PRETRAINING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def embedding_map(points: Points) -> Picture:
    """By speaker for a pretraining run, by emotion for a fine-tuned one."""
    at, shares = principal_components(points.vectors)
    axes = f"The axes are the two principal components: {shares[0]:.0%} and {shares[1]:.0%} of "
    axes += f"the variance of {len(at)} embeddings, each the mean over an utterance."
    if points.run.role == PRETRAINING:
        return _by_speaker(points, at, axes)
    panels = tuple(_emotion(points, at, k) for k in range(len(EMOTIONS)))
    shares_of = {
        emotion: same_neighbour(points.vectors, points.emotions[:, k])
        for k, emotion in enumerate(EMOTIONS)
    }
    told = ", ".join(f"{e} {found:.0%} ({chance:.0%})" for e, (found, chance) in shares_of.items())
    caption = (
        f"{points.run.name}: segments of test, those that show the emotion in colour. {axes} In "
        f"how many the nearest neighbour, by cosine in all dimensions, agrees on the emotion (by "
        f"chance): {told}."
    )
    return Picture(caption, panels, is_small=True)


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of vectors (n, D): coordinates (n, 2) on the first two, and the share of variance of each.

    An axis points to where its largest loading is positive, since its sign means nothing.
    """
    import numpy as np

    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    at, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    n_axes = min(2, len(lengths))
    loadings = axes[:n_axes]
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.where(loadings[np.arange(n_axes), largest] < 0, -1, 1)
    at[:, :n_axes] = left[:, :n_axes] * lengths[:n_axes] * signs
    total = (lengths**2).sum()
    shares[:n_axes] = lengths[:n_axes] ** 2 / total if total else 0.0
    return at, shares


def same_neighbour(vectors: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Share of vectors (n, D) whose nearest other, by cosine, is of their group; and by chance.

    Chance draws any other of the n at random. Zeros where there is no other.
    """
    import numpy as np

    n = len(vectors)
    if n < 2:
        return 0.0, 0.0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1.0)
    nearness = directions @ directions.T
    np.fill_diagonal(nearness, -np.inf)
    found = (groups[nearness.argmax(axis=1)] == groups).mean()
    _, sizes = np.unique(groups, return_counts=True)
    return float(found), float((sizes * (sizes - 1)).sum() / (n * (n - 1)))


def _by_speaker(points: Points, at: np.ndarray, axes: str) -> Picture:
    import numpy as np

    speakers = np.array(points.speakers)
    names = list(dict.fromkeys(points.speakers))[:N_SPEAKERS]
    figure, ax = _plane("", (5.2, 3.6))
    for number, name in enumerate(names):
        here = at[speakers == name]
        _scatter(ax, here, LINES[number], MARKERS[number], 26)
    found, chance = same_neighbour(points.vectors, speakers)
    caption = (
        f"{points.run.name}: utterances of {len(names)} speakers. {axes} By cosine in all "
        f"dimensions, {found:.0%} of them have a nearest neighbour of the same speaker; by chance "
        f"it would be {chance:.0%}."
    )
    drawn = (svg(figure, f"map {points.run.path}"),)
    return Picture(caption, drawn, key=tuple(names), marks=GLYPHS)


def _emotion(points: Points, at: np.ndarray, k: int) -> str:
    present = points.emotions[:, k]
    figure, ax = _plane(EMOTIONS[k].capitalize(), SMALL_INCHES)
    size = 14 if len(at) < 200 else 7
    _scatter(ax, at[~present], FAINT, "o", size)
    _scatter(ax, at[present], LINES[1], "s", size)
    return svg(figure, f"map {points.run.path} {EMOTIONS[k]}")


def _plane(title: str, inches: tuple[float, float]) -> tuple[Figure, Axes]:
    figure, ax = panel(title, "", inches)
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    return figure, ax


def _scatter(ax: Axes, at: np.ndarray, colour: str, marker: str, size: float) -> None:
    ax.scatter(at[:, 0], at[:, 1], s=size, color=colour, marker=marker, linewidths=0, alpha=0.75)
