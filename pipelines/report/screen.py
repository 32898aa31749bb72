"""The report's tables on the terminal."""

from collections.abc import Sequence
from typing import Any

from pipelines.report.tables import Row, Table

SCREEN_COLUMNS = 118  # the widest table; a narrower terminal wraps the labels


def print_tables(made: Sequence[Table], said: Sequence[str] = (), screen: Any = None) -> None:
    """Prints the tables, the paper's rows dim and ours bold, and what is to be said of them.

    ``screen`` is a rich console.
    """
    from rich.console import Console
    from rich.text import Text

    console = screen or Console()
    if not console.is_terminal:
        console.width = SCREEN_COLUMNS
    for table in made:
        console.print(_grid(table))
    for term, definition, source in dict.fromkeys(d for t in made for d in t.definitions):
        console.print(Text(f"{term}: {definition} [{source}]"), style="dim")
    console.print()
    for line in said:
        console.print(Text(f"Note: {line}\n"))


def _grid(table: Table) -> Any:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    title = f"Table {table.number}: {table.title}"
    grid = Grid(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    grid.add_column("Model", overflow="fold")
    heads = "   ".join(table.measures)
    for group in table.groups:
        grid.add_column(f"{group}\n{heads}".strip(), justify="right", no_wrap=True)
    for row in table.rows:
        style = {"paper": "dim", "ours": "bold", "spread": ""}[row.source]
        # As Text: a run's name in square brackets is a name, not markup.
        grid.add_row(Text(_label(row)), *map(Text, _cells(row, len(table.measures))), style=style)
    return grid


def _label(row: Row) -> str:
    if row.source == "paper":
        return f"{row.label} (paper)"
    return f"  {row.label}" if row.source == "spread" else f"{row.label} ({row.run})"


def _cells(row: Row, n_measures: int) -> list[str]:
    texts = [cell.text for cell in row.cells]
    cells = [" ".join(texts[k : k + n_measures]) for k in range(0, len(texts), n_measures)]
    if row.source != "spread" or not any(cell.interval for cell in row.cells):
        return cells
    small = [cell.interval.replace(" ", "") for cell in row.cells]
    below = [" ".join(small[k : k + n_measures]) for k in range(0, len(small), n_measures)]
    return ["\n".join(pair) for pair in zip(cells, below, strict=True)]
