"""Histograms of the scores, with the cut: what to look at before trusting it."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from featurize.atomic import atomic_path
from featurize.printable import printable

FEWEST_BINS, MOST_BINS = 24, 80
N_LANGUAGES_SHOWN = 6
OTHER, UNKNOWN = "other languages", "language unknown"


def histogram(scores: Iterable[float]) -> tuple[list[float], list[int]]:
    """Bin edges (n + 1) and counts (n) of the scores.

    Freedman and Diaconis's bin width (1981), within the bounds above: two groups far apart would
    make it too wide.
    """
    values = np.fromiter(scores, dtype=np.float64)
    low_quartile, high_quartile = np.percentile(values, [25, 75])
    width = 2 * (high_quartile - low_quartile) / len(values) ** (1 / 3)
    spread = values.max() - values.min()
    n_bins = math.ceil(spread / width) if width * MOST_BINS > spread else MOST_BINS
    is_spread = spread > 1e-9 * max(abs(values.max()), 1.0)  # else no room for bins in float64
    counts, edges = np.histogram(values, bins=max(n_bins, FEWEST_BINS) if is_spread else 1)
    return edges.tolist(), counts.tolist()


def histogram_figure(
    path: Path,
    scores: Mapping[str, float],
    threshold: float,
    languages: Mapping[str, str] | None = None,
    *,
    name: str,
) -> None:
    """Draws the scores (id -> score) as a PNG, stacked by language when these are known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges, _ = histogram(scores.values())
    groups = {"utterances": list(scores.values())}
    if languages is not None:
        groups = _by_language(scores, languages)
    axes.hist(list(groups.values()), bins=edges, stacked=True, label=_labels(groups))
    _draw_cut(axes, scores, threshold)
    axes.set_xlabel(name.replace("_", " "), parse_math=False)
    axes.set_ylabel("utterances")
    axes.set_title("How well the English model explains each utterance", pad=28)
    if languages is not None:
        axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def both_counts(scores: np.ndarray, is_kept: np.ndarray) -> dict[str, list]:
    """Bin edges (n + 1), and counts (n) of the kept and of the others, of scores (N,).

    Scores that are not known (NaN) are left out.
    """
    known = np.isfinite(scores)
    edges, _ = histogram(scores[known])
    kept, dropped = (np.histogram(scores[known & of], bins=edges)[0] for of in (is_kept, ~is_kept))
    return {"bin_edges": edges, "kept": kept.tolist(), "dropped": dropped.tolist()}


def all_scores_figure(path: Path, scores: Mapping[str, Mapping[str, list]]) -> None:
    """Draws what ``both_counts`` made of each score as one PNG: kept on top of dropped."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.2 * len(scores)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scores), 1, squeeze=False)[:, 0]
    for axes, (name, counts) in zip(panels, scores.items(), strict=True):
        edges, dropped = counts["bin_edges"], np.array(counts["dropped"])
        axes.stairs(dropped, edges, fill=True, label="dropped", color="tab:orange")
        total = dropped + np.array(counts["kept"])
        axes.stairs(total, edges, baseline=dropped, fill=True, label="kept", color="tab:blue")
        axes.set_xlabel(name.replace("_", " "), parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_cut(axes, scores: Mapping[str, float], threshold: float) -> None:
    n_kept = sum(score >= threshold for score in scores.values())
    axes.axvline(threshold, color="black", linewidth=1.2, linestyle="--")
    for side, text in (
        ("right", f"{len(scores) - n_kept} below  "),
        ("left", f"  {n_kept} kept, from {threshold:.3f} on"),
    ):
        axes.annotate(
            text,
            (threshold, 1.02),
            xycoords=("data", "axes fraction"),
            horizontalalignment=side,
            fontsize="small",
        )


def _by_language(
    scores: Mapping[str, float], languages: Mapping[str, str]
) -> dict[str, list[float]]:
    """Scores of each language, the most frequent ones first, the rest together."""
    groups: dict[str, list[float]] = {}
    for utterance_id, score in scores.items():
        groups.setdefault(languages.get(utterance_id, UNKNOWN), []).append(score)
    ordered = sorted(groups, key=lambda name: (-len(groups[name]), name))
    shown = {name: groups[name] for name in ordered[:N_LANGUAGES_SHOWN]}
    rest = [score for name in ordered[N_LANGUAGES_SHOWN:] for score in groups[name]]
    return {**shown, OTHER: rest} if rest else shown


def _labels(groups: Mapping[str, list[float]]) -> list[str]:
    r"""Names with their numbers; what matplotlib would set as a formula (``$\frac``) is plain."""
    plain = {name: printable(name).replace("$", r"\$") for name in groups}
    return [f"{plain[name]} ({len(values)})" for name, values in groups.items()]
