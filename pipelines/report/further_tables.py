"""Tables 4 to 6, which the paper does not have: without thresholds, every subset, sentiment."""

from collections.abc import Sequence
from typing import Any

from model.config import EMOTIONS
from model.sentiment_metrics import DEFINITIONS as SENTIMENT_MEASURES
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION, Run
from pipelines.report.tables import (
    ALL,
    BY_EMOTION,
    UNKNOWN,
    Cell,
    Row,
    Table,
    ablation_rows,
    deviation_text,
    interval_text,
    percent,
    scored,
)
from pipelines.report.terms import ABLATION, PROTOCOL, RANKING, SENTIMENT, SUBSETS

NAMES = {LATE_FUSION: "Late Fusion", BASELINE: "TF", EMBEDDINGS: "Embeddings"}
MEASURES = {
    "average_precision": "AP", "roc_auc": "AUC", "f1_positive": "F1+", "accuracy": "Acc",
}  # fmt: skip
SUBSET_CONDITIONS = ("A", "V", "T", "A+V", "A+T", "V+T", ALL)
# Tsai et al. 2019, "Multimodal Transformer", word-aligned CMU-MOSEI: three of its five figures.
MULT = {"mae": "0.580", "accuracy_2": "82.5", "f1_2": "82.3"}
NOT_SHARES = ("mae", "correlation")  # of sentiment: numbers as they are, not in per cent


def further_tables(emotional: Sequence[Run], sentimental: Sequence[Run]) -> list[Table]:
    """Those of them for which there are runs."""
    made = (ranking_table(emotional), subset_table(emotional), sentiment_table(sentimental))
    return [table for table in made if table]


def ranking_table(runs: Sequence[Run]) -> Table | None:
    """A row a system and measure, below the share of present."""
    found = [run for role in NAMES for run in scored(runs, role)]
    if not found:
        return None
    rows = [_present(_per_emotion(found[0])), *(row for run in found for row in _ranking_rows(run))]
    title = "Figures that need no threshold, F1 of “present” alone, and accuracy"
    return Table(4, "Without a threshold", title, BY_EMOTION, tuple(rows), RANKING, ("",))


def subset_table(runs: Sequence[Run]) -> Table | None:
    """Averages of all systems under all seven subsets; None where only the paper's four are."""
    found = [run for role in NAMES for run in scored(runs, role)]
    if not any("V" in run.scores["test"] for run in found):
        return None
    rows = [
        row
        for role, name in NAMES.items()
        if scored(runs, role)
        for row in ablation_rows(runs, role, name, SUBSET_CONDITIONS)
    ]
    title = "Averages over the 6 emotions with every subset of the modalities"
    terms = (SUBSETS, ABLATION, *PROTOCOL)
    return Table(5, "Every subset", title, SUBSET_CONDITIONS, tuple(rows), terms)


def sentiment_table(runs: Sequence[Run]) -> Table | None:
    """Sentiment, a number in [-3, 3]: a row a system, a column a measure."""
    found = [run for role in NAMES for run in scored(runs, role)]
    if not found:
        return None
    heads = tuple(one["name"] for one in SENTIMENT_MEASURES.values())
    mult = tuple(Cell(MULT.get(name, UNKNOWN)) for name in SENTIMENT_MEASURES)
    published = Row("Multimodal Transformer, word-aligned", mult, "paper")
    rows = [published, *(row for run in found for row in _sentiment_rows(run))]
    title = "Sentiment on the CMU-MOSEI dataset; MAE and Corr as they are, the others in per cent"
    return Table(6, "Sentiment", title, heads, tuple(rows), SENTIMENT, ("",))


def _ranking_rows(run: Run) -> list[Row]:
    figures, average = _per_emotion(run), run.scores["test"][ALL]["average"]
    columns = [*(figures.get(emotion, {}) for emotion in EMOTIONS), average]
    return [
        Row(f"{NAMES[run.role]}: {name}", _cells(columns, measure), "ours", run.told)
        for measure, name in MEASURES.items()
        if any(measure in one for one in columns)
    ]


def _cells(columns: Sequence[dict[str, Any]], measure: str) -> tuple[Cell, ...]:
    return tuple(
        Cell(percent(one.get(measure)), interval_text(one.get(f"{measure}_ci"))) for one in columns
    )


def _present(figures: dict[str, dict[str, Any]]) -> Row:
    """What guessing reaches in average precision; the 50 of ROC AUC needs no row."""
    shares = {e: one.get("n_positive", 0) / one["n"] for e, one in figures.items() if one.get("n")}
    cells = [Cell(percent(shares.get(emotion))) for emotion in EMOTIONS]
    mean = sum(shares.values()) / len(shares) if shares else None
    return Row("share of present", (*cells, Cell(percent(mean))), "spread")


def _per_emotion(run: Run) -> dict[str, dict[str, Any]]:
    return run.scores["test"][ALL].get("per_emotion", {})


def _sentiment_rows(run: Run) -> list[Row]:
    figures, over = run.scores["test"][ALL]["average"], run.scores.get("over_runs", {})
    why = f"{run.name}: {figures['undefined']}" if figures.get("undefined") else ""
    cells = tuple(
        Cell(_value(name, figures.get(name)), _between(name, figures.get(f"{name}_ci")), why)
        for name in SENTIMENT_MEASURES
    )
    rows = [Row(NAMES[run.role], cells, "ours", run.told)]
    if over.get("n", 0) > 1:
        spreads = tuple(
            Cell(_value(name, over.get(f"{name}_mean")), _deviation(name, over.get(f"{name}_std")))
            for name in SENTIMENT_MEASURES
        )
        rows.append(Row(f"mean ± std of {over['n']} runs", spreads, "spread"))
    return rows


def _value(name: str, value: float | None) -> str:
    if name not in NOT_SHARES:
        return percent(value)
    return UNKNOWN if value is None else f"{value:.3f}"


def _between(name: str, interval: Sequence[float] | None) -> str:
    if name not in NOT_SHARES or interval is None:
        return interval_text(interval)
    return f"{interval[0]:.3f}–{interval[1]:.3f}"


def _deviation(name: str, value: float | None) -> str:
    if name not in NOT_SHARES or value is None:
        return deviation_text(value)
    return f"± {value:.3f}"
