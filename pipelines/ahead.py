"""Work done ahead in processes: results in order, memory bounded, a death costs one task.

Threads would do for speed (FFmpeg lets go of Python's lock while it decodes), but a file that
crashes a native library would take the whole stage with it. So each worker is a process, and
each has a thread here that reads its results as they come. A worker whose process dies is
replaced, and its task is tried once more from the item it had come to.

The processes are new interpreters, not forks: forking a process that has threads, and perhaps a
GPU, is not safe. ``multiprocessing`` would first run the main module of the program once more in
each, which may be anything.
"""

import math
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Condition, Thread
from typing import Any

from featurize.errors import MediaError, TrimodalError, UsageError
from pipelines.ahead_worker import FAILED, ITEM

ATTEMPTS = 2
TIMEOUT_S = 600.0  # unless the environment says otherwise, for slower disks and for tests
TIMEOUT_VARIABLE = "TRIMODAL_TIMEOUT_S"
LOOK_EVERY_S = 1.0
Event = tuple[int, str, Any]  # number of the task, kind of event, its item or error


class WorkerError(MediaError):
    """A task whose worker died on it twice, or hung."""


@dataclass
class _Task:
    """One task, what has come of it, and how it ended: DONE or FAILED, with the error."""

    payload: Any
    items: deque = field(default_factory=deque)
    n_received: int = 0
    ended: tuple[str, Any] | None = None


class Ahead:
    """A pool of processes that runs ``function(task)``, an iterable of items, for many tasks.

    At most ``max_waiting`` items wait here, and each worker holds one more that it has made and
    one that it is handing over, whatever the number and length of the tasks.

    Args:
        function: picklable; given a task, gives its items one after the other, always the same.
        n_workers: processes.
        max_waiting: items that may wait to be used, over all tasks.
        timeout_s: seconds a worker may take for one item before it counts as hanging; None is what
            the environment variable TRIMODAL_TIMEOUT_S says, or else ten minutes. Time in which
            this process is itself stopped (Ctrl-Z, a suspended job) does not count.

    Raises:
        UsageError: TRIMODAL_TIMEOUT_S is no number above 0.
    """

    def __init__(
        self,
        function: Callable[[Any], Iterable[Any]],
        n_workers: int,
        *,
        max_waiting: int = 32,
        timeout_s: float | None = None,
    ) -> None:
        self._workers = [_Worker(function) for _ in range(n_workers)]
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s or _timeout_s()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [w.process.pid for w in self._workers if w.process is not None]

    def map(self, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yield the events of all tasks in the tasks' order.

        ``(k, "item", item)`` for each item of task k, then ``(k, "done", None)``, or
        ``(k, "failed", error)`` with the TrimodalError or OSError that the function raised, or a
        WorkerError when the worker died twice or hung. Other errors are raised here.
        """
        run = _Run([_Task(task) for task in tasks], self._max_waiting)
        threads = [
            Thread(target=self._drive, args=(worker, run), daemon=True) for worker in self._workers
        ]
        for thread in threads:
            thread.start()
        try:
            yield from run.events()
        finally:
            if run.stop():  # left before the end: what the workers are at is of no use
                for worker in self._workers:
                    worker.kill()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """End the workers; the next ``map`` starts new ones."""
        for worker in self._workers:
            worker.kill()
            worker.end()

    def _drive(self, worker: "_Worker", run: "_Run") -> None:
        try:
            while (task := run.next_task()) is not None:
                self._run_task(worker, task, run)
        except BaseException as error:  # a fault of ours must not leave the consumer waiting
            run.break_off(error)

    def _run_task(self, worker: "_Worker", task: _Task, run: "_Run") -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                worker.send((task.payload, task.n_received))
                while task.ended is None and run.may_receive(task):
                    run.add(task, *worker.receive(self._timeout_s))
                if task.ended is None:  # stopped: what it still sends must not be taken for more
                    worker.kill()
                    worker.end()
                return
            except TimeoutError:
                worker.kill()
                worker.end()
                run.add(task, FAILED, WorkerError(f"decoder hung for {self._timeout_s:g} s"))
                return
            except (EOFError, OSError):
                status = worker.end()
                if run.stopped:
                    return
                if status == signal.SIGPROF.name:  # ``ahead_worker.time_limit``
                    run.add(task, FAILED, WorkerError("decoder hung"))
                    return
                if attempt == ATTEMPTS:
                    run.add(task, FAILED, WorkerError(f"decoder died ({status})"))


class _Run:
    """The tasks of one ``map`` and what the threads and the consumer share about them."""

    def __init__(self, tasks: list[_Task], max_waiting: int) -> None:
        self._tasks = tasks
        self._max_waiting = max_waiting
        self._changed = Condition()
        self._n_given = 0  # tasks handed to a worker
        self._head = 0  # the task whose events are wanted next
        self._n_waiting = 0
        self._fault: BaseException | None = None
        self.stopped = False

    def next_task(self) -> _Task | None:
        with self._changed:
            if self.stopped or self._n_given == len(self._tasks):
                return None
            self._n_given += 1
            return self._tasks[self._n_given - 1]

    def may_receive(self, task: _Task) -> bool:
        """Wait until there is room, or nothing of the task in front. False: stopped."""

        def is_time() -> bool:
            is_wanted = task is self._tasks[self._head] and not task.items
            return self.stopped or is_wanted or self._n_waiting < self._max_waiting

        with self._changed:
            self._changed.wait_for(is_time)
            return not self.stopped

    def add(self, task: _Task, kind: str, content: Any) -> None:
        with self._changed:
            if kind == ITEM:
                task.items.append(content)
                task.n_received += 1
                self._n_waiting += 1
            else:
                task.ended = (kind, content)
            self._changed.notify_all()

    def break_off(self, error: BaseException) -> None:
        with self._changed:
            self._fault = error
            self._changed.notify_all()

    def stop(self) -> bool:
        """Let the threads end; True when some task had not been used up."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
            return self._head < len(self._tasks)

    def events(self) -> Iterator[Event]:
        for number, task in enumerate(self._tasks):
            while (event := self._next_event(task))[0] == ITEM:
                yield number, *event
            if event[0] == FAILED and not isinstance(event[1], TrimodalError | OSError):
                raise event[1]
            with self._changed:
                self._head = number + 1
                if self._head < len(self._tasks):
                    self._changed.notify_all()
            yield number, *event

    def _next_event(self, task: _Task) -> tuple[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: task.items or task.ended or self._fault)
            if self._fault is not None:
                raise self._fault
            if task.items:
                self._n_waiting -= 1
                self._changed.notify_all()
                return ITEM, task.items.popleft()
            assert task.ended is not None
            return task.ended


class _Worker:
    """One process, started when first needed, and the line to it."""

    def __init__(self, function: Callable[[Any], Iterable[Any]]) -> None:
        self._function = function
        self._line: Connection | None = None
        self.process: subprocess.Popen | None = None

    def send(self, message: Any) -> None:
        if self.process is None:
            self._line, theirs = Pipe()
            self.process = _started(theirs)
            theirs.close()
            self._line.send(self._function)
        assert self._line is not None
        self._line.send(message)

    def receive(self, timeout_s: float) -> tuple[str, Any]:
        assert self._line is not None
        n_looks = math.ceil(timeout_s / LOOK_EVERY_S)
        for _ in range(n_looks):  # while we are stopped time goes by, but no look
            if self._line.poll(timeout_s / n_looks):
                return self._line.recv()
        raise TimeoutError

    def kill(self) -> None:
        """End the process only: its thread finds the line dead, and cleans up."""
        if (process := self.process) is not None:
            process.kill()

    def end(self) -> str:
        """Wait for a process that is dead or dying, drop the line; says how it ended."""
        process, self.process = self.process, None
        if process is None:
            return "not running"
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if self._line is not None:
            self._line.close()
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _timeout_s() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE)
    if text is None:
        return TIMEOUT_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"{TIMEOUT_VARIABLE}={text}: must be a number of seconds above 0")
    return seconds


def _started(line: Connection) -> subprocess.Popen:
    """A process that finds the same modules as this one and keeps to one core."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "OMP_NUM_THREADS": "1",
    }
    numbers = map(str, (line.fileno(), os.getpid()))
    command = [sys.executable, "-m", "pipelines.ahead_worker", *numbers]
    return subprocess.Popen(
        command, pass_fds=[line.fileno()], stdin=subprocess.DEVNULL, env=environment
    )
