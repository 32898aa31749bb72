"""One call in a process of its own, for what opens a media file and nothing else ahead."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pipelines.ahead import FAILED, Ahead
from pipelines.memory_limit import memory_limit

Result = TypeVar("Result")


def aside(function: Callable[..., Result], *arguments: Any) -> Result:
    """``function(*arguments)``, which can be pickled, as can what it returns.

    Raises:
        TrimodalError, OSError: what it raises.
        WorkerError: it ended the process twice, or hung (``pipelines.ahead``).
    """
    events = list(_caller().map([functools.partial(function, *arguments)]))
    _, kind, content = events[-1]
    if kind == FAILED:
        raise content
    return events[0][2]


def _once(task: Callable[[], Any]) -> Iterator[Any]:
    with memory_limit():
        result = task()
    yield result


@functools.lru_cache(maxsize=1)
def _caller() -> Ahead:
    return Ahead(_once, 1)
