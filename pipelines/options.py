"""Options that several commands share, so that they read and mean the same everywhere."""

from collections.abc import Callable
from pathlib import Path

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
stage_options = options(
    parallel_options,
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
