"""What a worker of ``pipelines.ahead`` is: tasks come over a line, items go back.

python -m pipelines.ahead_worker FD, started by nobody but ``pipelines.ahead``.
"""

import math
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from featurize.errors import TrimodalError

ITEM, DONE, FAILED = "item", "done", "failed"


def serve(line: Connection) -> None:
    """Take a function, then task after task; ends when the line does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which then hangs up
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
    """What takes longer ends the process, also within C code; ``Ahead`` says that it hung."""
    signal.alarm(math.ceil(seconds))
    try:
        yield
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
