"""Stage ``report``: the paper's Tables 1, 2 and 3, on the screen and as one page of HTML.

Reads runs (config.json, log.jsonl, evaluation.json) and the workspaces they were made from;
writes OUT/index.html, which needs no other file and no network.
"""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from featurize.atomic import write_text
from featurize.errors import TrimodalError, UsageError
from pipelines import __version__
from pipelines.report_compare import compare
from pipelines.report_figures import all_curves, likelihoods
from pipelines.report_frames import frames
from pipelines.report_runs import Run, read_run
from pipelines.report_tables import (
    EMOTIONS,
    Row,
    Table,
    interval_text,
    percent,
    tables,
)
from pipelines.report_text import (
    ABLATION,
    DEFINITIONS,
    Source,
    caveats,
    flat,
    is_toy,
    read_source,
)

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("torch", "torchvision", "torchaudio", "numpy", "h5py", "av", "gensim", "vosk")
SCREEN_COLUMNS = 118  # the widest table; a narrower terminal wraps the labels

Status = Mapping[str, Any]


def write_report(
    out: Path, runs: Sequence[Path], status_of: Callable[[Path], Status], *, screen: Any = None
) -> Path:
    """Prints the tables to ``screen`` (a rich console) and writes OUT/index.html; returns its path.

    ``runs`` in any order: a pretraining run, fine-tuned ones; what is missing is "-" in the
    tables. ``status_of(work)`` is ``pipelines.status.workspace_status``.

    Raises:
        UsageError: no runs given, or a folder that is none.
        TrainError: a run's files are damaged.
    """
    if not runs:
        raise UsageError("no runs given; name the folders that pretrain and finetune wrote")
    found = [read_run(path) for path in runs]
    made = tables(found)
    page = out / "index.html"
    statuses = _statuses(found, status_of)
    sources = [read_source(work) for work in _works(found)]
    said = caveats(found, sources, statuses)
    write_text(page, render(found, made, statuses, sources, said))
    print_tables(made, said[: 2 if is_toy(sources, statuses) else 0], screen)
    return page


def render(
    runs: Sequence[Run],
    made: Sequence[Table],
    statuses: Sequence[Status],
    sources: Sequence[Source],
    said: Sequence[str],
) -> str:
    """The page as text. Everything from outside is escaped; pictures are our own markup."""
    import jinja2
    from markupsafe import Markup

    works = _works(runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval_text, "svg": Markup}
    return environment.get_template("report.html.j2").render(
        version=__version__,
        runs=runs,
        tables=made,
        emotions=EMOTIONS,
        differences=compare(runs),
        definitions=DEFINITIONS,
        ablation=ABLATION,
        caveats=said,
        is_toy=is_toy(sources, statuses),
        curves=all_curves(runs),
        statuses=statuses,
        histograms=[picture for picture in map(_histogram, works) if picture],
        frames=[(work, pictures) for work in works if (pictures := frames(work))],
        sources=sources,
        settings=[(run, dict(flat(_settings(run)))) for run in runs],
        packages=_packages(),
    )


def print_tables(made: Sequence[Table], said: Sequence[str] = (), screen: Any = None) -> None:
    """Prints the tables, the paper's rows dim and ours bold, and what is to be said of them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = screen or Console()
    if not console.is_terminal:
        console.width = SCREEN_COLUMNS
    for table in made:
        grid = Grid(
            box=box.SIMPLE_HEAD, title=f"Table {table.number}: {table.title}", title_justify="left"
        )
        grid.add_column("Model", overflow="fold")
        for group in table.groups:
            grid.add_column(f"{group}\nWA   F1", justify="right", no_wrap=True)
        for row in table.rows:
            style = {"paper": "dim", "ours": "bold", "spread": ""}[row.source]
            # As Text: a run's name in square brackets is a name, not markup.
            grid.add_row(Text(_label(row)), *map(Text, _cells(row)), style=style)
        console.print(grid)
    for line in said:
        console.print(Text(f"Note: {line}\n"))


def _label(row: Row) -> str:
    if row.source == "paper":
        return f"{row.label} (paper)"
    return f"  {row.label}" if row.source == "spread" else f"{row.label} ({row.run})"


def _cells(row: Row) -> list[str]:
    texts = [cell.text for cell in row.cells]
    between = "\n" if row.source == "spread" else " "
    return [between.join(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]


def _works(runs: Sequence[Run]) -> list[Path]:
    return list(dict.fromkeys(run.work for run in runs))


def _statuses(runs: Sequence[Run], status_of: Callable[[Path], Status]) -> list[Status]:
    """The accounts of the workspaces that are still there."""
    statuses = []
    for work in _works(runs):
        try:
            statuses.append(status_of(work))
        except TrimodalError:  # runs may have been copied from another machine
            continue
    return statuses


def _histogram(work: Path) -> Any:
    try:
        chosen = json.loads((work / "select" / "select.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return likelihoods(chosen) if isinstance(chosen, dict) else None


def _settings(run: Run) -> dict[str, Any]:
    """A run's settings, without the long lists of names."""
    return {k: v for k, v in run.config.items() if k not in ("speakers", "alphabet", "emotions")}


def _packages() -> dict[str, str]:
    versions = {"Python": platform.python_version(), "trimodal": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
