"""A wish to stop (SIGTERM from a batch system, SIGINT from the keyboard), heard where it suits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from featurize.errors import StoppedError

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """While entered, a signal is only noted: ``name`` is that of the first, or "".

    In a thread that is not the main one nothing is heard, as Python gives signals to that alone.
    """

    def __init__(self) -> None:
        self.name = ""
        self._interrupts = False

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        self._before = {s: signal.signal(s, self._hear) for s in STOPPING} if is_main else {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within, a signal raises StoppedError at once, one heard before as well.

        For what may be broken off anywhere, because it changes nothing that is kept.
        """
        self._interrupts = True
        try:
            self._raise_if_heard()
            yield
        finally:
            self._interrupts = False

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.name = self.name or signal.Signals(number).name
        if self._interrupts:
            self._raise_if_heard()

    def _raise_if_heard(self) -> None:
        if self.name:
            raise StoppedError(f"stopped by {self.name}")
