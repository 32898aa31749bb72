"""Stage ``report``: the paper's Tables 1, 2 and 3 and what lies behind them.

Reads runs (config.json, log.jsonl, evaluation.json, predictions.npz) and the workspaces they were
made from; prints the tables and writes

    OUT/index.html    the page, which needs no other file and no network
    OUT/tables.md     the tables as Markdown
    OUT/tables.tex    the same as LaTeX
    OUT/cache         embeddings computed for the map; may be deleted
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from featurize.atomic import remove_stale, write_text
from featurize.errors import TrimodalError, UsageError
from pipelines.report.drawing import Picture
from pipelines.report.further_tables import further_tables
from pipelines.report.latex import latex
from pipelines.report.markdown import markdown
from pipelines.report.page import Findings, Status, render, works_of
from pipelines.report.predictions import all_predicted
from pipelines.report.rates import precision_recall, roc, thresholds
from pipelines.report.runs import BASELINE, EMBEDDINGS, PRETRAINING, Run, read_run
from pipelines.report.screen import print_tables
from pipelines.report.spread import spread
from pipelines.report.tables import tables
from pipelines.report.text import caveats, is_toy, read_source
from pipelines.report.worst import system_to_show, worst_segments

StatusOf = Callable[[Path], Status]
DifferencesOf = Callable[[Path, Path], Sequence[Any]]


def write_report(
    out: Path,
    runs: Sequence[Path],
    status_of: StatusOf,
    differences_of: DifferencesOf,
    *,
    screen: Any = None,
) -> Path:
    """Prints the tables to ``screen`` (a rich console) and writes OUT; returns the page's path.

    ``runs`` in any order: a pretraining run, fine-tuned ones; what is missing is "-" in the
    tables. ``status_of(work)`` is ``pipelines.status.workspace_status``, and
    ``differences_of(ours, theirs)`` the differences of ``pipelines.compare.compare``.

    Raises:
        UsageError: no runs given, or a folder that is none.
        TrainError: a run's files are damaged.
    """
    if not runs:
        raise UsageError("no runs given; name the folders that pretrain and finetune wrote")
    found = [read_run(path) for path in runs]
    emotional, sentimental = _by_task(found)
    remove_stale(out / "cache")
    made = [*tables(emotional), *further_tables(emotional, sentimental)]
    findings = _findings(found, status_of, differences_of, out / "cache")
    said = findings.said[: 2 if is_toy(findings.sources, findings.statuses) else 0]
    write_text(out / "tables.md", markdown(made, said))
    write_text(out / "tables.tex", latex(made))
    write_text(out / "index.html", render(found, made, findings))
    print_tables(made, said, screen)
    return out / "index.html"


def _findings(
    runs: Sequence[Run], status_of: StatusOf, differences_of: DifferencesOf, cache: Path
) -> Findings:
    statuses = _statuses(runs, status_of)
    sources = [read_source(work) for work in works_of(runs)]
    emotional, _ = _by_task(runs)
    systems = all_predicted(emotional)
    shown = system_to_show(systems)
    maps, unmapped = _maps(emotional, cache)
    return Findings(
        differences=_differences(emotional, differences_of),
        over_thresholds=_those(roc(systems), precision_recall(systems)),
        dev_thresholds=_those(*map(thresholds, systems)),
        spread=spread(emotional),
        maps=maps,
        worst=(shown.run.name, worst_segments(shown)) if shown else ("", ()),
        statuses=statuses,
        sources=sources,
        said=[*caveats(runs, sources, statuses), *unmapped],
    )


def _by_task(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Those of the emotions, with pretraining, and those of sentiment."""
    return (
        [run for run in runs if run.task != "sentiment"],
        [run for run in runs if run.task == "sentiment"],
    )


def _differences(runs: Sequence[Run], differences_of: DifferencesOf) -> Sequence[Any]:
    """Of the first embeddings from the first baseline; none where the two cannot be compared."""
    first = {run.role: run.path for run in reversed(runs) if run.evaluation}
    if EMBEDDINGS not in first or BASELINE not in first:
        return []
    try:
        return differences_of(first[EMBEDDINGS], first[BASELINE])
    except UsageError:
        return []


def _maps(runs: Sequence[Run], cache: Path) -> tuple[list[Picture], list[str]]:
    """Of the first pretraining run and of the first embeddings, or else baseline; and why not."""
    from pipelines.report.map import embedding_map
    from pipelines.report.points import points

    by_role = {run.role: run for run in reversed(runs) if run.evaluation or run.role == PRETRAINING}
    tuned = by_role.get(EMBEDDINGS, by_role.get(BASELINE))
    maps, unmapped = [], []
    for run in (by_role.get(PRETRAINING), tuned):
        try:
            maps += [embedding_map(points(run, cache))] if run else []
        except (TrimodalError, OSError) as error:  # weights or features may be elsewhere
            unmapped.append(f"No map of the embeddings of {run.name if run else ''}: {error}.")
    return maps, unmapped


def _those(*pictures: Picture | None) -> list[Picture]:
    return [picture for picture in pictures if picture]


def _statuses(runs: Sequence[Run], status_of: StatusOf) -> list[Status]:
    """The accounts of the workspaces that are still there."""
    statuses = []
    for work in works_of(runs):
        try:
            statuses.append(status_of(work))
        except TrimodalError:  # runs may have been copied from another machine
            continue
    return statuses
