"""Tables 4 to 6 from evaluations written by hand."""

from pathlib import Path

from pipelines.report.further_tables import (
    ranking_table,
    sentiment_table,
    subset_table,
)
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION, Run
from pipelines.report.tables import CONDITIONS, EMOTIONS


def emotion_run(role: str, conditions: tuple[str, ...] = (*CONDITIONS, "V", "T", "V+T")) -> Run:
    one = {"average_precision": 0.4, "average_precision_ci": [0.3, 0.5], "roc_auc": None}
    figures = {emotion: {**one, "n": 20, "n_positive": 5} for emotion in EMOTIONS}
    average = {"wa": 0.6, "f1": 0.7, "average_precision": 0.4, "roc_auc": 0.55}
    test = {c: {"per_emotion": figures, "average": average} for c in conditions}
    return Run(Path("runs") / role, role, {}, Path("w"), evaluation={"test": test, "seeds": [0]})


def test_table_4_has_a_row_a_system_and_measure_below_what_guessing_reaches() -> None:
    table = ranking_table([emotion_run(EMBEDDINGS), emotion_run(LATE_FUSION)])
    assert table is not None
    assert [row.label for row in table.rows] == [
        "share of present", "Late Fusion: AP", "Late Fusion: AUC", "Embeddings: AP",
        "Embeddings: AUC",
    ]  # fmt: skip
    assert [cell.text for cell in table.rows[0].cells] == ["25.0"] * 7
    assert (table.rows[1].cells[0].text, table.rows[1].cells[0].interval) == ("40.0", "30.0–50.0")
    assert [cell.text for cell in table.rows[2].cells] == ["-"] * 6 + ["55.0"]
    assert {term for term, *_ in table.definitions} >= {"AP", "AUC", "F1+", "Acc"}


def test_table_5_is_there_when_more_than_the_papers_subsets_are() -> None:
    table = subset_table([emotion_run(BASELINE)])
    assert table is not None
    assert table.groups == ("A", "V", "T", "A+V", "A+T", "V+T", "A+V+T")
    assert len(table.rows) == 1 and len(table.rows[0].cells) == 14
    assert subset_table([emotion_run(BASELINE, CONDITIONS)]) is None


def test_table_6_has_errors_as_they_are_and_shares_in_per_cent() -> None:
    average = {"mae": 0.6123, "mae_ci": [0.55, 0.7], "accuracy_7": 0.481, "correlation": None}
    average["undefined"] = "correlation: all predictions are the same"
    over = {"n": 2, "mae_mean": 0.62, "mae_std": 0.011, "accuracy_7_mean": 0.47}
    evaluation = {"test": {"A+V+T": {"average": average}}, "seeds": [0, 1], "over_runs": over}
    table = sentiment_table([Run(Path("s"), BASELINE, {}, Path("w"), evaluation=evaluation)])
    assert table is not None
    cells = dict(zip(table.groups, table.rows[1].cells, strict=True))
    assert (cells["MAE"].text, cells["MAE"].interval) == ("0.612", "0.550–0.700")
    assert (cells["Acc-7"].text, cells["Corr"].text) == ("48.1", "-")
    spread = dict(zip(table.groups, table.rows[2].cells, strict=True))
    assert (spread["MAE"].text, spread["MAE"].interval) == ("0.620", "± 0.011")
    assert table.notes == ["s: correlation: all predictions are the same"]


def test_without_runs_there_are_no_tables() -> None:
    assert ranking_table([]) is None and subset_table([]) is None and sentiment_table([]) is None
