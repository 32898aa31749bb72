r"""The report's tables as LaTeX, to be taken into an article by \input: OUT/tables.tex."""

import re
from collections.abc import Sequence

from pipelines.report.tables import UNKNOWN, Cell, Row, Table

_HEAD = r"""% Made by trimodal. \usepackage{booktabs} in the preamble, then \input{tables}.
% Figures in per cent; small below them, 95% bootstrap intervals over test segments, or deviations.
\providecommand{\withinterval}[3]{\begin{tabular}[t]{@{}r@{}}#1\\[-3pt]%
  \tiny #2\textendash\\[-5pt]\tiny #3\end{tabular}}
\providecommand{\withdeviation}[2]{\begin{tabular}[t]{@{}r@{}}#1\\[-3pt]\tiny #2\end{tabular}}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    "±": r"$\pm$", "–": r"\textendash{}", "“": "``", "”": "''",
}  # fmt: skip
# What pdfLaTeX sets without further packages: ASCII and the accented letters of Latin-1.
_UNKNOWN = re.compile("[^ -~À-ÖØ-öø-ÿ±–“”]")


def latex(made: Sequence[Table]) -> str:
    """The tables in the form of booktabs."""
    return _HEAD + "\n".join(map(_table, made))


def escape(text: str) -> str:
    """Text from outside as it stands; what pdfLaTeX has no letter for becomes a question mark."""
    known = _UNKNOWN.sub("?", text).replace("--", "-\0-")  # two hyphens are no dash
    return "".join(_SPECIAL.get(character, character) for character in known).replace("\0", "{}")


def _table(table: Table) -> str:
    n_measures, n_cells = len(table.measures), len(table.groups) * len(table.measures)
    lines = [
        *(f"% {term}: {said} {source}" for term, said, source in table.definitions),
        r"\begin{table*}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(table.title)}.}}",
        rf"\label{{tab:trimodal-{table.number}}}",
        rf"\begin{{tabular}}{{@{{}}p{{2.9cm}}*{{{n_cells}}}{{r}}@{{}}}}",
        r"\toprule",
        *_heads(table, n_measures),
        r"\midrule",
        *_body(table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\\[2pt]{{\scriptsize {escape(note)}.}}" for note in table.notes),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _heads(table: Table, n_measures: int) -> list[str]:
    if n_measures == 1:
        return [_line(["Model", *map(escape, table.groups)])]
    groups = [rf"\multicolumn{{{n_measures}}}{{c}}{{{escape(g)}}}" for g in table.groups]
    starts = [2 + n_measures * k for k in range(len(table.groups))]
    rules = "".join(rf"\cmidrule(lr){{{a}-{a + n_measures - 1}}}" for a in starts)
    return [_line(["", *groups]), rules, _line(["Model", *table.measures * len(table.groups)])]


def _body(rows: Sequence[Row]) -> list[str]:
    lines, before = [], rows[0].source if rows else ""
    for row in rows:
        if before == "paper" != row.source:
            lines.append(r"\midrule")
        lines.append(_row(row))
        before = row.source
    return lines


def _row(row: Row) -> str:
    told = {"paper": " (paper)", "ours": f" ({row.run})", "spread": ""}[row.source]
    small = rf"{{\scriptsize{{}}{escape(told)}}}" if told else ""
    label = rf"\raggedright {escape(row.label)}{small}"
    return _line([label, *map(_figure, row.cells)])


def _figure(cell: Cell) -> str:
    figure = "--" if cell.text == UNKNOWN else escape(cell.text)
    low, dash, high = cell.interval.partition("–")
    if dash:
        return rf"\withinterval{{{figure}}}{{{escape(low)}}}{{{escape(high)}}}"
    return rf"\withdeviation{{{figure}}}{{{escape(low)}}}" if low else figure


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
