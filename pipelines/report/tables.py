"""The paper's Tables 1, 2 and 3: its own figures, and those of the runs at hand below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.config import EMOTIONS
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION, Run
from pipelines.report.terms import ABLATION, PROTOCOL, Definition

UNKNOWN = "-"
ALL = "A+V+T"
CONDITIONS = ("A", "A+V", "A+T", ALL)
METRICS = ("wa", "f1")
BY_EMOTION = (*(emotion.capitalize() for emotion in EMOTIONS), "Average")
FROM_MULTITASK = "Embeddings from the Multi-task model"

# Khare et al. 2020: WA and F1 of each emotion, then their average, in per cent, as printed.
# (The average WA of TF is 66.4 in Tables 1 and 2 and 66.5 in Table 3.)
_TF = "67.8 67.5 63.9 72.9 66.8 74.5 60.6 88.0 74.8 82.3 64.4 86.1 66.4 78.5"
PAPER_1 = {
    "M-ELMo + NN [10] (A+T)": (
        "67.0 65.2 63.1 72.0 65.8 74.7 63.8 83.3 74.2 81.7 63.2 85.1 66.2 77.0"
    ),
    "Graph-MFN [21]": "66.3 66.3 60.4 66.9 62.6 72.8 53.7 85.5 69.1 76.6 62.0 89.9 62.3 76.3",
    "CIM-Att-STL [15]": "53.6 67.0 61.4 72.4 66.8 75.9 60.6 86.0 72.7 81.9 62.2 87.9 62.8 78.6",
    "Late Fusion": "66.2 66.3 63.7 71.8 66.2 73.6 62.2 87.8 74.1 83.3 62.3 86.6 65.8 78.2",
    "TF": _TF,
}
PAPER_2 = {
    "Baseline": _TF,
    FROM_MULTITASK: "67.5 67.7 65.4 71.3 67.0 75.8 63.9 87.8 74.9 83.4 64.2 86.9 67.1 78.8",
}
PAPER_3 = {
    "Baseline": "57.2 74.4 60.3 76.3 65.8 77.8 66.5 78.5",
    FROM_MULTITASK: "57.6 75.1 60.9 76.4 66.2 78.4 67.1 78.8",
}


@dataclass(frozen=True)
class Cell:
    """A figure as text; below it, small, its 95% interval or deviation; and why it is missing."""

    text: str = UNKNOWN
    interval: str = ""
    why: str = ""


@dataclass(frozen=True)
class Row:
    """``source``: "paper", "ours" or "spread" (mean and standard deviation over runs)."""

    label: str
    cells: tuple[Cell, ...]
    source: str
    run: str = ""


@dataclass(frozen=True)
class Table:
    """``groups`` are the column heads; each spans a column a measure.

    ``definitions`` (term, definition, source) are to be shown beside it, under ``heading``.
    """

    number: int
    heading: str
    title: str
    groups: tuple[str, ...]
    rows: tuple[Row, ...]
    definitions: tuple[Definition, ...]
    measures: tuple[str, ...] = ("WA", "F1")

    @property
    def notes(self) -> list[str]:
        """Why figures are missing, or averaged over fewer emotions; each reason once."""
        return list(dict.fromkeys(c.why for row in self.rows for c in row.cells if c.why))


def tables(runs: Sequence[Run]) -> list[Table]:
    """The three tables with the rows that ``runs`` allow, and "-" where there are none.

    ``runs`` are those of the emotions, or of pretraining.
    """
    return [
        Table(
            1,
            "Baselines",
            "Baseline results on the CMU-MOSEI dataset. TF is the transformer-based model",
            BY_EMOTION,
            (
                *_paper(PAPER_1),
                *_by_emotion(runs, LATE_FUSION, "Late Fusion"),
                *_by_emotion(runs, BASELINE, "TF"),
            ),
            PROTOCOL,
        ),
        Table(
            2,
            "Embeddings against the baseline",
            "Weighted accuracy and F1-score with embeddings learned on the VoxCeleb2 dataset",
            BY_EMOTION,
            (
                *_paper(PAPER_2),
                *_by_emotion(runs, BASELINE, "Baseline"),
                *_by_emotion(runs, EMBEDDINGS, FROM_MULTITASK),
            ),
            PROTOCOL,
        ),
        Table(
            3,
            "Ablation",
            "Ablation studies with and without learned embeddings: average weighted accuracy and "
            "F1-scores over the 6 emotions",
            CONDITIONS,
            (
                *_paper(PAPER_3),
                *ablation_rows(runs, BASELINE, "Baseline", CONDITIONS),
                *ablation_rows(runs, EMBEDDINGS, FROM_MULTITASK, CONDITIONS),
            ),
            (ABLATION, *PROTOCOL),
        ),
    ]


def ablation_rows(
    runs: Sequence[Run], role: str, label: str, conditions: Sequence[str]
) -> list[Row]:
    """Averages over the emotions under each condition; a row of "-" without such a run."""
    rows = []
    for run in scored(runs, role):
        test, over = run.scores["test"], run.scores.get("over_runs", {})
        averages = {c: test.get(c, {}).get("average", {}) for c in conditions}
        rows.append(Row(label, _pairs(averages), "ours", run.told))
        spreads = {c: over if c == ALL else over.get("ablation", {}).get(c, {}) for c in conditions}
        rows += _spread_row(over, spreads)
    return rows or [Row(label, (Cell(),) * (2 * len(conditions)), "ours", "no such run given")]


def scored(runs: Sequence[Run], role: str) -> list[Run]:
    """The runs of a role that were evaluated."""
    return [run for run in runs if run.role == role and run.evaluation]


def percent(value: float | None, digits: int = 1) -> str:
    """0.678 -> "67.8"; "-" for None."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f}"


def interval_text(interval: Sequence[float] | None) -> str:
    """(0.61, 0.742) -> "61.0–74.2"; empty for None."""
    return "" if interval is None else f"{percent(interval[0])}–{percent(interval[1])}"


def deviation_text(value: float | None) -> str:
    """0.012 -> "± 1.2"; empty for None."""
    return "" if value is None else f"± {percent(value)}"


def _paper(rows: dict[str, str]) -> list[Row]:
    return [
        Row(label, tuple(Cell(figure) for figure in figures.split()), "paper")
        for label, figures in rows.items()
    ]


def _by_emotion(runs: Sequence[Run], role: str, label: str) -> list[Row]:
    rows = []
    for run in scored(runs, role):
        test, over = run.scores["test"][ALL], run.scores.get("over_runs", {})
        columns = {emotion: test.get("per_emotion", {}).get(emotion, {}) for emotion in EMOTIONS}
        rows.append(Row(label, _pairs({**columns, "average": test["average"]}), "ours", run.told))
        spreads = {emotion: over.get("per_emotion", {}).get(emotion, {}) for emotion in EMOTIONS}
        rows += _spread_row(over, {**spreads, "average": over})
    return rows or [Row(label, (Cell(),) * (2 * len(BY_EMOTION)), "ours", "no such run given")]


def _pairs(columns: dict[str, dict[str, Any]]) -> tuple[Cell, ...]:
    return tuple(
        _cell(name, figures, metric) for name, figures in columns.items() for metric in METRICS
    )


def _cell(name: str, figures: dict[str, Any], metric: str) -> Cell:
    why = f"{name}: {figures['undefined']}" if figures.get("undefined") else ""
    return Cell(percent(figures.get(metric)), interval_text(figures.get(f"{metric}_ci")), why)


def _spread_row(over: dict[str, Any], columns: dict[str, dict[str, Any]]) -> list[Row]:
    if over.get("n", 0) < 2:
        return []
    cells = tuple(
        Cell(percent(of.get(f"{m}_mean")), deviation_text(of.get(f"{m}_std")))
        for of in columns.values()
        for m in METRICS
    )
    return [Row(f"mean ± std of {over['n']} runs", cells, "spread")]
