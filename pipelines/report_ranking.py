"""Table 4, which the paper does not have: figures that need no threshold, and F1 of "present"."""

from collections.abc import Sequence
from typing import Any

from pipelines.report_runs import BASELINE, EMBEDDINGS, LATE_FUSION, Run
from pipelines.report_tables import BY_EMOTION, EMOTIONS, Cell, Row, Table, interval_text, percent

NAMES = {LATE_FUSION: "Late Fusion", BASELINE: "TF", EMBEDDINGS: "Embeddings"}
MEASURES = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "f1_positive": "F1 of present",
    "accuracy": "accuracy",
}


def ranking_table(runs: Sequence[Run]) -> Table | None:
    """A row a system and measure below the share of present; None without an evaluated run."""
    scored = [run for role in NAMES for run in runs if run.role == role and run.evaluation]
    if not scored:
        return None
    rows = [_present(_per_emotion(scored[0])), *(row for run in scored for row in _rows(run))]
    title = "Figures that need no threshold, and the F1 of “present” alone"
    return Table(4, title, BY_EMOTION, tuple(rows), measures=("",))


def _rows(run: Run) -> list[Row]:
    figures = _per_emotion(run)
    label = NAMES[run.role]
    return [
        Row(f"{label}: {name}", _cells(figures, measure), "ours", run.name)
        for measure, name in MEASURES.items()
        if any(measure in of_one for of_one in figures.values())
    ]


def _cells(figures: dict[str, dict[str, Any]], measure: str) -> tuple[Cell, ...]:
    of_emotion = [figures.get(emotion, {}) for emotion in EMOTIONS]
    cells = [
        Cell(percent(one.get(measure)), interval_text(one.get(f"{measure}_ci")))
        for one in of_emotion
    ]
    defined = [one[measure] for one in of_emotion if one.get(measure) is not None]
    mean = sum(defined) / len(defined) if defined else None
    return (*cells, Cell(percent(mean)))


def _present(figures: dict[str, dict[str, Any]]) -> Row:
    """What guessing reaches in average precision; the 50 of ROC AUC needs no row."""
    shares = {e: one["n_positive"] / one["n"] for e, one in figures.items() if one.get("n")}
    cells = [Cell(percent(shares.get(emotion))) for emotion in EMOTIONS]
    mean = sum(shares.values()) / len(shares) if shares else None
    return Row("Share of present", (*cells, Cell(percent(mean))), "spread")


def _per_emotion(run: Run) -> dict[str, dict[str, Any]]:
    return (run.evaluation or {})["test"]["A+V+T"]["per_emotion"]
