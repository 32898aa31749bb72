"""How the report draws: matplotlib to inline SVG that takes its colours from the page."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib draws with; the page's style sheet says what they look like, so that
# a curve is legible on a light page, a dark page and on paper.
N_LINES = 8
INK, GRID, FAINT = "#010203", "#010204", "#01020d"
LINES = tuple(f"#{0x010205 + number:06x}" for number in range(N_LINES))
_STYLES = {
    INK: "var(--ink)",
    GRID: "var(--rule)",
    FAINT: "var(--faint)",
    **{line: f"var(--line-{number})" for number, line in enumerate(LINES, 1)},
}
# So that lines are told apart without colour too; the page's keys have the same.
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")  # the same in the page's keys
PANEL_INCHES = (3.5, 2.3)
SMALL_INCHES = (2.3, 2.2)


@dataclass(frozen=True)
class Picture:
    """<svg> elements to be put into the page as they are, or a data: address of an image.

    ``key`` names the lines by their number, from the first, or, with ``marks``, those marks;
    ``is_small`` panels stand closer together.
    """

    caption: str
    panels: tuple[str, ...] = ()
    source: str = ""
    key: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    is_small: bool = False


def panel(
    title: str, below: str, inches: tuple[float, float] = PANEL_INCHES
) -> tuple[Figure, Axes]:
    """An empty plot with a title and a name for its abscissa."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    style: Any = {"font.size": 9, "axes.titlesize": 9, "grid.color": GRID}
    with mpl.rc_context(style | dict.fromkeys(colours, INK)):
        figure = Figure(inches, layout="constrained")
        ax = figure.subplots()
        ax.set_title(title, parse_math=False)  # names come from files: a $ is a $
        ax.set_xlabel(below, parse_math=False)
        ax.grid(lw=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_visible(False)
    return figure, ax


def share_panel(title: str, below: str, beside: str = "") -> tuple[Figure, Axes]:
    """A small square plot of two shares, both from 0 to 1."""
    figure, ax = panel(title, below, SMALL_INCHES)
    ax.set_ylabel(beside)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return figure, ax


def svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element, the same for the same content.

    ``salt`` is different for each figure of a page, so that the names inside are.
    """
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


def number(value: Any) -> float:
    """A number to plot; NaN, which leaves a gap, for anything else."""
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if is_number else math.nan
