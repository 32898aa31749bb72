"""The command ``trimodal compare``: two evaluated runs side by side."""

from pathlib import Path
from typing import Any

import click

from pipelines import launch
from pipelines.options import FOLDER


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("other", type=FOLDER)
@click.option("--modalities", metavar="A+V", default="A+V+T", show_default=True,
              help="Both without the other modalities.")  # fmt: skip
def compare(run: Path, other: Path, modalities: str) -> None:
    """Test whether RUN differs from OTHER: paired bootstrap over the test segments.

    \b
    Example: trimodal compare runs/embeddings runs/scratch
    """
    from rich.console import Console

    from pipelines.compare import compare as differences

    found = differences(run, other, modalities)
    console = Console()
    if not console.is_terminal:
        console.width = 100
    console.print(_table(run.name, other.name, found.differences))
    for name in dict.fromkeys(d.name for d in found.differences):
        definition = found.definitions[name]
        click.echo(f"{definition['name']}: {definition['definition']} ({definition['source']})")
    click.echo(
        "Interval and p: 95% percentile interval of the difference and two-sided p of none, paired "
        "bootstrap over test segments (Efron and Tibshirani 1993)"
    )


def _table(run: str, other: str, differences: list[Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("score", "of", run, other, "difference", "95% interval", "p"):
        table.add_column(Text(column), justify="left" if column in ("score", "of") else "right")
    for d in differences:
        ends = (
            "undefined" if d.interval is None else f"{d.interval[0]:+.3f} to {d.interval[1]:+.3f}"
        )
        table.add_row(
            d.name, d.emotion, launch.decimals(d.ours), launch.decimals(d.theirs),
            f"{d.value:+.3f}", ends, launch.decimals(d.p_value),
        )  # fmt: skip
    return table
