"""Tables as Markdown, read back by hand as GitHub splits them."""

import re

from pipelines.report.markdown import escape, markdown
from pipelines.report.tables import Cell, Row, Table

ROWS = (
    Row("M-ELMo [10]", (Cell("67.0"), Cell("65.2")), "paper"),
    Row("TF", (Cell("60.4", "45.0–75.0"), Cell("-", why="none | shown")), "ours", "a|b"),
    Row("mean ± std of 3 runs", (Cell("58.5", "± 6.5"), Cell("53.3")), "spread"),
)
TABLE = Table(1, "Baselines", "Results", ("Happy",), ROWS, (("WA", "a share", "someone"),))


def columns(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_table_has_its_rows_and_columns() -> None:
    lines = markdown([TABLE]).splitlines()
    rows = [columns(line) for line in lines if line.startswith("|")]
    assert rows == [
        ["Model", "Happy WA", "Happy F1"],
        ["---", "---:", "---:"],
        [r"M-ELMo \[10\] *(paper)*", "67.0", "65.2"],
        [r"TF *(a\|b)*", "**60.4**<br>45.0–75.0", "**-**"],
        ["*mean ± std of 3 runs*", "58.5<br>± 6.5", "53.3"],
    ]
    assert r"none \| shown.  " in lines
    assert "- WA: a share *someone*" in lines


def test_what_is_said_stands_below() -> None:
    assert markdown([TABLE], ["only <b>2</b>\nruns"]).endswith("- only \\<b\\>2\\</b\\> runs\n")


def test_escape_leaves_no_markup() -> None:
    assert escape("[x](y) *a* _b_ `c`") == r"\[x\](y) \*a\* \_b\_ \`c\`"
