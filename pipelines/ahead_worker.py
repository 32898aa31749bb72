"""What a worker of ``pipelines.ahead`` is: tasks come over a line, items go back.

python -m pipelines.ahead_worker FD PARENT, started by nobody but ``pipelines.ahead``.
"""

import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from featurize.errors import TrimodalError
from pipelines.end_with_parent import end_with_parent

ITEM, DONE, FAILED = "item", "done", "failed"


def serve(line: Connection, parent: int) -> None:
    """Take a function, then task after task; ends when the line does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which then hangs up
    end_with_parent(parent)
    try:
        function = line.recv()
        while True:
            task, n_known = line.recv()
            for message in messages(function, task, n_known):
                line.send(message)
    except (EOFError, OSError):
        return


def messages(
    function: Callable[[Any], Iterable[Any]], task: Any, n_known: int
) -> Iterator[tuple[str, Any]]:
    """The items of a task but for the first ``n_known``, and how it ended."""
    try:
        for number, item in enumerate(function(task)):
            if number >= n_known:
                yield ITEM, item
    except (TrimodalError, OSError) as error:
        yield FAILED, error
    except Exception as error:
        error.add_note(traceback.format_exc())
        yield FAILED, error
    else:
        yield DONE, None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What computes for longer ends the process, also within C code; ``Ahead`` says that it hung.

    Of the processor's time, not the clock's: a job that is suspended for an hour, or has to share
    its core with ten others, has not hung. What waits for ever is for ``Ahead`` to see.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
