"""Text and tables for the terminal; what comes from files may hold anything."""

from collections.abc import Collection, Sequence
from typing import Any

from featurize.printable import printable

PIPED_COLUMNS = 160


def printable_lines(text: str) -> str:
    """The same for text whose own line ends are meant."""
    return "\n".join(map(printable, text.split("\n")))


def new_console() -> Any:
    """A rich console on the standard output, wide and plain where that is no terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    return console


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Prints a table, if it has rows; the columns of ``right`` are set right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    console = new_console()
    lines = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=lines, pad_edge=lines is not None)
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:  # as Text: square brackets are square brackets, not markup
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
