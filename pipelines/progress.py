"""Progress on the screen: a bar with rate and time left, or a line now and then in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm


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
    """Yields a ``progress(epoch, n_epochs, line)``: a bar a run, with the last line's figures."""
    interactive = sys.stderr.isatty()
    interval_s = 0.2 if interactive else 10.0
    with tqdm(
        total=None, desc=label, unit=" epoch", mininterval=interval_s, leave=interactive
    ) as bar:

        def show(epoch: int, n_epochs: int, line: dict) -> None:
            n_done = epoch - 1 if line.get("partial") else epoch
            if n_done < bar.n or bar.total is None:  # the first run, or the next seed's
                bar.reset(n_epochs)
                seed = f", seed {line['seed']}" if "seed" in line else ""
                bar.set_description_str(label + seed, refresh=interactive)
            figures = {k: f"{line[k]:.3g}" for k in _SHOWN if line.get(k) is not None}
            bar.set_postfix(figures, refresh=interactive)
            bar.update(n_done - bar.n)

        yield show


def tell(text: str) -> None:
    """Text on the standard output, above a bar that is on the screen."""
    tqdm.write(text)


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


_SHOWN = ("train_loss", "dev_loss", "dev_cer", "dev_speaker_accuracy", "dev_wa", "dev_f1")
