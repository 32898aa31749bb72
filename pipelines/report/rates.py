"""The report's curves over thresholds: ROC and precision-recall on test, WA and F1 on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from model.config import EMOTIONS
from pipelines.report.drawing import (
    DASHES,
    FAINT,
    LINES,
    N_LINES,
    Picture,
    share_panel,
    svg,
)
from pipelines.report.predictions import Predicted, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from model.curves import Curve
    from model.metrics import Metric

N_POINTS = 250  # of a curve that are drawn: as many as a small plot can show
CurveOf = Callable[["Scores", int], "Curve | None"]


def roc(systems: Sequence[Predicted]) -> Picture | None:
    """A panel an emotion, a line a system; None without a system."""
    from model.curves import roc_curve

    def of(scores: Scores, k: int) -> Curve | None:
        return roc_curve(scores.scores[:, k], scores.labels[:, k])

    caption = (
        "ROC on test: the share of present segments that are found (up) against the share of "
        "absent ones that are taken for present (right). Chance is the diagonal."
    )
    axes = ("false positives", "found")
    return _by_emotion("roc", caption, systems, of, axes, _diagonal, "default")


def precision_recall(systems: Sequence[Predicted]) -> Picture | None:
    """As ``roc``; the level line is what guessing reaches."""
    from model.curves import precision_recall_curve

    def of(scores: Scores, k: int) -> Curve | None:
        return precision_recall_curve(scores.scores[:, k], scores.labels[:, k])

    caption = (
        "Precision and recall on test: how many of the segments that are called present are (up), "
        "and how many of those that are present are called so (right). Chance is the level line: "
        "the share of present."
    )
    axes = ("recall", "precision")
    # Steps, as average precision is summed; a ROC's ties are straight lines, as its area has it.
    return _by_emotion("pr", caption, systems, of, axes, _level, "steps-pre")


def thresholds(system: Predicted) -> Picture | None:
    """WA and F1 on dev by threshold, the chosen thresholds marked; None without dev's scores."""
    if system.dev is None:
        return None
    from model.metrics import weighted_accuracy, weighted_f1

    panels = []
    for k, emotion in enumerate(EMOTIONS):
        figure, ax = share_panel(emotion.capitalize(), "threshold")
        for line, metric in enumerate((weighted_accuracy, weighted_f1)):
            _draw_threshold_curve(ax, system.dev, k, metric, line)
        panels.append(svg(figure, f"{system.run.path} thresholds {emotion}"))
    caption = f"{system.run.name}: WA and F1 on dev at every threshold; the dot is the chosen one."
    return Picture(caption, tuple(panels), key=("WA", "F1"), is_small=True)


def _draw_threshold_curve(ax: Axes, dev: Scores, k: int, metric: Metric, line: int) -> None:
    from model.curves import thinned, threshold_curve
    from model.metrics import choose_threshold

    scores, labels = dev.scores[:, k], dev.labels[:, k]
    curve = threshold_curve(scores, labels, metric)
    if curve is None:
        _say(ax, "one class only in dev")
        return
    x, y = thinned(curve, N_POINTS)
    # Below the first threshold all are present, above the last none.
    whole = [0.0, *x, 1.0], [y[0], *y, y[-1]]
    ax.plot(*whole, drawstyle="steps-pre", lw=1.3, color=LINES[line], ls=DASHES[line])
    chosen = choose_threshold(scores, labels, metric)
    reached = metric(labels, scores >= chosen) or 0.0
    ax.plot([chosen], [reached], "o", ms=4.5, color=LINES[line])


def _by_emotion(
    name: str,
    caption: str,
    systems: Sequence[Predicted],
    curve_of: CurveOf,
    axes: tuple[str, str],
    chance: Callable[[Axes, Scores, int], None],
    drawstyle: str,
) -> Picture | None:
    from model.curves import thinned

    shown = systems[:N_LINES]
    if not shown:
        return None
    panels = []
    for k, emotion in enumerate(EMOTIONS):
        figure, ax = share_panel(emotion.capitalize(), *axes)
        chance(ax, shown[0].test, k)
        for line, system in enumerate(shown):
            curve = curve_of(system.test, k)
            if curve is None:
                _say(ax, "one class only in test")
                continue
            x, y = thinned(curve, N_POINTS)
            dashes = DASHES[line % len(DASHES)]
            ax.plot(x, y, drawstyle=drawstyle, lw=1.3, color=LINES[line], ls=dashes)
        panels.append(svg(figure, f"{name} {emotion}"))
    return Picture(caption, tuple(panels), key=tuple(s.run.name for s in shown), is_small=True)


def _diagonal(ax: Axes, test: Scores, k: int) -> None:
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.9)


def _level(ax: Axes, test: Scores, k: int) -> None:
    ax.axhline(test.labels[:, k].mean(), color=FAINT, lw=0.9)


def _say(ax: Axes, words: str) -> None:
    ax.text(0.5, 0.5, words, ha="center", va="center", fontsize=8)
