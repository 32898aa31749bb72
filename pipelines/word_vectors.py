"""Word vectors of a run: read into the cache before workers start, and how many words have one."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

from featurize.shards import ShardIndex


class Coverage(NamedTuple):
    """How many words, repetitions counted, and how many of them have a vector."""

    n: int
    known: int

    def line(self) -> str:
        """A line for the screen, of at least one word."""
        return f"{100 * self.known / self.n:.2f}% of {self.n:,} words have a vector"


def make_ready(source: str) -> None:
    """Checks the cached vectors or reads them into the cache, and says so: it takes a while.

    Raises TextError, see ``featurize.glove_cache.open_vocabulary``.
    """
    from featurize.glove_cache import cache_folder, is_cached, open_vocabulary

    if not is_cached(source):
        click.echo(
            f"text: reading {Path(source).name} into {cache_folder()}, once: a minute or a few",
            err=True,
        )
    open_vocabulary(source, check=True)


def coverage(text_shards: Iterable[Path]) -> Coverage:
    """Of the shards that say so; those from before they did are left out.

    Raises ShardError for a damaged one.
    """
    n_words = n_known = 0
    for path in text_shards:
        shard = ShardIndex(path)
        if "n_known" in (shard.columns.dtype.names or ()):
            n_words += int(shard.lengths("features").sum())
            n_known += int(shard.columns["n_known"].sum())
    return Coverage(n_words, n_known)
