"""A plan on the screen and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.plan.forecast import HOUR_S, Forecast, Machines, forecast, shard_size_for, totals
from pipelines.plan.run import Planned

DAY_H = 48  # hours, from which on days are easier to read


def print_plan(found: Planned, machines: Sequence[Machines]) -> None:
    """One table: a row a stage; a column a number of machines, with time, rate and bound."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 60 + 28 * len(machines)
    grid = Table(box=box.SIMPLE_HEAD)
    for name in ("stage", "core h", "GPU h", "read", "written", *map(_label, machines)):
        grid.add_column(name, justify="left" if name == "stage" else "right")
    for stage in found.stages:
        cells = [_hours(stage.cpu_s), _hours(stage.gpu_s) if stage.gpu_s else "-"]
        cells += [_size(stage.bytes_read), _size(stage.bytes_written)]
        grid.add_row(stage.stage, *cells, *(_cell(forecast(stage, one)) for one in machines))
    _add_sum(grid, found, machines)
    console.print(grid)
    for line in _remarks(found, machines):
        console.print(line, soft_wrap=True)


def _cell(made: Forecast) -> str:
    return f"{_duration(made.seconds)}\n[dim]{made.bound}, {made.bytes_s / 1e6:,.1f} MB/s[/dim]"


def as_object(found: Planned, machines: Sequence[Machines]) -> dict[str, Any]:
    """Everything measured and calculated."""
    return {
        "n_utterances": found.n_utterances,
        "n_shards": found.n_shards,
        "sample": [asdict(cost) for cost in found.costs],
        "corpus": [asdict(stage) for stage in found.stages],
        "totals": totals(found.stages),
        "read_bytes_s": found.read_bytes_s,
        "machines": [
            asdict(one) | {"stages": [asdict(forecast(stage, one)) for stage in found.stages]}
            for one in machines
        ],
        "notes": found.notes,
    }


def _add_sum(grid: Any, found: Planned, machines: Sequence[Machines]) -> None:
    total = totals(found.stages)
    cells = [f"{total['cpu_h']:,.1f}", f"{total['gpu_h']:,.1f}" if total["gpu_h"] else "-"]
    cells += [_size(total["bytes_read"]), _size(total["bytes_written"])]
    for one in machines:
        cells.append(_duration(sum(forecast(stage, one).seconds for stage in found.stages)))
    grid.add_section()
    grid.add_row("all, one after the other", *cells, style="bold")


def _remarks(found: Planned, machines: Sequence[Machines]) -> list[str]:
    n = found.costs[0].n_utterances
    lines = [
        f"Measured on {n} of {found.n_utterances:,} utterances, one process on one core here. "
        "Below each time: what bounds it, and what the storage has to give all together."
    ]
    if found.read_bytes_s:
        lines.append(f"One reader of the corpus here gets {found.read_bytes_s / 1e6:,.0f} MB/s.")
    n_workers = max(one.n * one.cores for one in machines)
    if found.n_shards < 4 * n_workers:
        size = shard_size_for(found.n_utterances, n_workers)
        lines.append(
            f"Shards are few for {n_workers} workers ({found.n_shards}), some of which wait at "
            f"the end: prepare with --shard-size {size}."
        )
    return lines


def _label(one: Machines) -> str:
    machines = "1 machine" if one.n == 1 else f"{one.n} machines"
    gpus = f", {one.gpus} GPUs" if one.gpus else ""
    return f"{machines} x {one.cores} cores{gpus}"


def _hours(seconds: float) -> str:
    hours = seconds / HOUR_S
    return f"{hours:,.1f}" if hours >= 0.1 else f"{hours:.2g}"


def _duration(seconds: float) -> str:
    hours = seconds / HOUR_S
    if hours >= DAY_H:
        return f"{hours / 24:,.1f} days"
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{seconds / 60:,.1f} min" if seconds >= 60 else f"{seconds:,.1f} s"


def _size(n_bytes: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.1f} kB"
