"""How far the random initialisations of each system lie apart."""

from collections.abc import Sequence

from pipelines.report.drawing import FAINT, INK, LINES, Picture, number, panel, svg
from pipelines.report.runs import Run

MAX_NAME = 18  # characters of a run's name beside the plot


def spread(runs: Sequence[Run]) -> Picture | None:
    """Averages over the emotions on test, a dot a seed; None where no system has two seeds."""
    shown = [run for run in runs if run.evaluation and len(run.evaluation.get("runs", ())) > 1]
    if not shown:
        return None
    panels = tuple(_panel(shown, *names) for names in (("wa", "WA"), ("f1", "F1")))
    return Picture(
        "Run to run: a dot is one random initialisation, scored on test; filled is the one that "
        "dev chose, the bar their mean. A system whose chosen run lies far from its mean was lucky "
        "in its choice, or unlucky.",
        panels,
    )


def _panel(shown: Sequence[Run], key: str, name: str) -> str:
    figure, ax = panel(f"average {name} on test", "per cent", (3.6, 1.1 + 0.36 * len(shown)))
    for height, run in enumerate(reversed(shown)):
        evaluation = run.evaluation or {}
        of_seed = {one["seed"]: 100 * number(one["test"].get(key)) for one in evaluation["runs"]}
        line = LINES[(len(shown) - 1 - height) % len(LINES)]
        values = list(of_seed.values())
        best = of_seed.get(evaluation["best_seed"], number(None))
        ax.plot(values, [height] * len(values), "o", ms=6, mfc="none", mec=line, mew=1.2)
        ax.plot([best], [height], "o", ms=6, color=line)
        mean = 100 * number(evaluation.get("over_runs", {}).get(f"{key}_mean"))
        ax.plot([mean, mean], [height - 0.3, height + 0.3], color=INK, lw=1.4)
    # A dollar sign in a name is no formula.
    names = [_short(run.name) for run in reversed(shown)]
    ax.set_yticks(range(len(shown)), names, parse_math=False)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.spines["left"].set_color(FAINT)
    return svg(figure, f"spread {key}")


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
