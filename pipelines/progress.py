"""Progress on the screen: a bar with rate and time left, or a line now and then in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Advance = Callable[[int], None]


@contextmanager
def progress_bar(label: str, total: int | None, unit: str = "utt") -> Iterator[Advance]:
    """Yields a function that advances the bar; ``total`` None when it is not known."""
    interactive = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=label,
        unit=f" {unit}",
        dynamic_ncols=interactive,
        mininterval=0.2 if interactive else 10.0,
        leave=interactive,
    ) as bar:

        def advance(n: int) -> None:
            bar.update(n)

        yield advance


@contextmanager
def epoch_bar(label: str) -> Iterator[Callable[[int, int, dict], None]]:
    """Yields a ``progress(epoch, n_epochs, line)`` that shows the last epoch's log line."""
    with tqdm(total=None, desc=label, unit=" epoch", leave=sys.stderr.isatty()) as bar:

        def show(epoch: int, n_epochs: int, line: dict) -> None:
            bar.total = n_epochs
            bar.set_postfix(
                {key: f"{line[key]:.3g}" for key in _SHOWN if line.get(key) is not None},
                refresh=False,
            )
            bar.n = epoch
            bar.refresh()

        yield show


@contextmanager
def step_bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yields a ``progress(n_done, n_steps, what)`` for a few named steps."""
    with tqdm(total=None, desc=label, unit=" step", leave=sys.stderr.isatty()) as bar:

        def show(n_done: int, n_steps: int, what: str) -> None:
            bar.total, bar.n = n_steps, n_done
            bar.set_postfix_str(what)

        yield show


_SHOWN = ("train_loss", "dev_loss", "dev_cer", "dev_speaker_accuracy", "dev_wa", "dev_f1")
