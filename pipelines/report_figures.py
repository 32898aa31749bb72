"""The report's curves, as inline SVG that takes its colours from the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.report_runs import PRETRAINING, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib draws with; the page's style sheet says what they look like, so that
# a curve is legible on a light page, a dark page and on paper.
_INK, _GRID, _LINES = "#010203", "#010204", ("#010205", "#010206")
_STYLES = {
    _INK: "var(--ink)",
    _GRID: "var(--rule)",
    **{line: f"var(--line-{number})" for number, line in enumerate(_LINES, 1)},
}
PANEL_INCHES = (3.5, 2.3)


@dataclass(frozen=True)
class Picture:
    """<svg> elements to be put into the page as they are, or a data: address of an image."""

    caption: str
    panels: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Panel:
    """One plot of an epoch's figures; ``keys`` are names in the log, ``legend`` their titles."""

    title: str
    keys: tuple[str, ...]
    legend: tuple[str, ...] = ()


FINETUNING_PANELS = (
    Panel("loss", ("train_loss", "dev_loss"), ("train", "dev")),
    Panel("weighted accuracy, dev", ("dev_wa",)),
    Panel("weighted F1, dev", ("dev_f1",)),
)


def _pretraining_panels(run: Run) -> tuple[Panel, ...]:
    """The character error rate is of whole speakers that were held out, where some were."""
    whose = "unseen speakers" if run.config.get("unseen_speakers") else "dev"
    return (
        Panel("loss", ("train_loss", "dev_loss"), ("train", "dev")),
        Panel(f"character error rate, {whose}", ("dev_cer", "dev_cer_beam"), ("greedy", "beam")),
        Panel("speaker accuracy, dev", ("dev_speaker_accuracy",)),
    )


def curves(run: Run) -> Picture | None:
    """What the run's log tells, by epoch: one line a seed. None without a finished epoch."""
    logs = [lines for lines in run.logs.values() if lines]
    if not logs:
        return None
    panels = _pretraining_panels(run) if run.role == PRETRAINING else FINETUNING_PANELS
    drawn = tuple(_curve(panel, logs, f"{run.path} {panel.title}") for panel in panels)
    n_seeds = f", {len(logs)} random initialisations" if len(logs) > 1 else ""
    return Picture(f"{run.name}: {run.role}{n_seeds}", panels=drawn)


def _curve(panel: Panel, logs: Sequence[Sequence[dict[str, Any]]], salt: str) -> str:
    figure, ax = _panel(panel.title, "epoch")
    for number, key in enumerate(panel.keys):
        for n_drawn, lines in enumerate(logs):
            # Named once, not once a seed.
            label = panel.legend[number] if panel.legend and not n_drawn else None
            epochs = [line.get("epoch", 0) for line in lines]
            values = [_number(line.get(key)) for line in lines]
            ax.plot(epochs, values, color=_LINES[number], label=label, lw=1.4, alpha=0.85)
    if panel.legend:
        ax.legend(frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure, salt)


def likelihoods(selected: dict[str, Any]) -> Picture | None:
    """Histogram of the log-likelihood per frame with the cut, from WORK/select/select.json."""
    scores = selected.get("scores") or {}
    edges, counts = scores.get("bin_edges") or [], scores.get("counts") or []
    if len(edges) != len(counts) + 1 or not counts:
        return None
    threshold = _number(selected.get("threshold"))
    title = "" if math.isnan(threshold) else f"utterances; kept from {threshold:.3f} on"
    figure, ax = _panel(title, "log-likelihood per frame", (6.4, 2.6))
    ax.stairs(counts, edges, fill=True, color=_LINES[0], alpha=0.6)
    ax.axvline(threshold, color=_LINES[1], lw=1.6)
    return Picture(_caption(selected), panels=(_svg(figure, "likelihoods"),))


def _caption(selected: dict[str, Any]) -> str:
    text = f"{selected.get('n_kept', '?')} utterances kept, {selected.get('n_dropped', '?')} not"
    if selected.get("n_without_words"):
        text += f" ({selected['n_without_words']} of them without words)"
    known = [(name, selected.get(name)) for name in ("precision", "recall")]
    told = [f"{name} {100 * value:.1f}%" for name, value in known if value is not None]
    if told:
        text += f"; against the known languages: {', '.join(told)}"
    definition = str(selected.get("definition") or "").rstrip(".")
    return f"{text}. Likelihood: {definition}." if definition else text


def _panel(
    title: str, below: str, inches: tuple[float, float] = PANEL_INCHES
) -> tuple[Figure, Axes]:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    colours = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    style: Any = {"font.size": 9, "axes.titlesize": 9, "grid.color": _GRID}
    with mpl.rc_context(style | dict.fromkeys(colours, _INK)):
        figure = Figure(inches, layout="constrained")
        ax = figure.subplots()
        ax.set_title(title)
        ax.set_xlabel(below)
        ax.grid(lw=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=inches == PANEL_INCHES))
    return figure, ax


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element, the same for the same content."""
    import matplotlib as mpl

    stream = io.StringIO()
    figure.patch.set_visible(False)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # In a page, the style would reach beyond the figure, and names would occur more than once.
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return re.sub("|".join(_STYLES), lambda match: _STYLES[match[0]], text)


def _number(value: Any) -> float:
    """A number to plot; NaN, which leaves a gap, for anything else."""
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if is_number else math.nan


def all_curves(runs: Sequence[Run]) -> list[Picture]:
    """The curves of every run that has some."""
    return [picture for picture in map(curves, runs) if picture]
