"""Progress on the screen: a bar with rate and time left, or a line now and then in a log."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from tqdm import tqdm

from featurize.printable import printable


class Advance(Protocol):
    """Advances a bar by ``n``, of which ``n_rejected`` were of no use."""

    def __call__(self, n: int, n_rejected: int = 0) -> None: ...


@contextmanager
def progress_bar(label: str, total: int | None, unit: str = "utt") -> Iterator[Advance]:
    """Yields a function that advances the bar; ``total`` None when it is not known.

    Of the unit "B" the rate is shown in MB/s and the like.
    """
    interactive = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=label,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B",
        dynamic_ncols=interactive,
        mininterval=0.2 if interactive else 10.0,
        leave=interactive,
    ) as bar:
        n_lost = 0

        def advance(n: int, n_rejected: int = 0) -> None:
            nonlocal n_lost
            n_lost += n_rejected
            if n_rejected:
                bar.set_postfix_str(f"{n_lost} rejected", refresh=False)
            bar.update(n)

        yield advance


@contextmanager
def epoch_bar(label: str) -> Iterator[Callable[[int, int, dict], None]]:
    """Yields a ``progress(epoch, n_epochs, line)``: a bar a run, with the last line's figures.

    The time left is that of all epochs; a run may stop earlier. Of several processes started by
    torchrun only the first has a bar.
    """
    interactive = sys.stderr.isatty()
    with tqdm(
        desc=label,
        bar_format="{desc}: {percentage:3.0f}%|{bar:12}| {elapsed}<{remaining}{postfix}",
        mininterval=0.2 if interactive else 10.0,
        miniters=0,
        smoothing=0,
        dynamic_ncols=interactive,
        leave=interactive,
        disable=not is_first_process(),
    ) as bar:
        figures: dict[str, float] = {}  # the last seen of each: scores on dev stay

        def show(epoch: int, n_epochs: int, line: dict) -> None:
            is_partial = line.get("partial", False)
            place = epoch - 1 + line["epoch_share"] if is_partial else epoch
            if place < bar.n or bar.total is None:  # the first run, or the next seed's
                bar.reset(n_epochs)
                figures.clear()
                bar.initial = bar.n = place if is_partial else epoch - 1  # done before now
            seed = f", seed {line['seed']}" if "seed" in line else ""
            bar.set_description_str(f"{label}{seed}, epoch {epoch}/{n_epochs}", refresh=False)
            figures.update({k: v for k, v in line.items() if k in _SHOWN and v is not None})
            texts = (text.format(figures[k]) for k, text in _SHOWN.items() if k in figures)
            bar.set_postfix_str(", ".join(texts), refresh=False)
            bar.update(place - bar.n)

        yield show


def tell(text: str) -> None:
    """Text on the standard output, above a bar that is on the screen; the first process's alone."""
    if is_first_process():
        tqdm.write(text)


def note(text: str) -> None:
    """What a user should know, on the standard error, above a bar that is on the screen."""
    with tqdm.external_write_mode(file=sys.stderr):
        click.secho(f"note: {printable(text)}", fg="yellow", err=True)


def is_first_process() -> bool:
    """Whether this process is alone, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def step_bar(label: str, unit: str = "step") -> Iterator[Callable[..., None]]:
    """Yields a ``progress(n_done, n_steps, what="")`` for steps whose number is told as they go."""
    interactive = sys.stderr.isatty()
    interval_s = 0.2 if interactive else 10.0
    with tqdm(total=None, desc=label, unit=f" {unit}", mininterval=interval_s) as bar:

        def show(n_done: int, n_steps: int, what: str = "") -> None:
            bar.total = n_steps
            bar.set_postfix_str(what, refresh=False)
            bar.update(n_done - bar.n)

        yield show


_SHOWN = {  # figures of a log line
    "train_loss": "loss {:.3g}",
    "utterances_per_s": "{:.3g} utt/s",
    "data_wait_share": "data wait {:.1%}",
    "dev_loss": "dev loss {:.3g}",
    "dev_cer": "CER {:.1%}",
    "dev_cer_beam": "{:.1%} by beam",
    "dev_speaker_accuracy": "speaker {:.1%}",
    "dev_wa": "WA {:.1%}",
    "dev_f1": "F1 {:.1%}",
}
