"""The report's tables as Markdown, for a README or an issue: OUT/tables.md."""

import re
from collections.abc import Sequence

from pipelines.report.tables import Cell, Row, Table

# What can mean something inside a line: emphasis, links, tags, columns, entities, formulas, names.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$@])")


def markdown(made: Sequence[Table], said: Sequence[str] = ()) -> str:
    """The tables as GitHub reads them, and below them what is to be said of them."""
    parts = [_table(table) for table in made]
    if said:
        parts.append("\n".join(f"- {escape(line)}" for line in said) + "\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text from outside as it stands: one line, nothing in it markup, a link or a new column."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return _SPECIAL.sub(r"\\\1", line)


def _table(table: Table) -> str:
    heads = [f"{group} {measure}".strip() for group in table.groups for measure in table.measures]
    lines = [
        f"**Table {table.number}.** {escape(table.title)}.",
        "",
        _line(["Model", *heads]),
        _line(["---", *["---:"] * len(heads)]),
        *(_line([_label(row), *(_cell(cell, row) for cell in row.cells)]) for row in table.rows),
        "",
        *(f"{escape(note)}.  " for note in table.notes),
        *(
            f"- {escape(term)}: {escape(said)} *{escape(by)}*"
            for term, said, by in table.definitions
        ),
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _label(row: Row) -> str:
    label = escape(row.label)
    if row.source == "paper":
        return f"{label} *(paper)*"
    return f"{label} *({escape(row.run)})*" if row.source == "ours" else f"*{label}*"


def _cell(cell: Cell, row: Row) -> str:
    text = escape(cell.text)
    if row.source == "ours" and text:
        text = f"**{text}**"
    return f"{text}<br>{escape(cell.interval)}" if cell.interval else text
