"""Tables as LaTeX: the form of booktabs, and that pdfLaTeX takes whatever a run is called."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.report.latex import escape, latex
from pipelines.report.tables import Cell, Row, Table

ODD = '\\input{/etc/passwd} 100% a_b & $x^2$ #1 ~ {<|>} `q\' "d" -- été \u65e5\U0001f600 \x1b'
ROWS = (
    Row("TF", (Cell("67.8"), Cell("67.5")), "paper"),
    Row("TF", (Cell("60.4", "45.0–75.0"), Cell("-", why=ODD)), "ours", ODD),
    Row("mean ± std of 3 runs", (Cell("58.5", "± 6.5"), Cell("53.3", "± 8.6")), "spread"),
)
TABLE = Table(1, "Baselines", ODD, ("Happy",), ROWS, (("WA", "a share", "someone"),))
PLAIN = Table(4, "More", "One measure", ("Happy", "Sad"), ROWS, (), ("",))


def test_rows_have_the_columns_of_booktabs() -> None:
    text = latex([TABLE])
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 5
    assert r"\multicolumn{2}{c}{Happy}" in lines[0]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines[1:]] == [2] * 4
    assert r"\withinterval{60.4}{45.0}{75.0} & --" in lines[3]
    assert r"\withdeviation{58.5}{$\pm$ 6.5}" in lines[4]
    assert body.count(r"\midrule") == 2  # below the heads, and below the paper's rows


def test_text_stands_as_it_is() -> None:
    assert escape("50% of a_b") == r"50\% of a\_b"
    assert escape("\\a{b}") == r"\textbackslash{}a\{b\}"
    assert escape("a--b") == "a-{}-b"
    assert escape("été \u65e5\x1b") == "été ??"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_pdflatex_takes_it(tmp_path: Path) -> None:
    (tmp_path / "tables.tex").write_text(latex([TABLE, PLAIN]))
    (tmp_path / "main.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage{booktabs}"
        r"\begin{document}\input{tables}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert made.returncode == 0, made.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 1000
