"""Options that several commands share, so that they read and mean the same everywhere."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from pipelines.settings import PRESETS

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


def options(*decorators: Callable) -> Callable:
    """Several click decorators as one, in the order given."""

    def decorate(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


settings_options = options(
    click.option("--preset", type=click.Choice(PRESETS), default="paper", show_default=True,
                 help="Settings to start from."),
    click.option("--config", "config_file", type=FILE, help="TOML file over the preset."),
)  # fmt: skip
cut_options = options(
    click.option("--shard-size", type=int, help="Utterances a shard."),
    click.option("--seed", type=int, help="Seed of the shuffle into shards."),
)
parallel_options = options(
    click.option("--jobs", type=click.IntRange(1), help="Worker processes [default: all cores]."),
    click.option("--shards", metavar="LIST",
                 help="Only these shards: numbers and ranges, e.g. 17 or 3,17,40:44 or 0:100."),
)  # fmt: skip


@dataclass(frozen=True)
class StageOptions:
    """How a stage is run over its shards: which of them, by what workers, and when it fails."""

    jobs: int | None
    shards: str | None
    rank: int | None
    world_size: int | None
    backend: str
    scheduler: str | None
    redo: bool
    max_reject_share: float


def stage_options(command: Callable) -> Callable:
    """The options of a stage over shards; the command gets them as one ``stage: StageOptions``."""
    names = [field.name for field in fields(StageOptions)]

    @functools.wraps(command)
    def joined(**given: Any) -> Any:
        stage = StageOptions(**{name: given.pop(name) for name in names})
        return command(stage=stage, **given)

    return _stage_options(joined)


_stage_options = options(
    parallel_options,
    click.option("--rank", metavar="R", type=click.IntRange(0),
                 help="Of W commands this is the R-th, from 0 [default: from the batch queue]."),
    click.option("--world-size", metavar="W", type=click.IntRange(1),
                 help="Take every W-th shard [default: from the batch queue, else all]."),
    click.option("--backend", type=click.Choice(["loky", "dask"]), default="loky",
                 show_default=True, help="Processes here, or the workers of a Dask cluster."),
    click.option("--scheduler", metavar="ADDRESS",
                 help="Of Dask: tcp://host:8786 [default: DASK_SCHEDULER_ADDRESS]."),
    click.option("--redo", is_flag=True,
                 help="Make again what was made with other settings, and what holds rejects."),
    click.option("--max-reject-share", type=click.FloatRange(0, 1), default=0.2, show_default=True,
                 help="Fail when more than this share is rejected."),
)  # fmt: skip
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
redo_option = click.option(
    "--redo", is_flag=True, help="Replace what was made with other settings."
)
