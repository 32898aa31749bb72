"""Real processes that finish, fail, die and hang; a task here is a callable of no arguments."""

import operator
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from featurize.errors import MediaError, UsageError
from pipelines.ahead import Ahead
from pipelines.ahead_worker import time_limit


@pytest.fixture
def pool():
    pools: list[Ahead] = []

    def make(n_workers: int = 2, **options) -> Ahead:
        pools.append(Ahead(operator.call, n_workers, **options))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def test_events_come_in_the_order_of_the_tasks(pool) -> None:
    tasks = [partial(range, k % 4) for k in range(20)]
    expected = []
    for k, task in enumerate(tasks):
        expected += [(k, "item", item) for item in task()] + [(k, "done", None)]
    for n_workers in (1, 3):
        for max_waiting in (1, 100):
            assert list(pool(n_workers, max_waiting=max_waiting).map(tasks)) == expected


def test_a_worker_that_dies_costs_its_task_alone(pool) -> None:
    tasks = [
        partial(range, 2),
        os.abort,
        partial(range, 1),
        partial(os._exit, 3),
        partial(range, 1),
    ]
    events = list(pool().map(tasks))
    assert [event[:2] for event in events] == [
        (0, "item"), (0, "item"), (0, "done"), (1, "failed"),
        (2, "item"), (2, "done"), (3, "failed"), (4, "item"), (4, "done"),
    ]  # fmt: skip
    reasons = [str(content) for _, kind, content in events if kind == "failed"]
    assert reasons == ["decoder died (SIGABRT)", "decoder died (exit 3)"]


def test_a_worker_killed_once_is_replaced_and_goes_on_where_it_was(pool) -> None:
    workers = pool(1, max_waiting=1)
    killed = set()
    seen = []
    for _, kind, content in workers.map([partial(range, 5_000)] * 3):
        seen.append((kind, content))
        if len(seen) in (5, 6_000, 11_000):  # in each of the three tasks
            for pid in workers.pids:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.2)
    assert len(killed) == 3
    assert seen == ([("item", k) for k in range(5_000)] + [("done", None)]) * 3


def test_a_worker_that_hangs_is_given_up(pool) -> None:
    started = time.monotonic()
    events = list(pool(1, timeout_s=0.5).map([partial(time.sleep, 60), partial(range, 1)]))
    assert time.monotonic() - started < 20
    assert isinstance(events[0][2], MediaError) and "decoder hung" in str(events[0][2])
    assert events[1:] == [(1, "item", 0), (1, "done", None)]


def test_waiting_for_the_consumer_is_not_hanging(pool) -> None:
    events = pool(2, max_waiting=1, timeout_s=0.5).map([partial(range, 5)] * 3)
    first = next(events)
    time.sleep(1.5)
    assert [first, *events][-1] == (2, "done", None)


def test_unreadable_files_are_events_and_faults_are_raised(pool) -> None:
    workers = pool()
    assert isinstance(next(workers.map([partial(open, "/absent")]))[2], FileNotFoundError)
    with pytest.raises(ValueError, match="invalid literal") as caught:
        list(workers.map([partial(int, "x")]))
    assert "Traceback" in caught.value.__notes__[0]


def test_no_more_is_made_than_may_wait(pool, tmp_path: Path) -> None:
    """Each item is a line of 1 MiB, more than the pipe holds."""
    path = tmp_path / "lines"
    path.write_text(("x" * (1 << 20) + "\n") * 30)
    events = pool(1, max_waiting=3).map([partial(open, path)] * 2)
    next(events)
    time.sleep(0.5)
    tasks = events.gi_frame.f_locals["run"]._tasks
    assert 1 <= len(tasks[0].items) <= 3 and not tasks[1].items
    assert sum(kind == "item" for _, kind, _ in events) == 59


def test_what_was_left_early_does_not_come_up_later(pool) -> None:
    workers = pool(2, max_waiting=2)
    events = workers.map([partial(range, 1000)] * 4)
    next(events)
    events.close()
    assert workers.pids == []
    assert list(workers.map([partial(range, 1)])) == [(0, "item", 0), (0, "done", None)]


def test_a_worker_past_its_own_time_limit_hung_also_in_c_code(pool) -> None:
    workers = pool(1)
    tasks = [partial(range, 1), partial(wait_in_c, 1), partial(wait_in_c, 0), partial(range, 1)]
    started = time.monotonic()
    events = list(workers.map(tasks))
    assert [event[:2] for event in events] == [
        (0, "item"), (0, "done"), (1, "failed"), (2, "item"), (2, "done"), (3, "item"), (3, "done"),
    ]  # fmt: skip
    assert str(events[2][2]) == "decoder hung" and time.monotonic() - started < 5


def wait_in_c(seconds: int) -> range:
    """For ever unless ``seconds`` is 0, computing with the GIL held, as a bad library may."""
    with time_limit(0.5):
        if seconds:
            re.fullmatch(r"(a+)+", "a" * 60 + "b")
    return range(1)


def test_a_wait_of_the_job_is_not_hanging(pool) -> None:
    """Stopped in the middle, as by Ctrl-Z or a batch system, for longer than the limit."""
    events = list(pool(1, timeout_s=5).map([partial(stopped_within_the_limit, 1.5)]))
    assert events == [(0, "item", 0), (0, "done", None)]


def stopped_within_the_limit(seconds: float) -> range:
    wake_up = f"sleep {seconds}; kill -CONT {os.getpid()}"
    subprocess.Popen(["/bin/sh", "-c", wake_up])
    with time_limit(0.5):
        os.kill(os.getpid(), signal.SIGSTOP)
    return range(1)


STOPPED_STAGE = """
import operator, os, signal, subprocess, time
from functools import partial
from pipelines.ahead import Ahead

def slow():
    me = os.getppid()
    subprocess.run(["/bin/sh", "-c", f"kill -STOP {me}; kill -STOP {os.getpid()} & sleep 4; "
                    f"kill -CONT {me}; sleep 0.3; kill -CONT {os.getpid()}"])
    yield 1

if __name__ == "__main__":
    import stage
    print([event[1:] for event in Ahead(operator.call, 1, timeout_s=2).map([stage.slow])])
"""


def test_a_stage_that_is_stopped_takes_no_worker_for_hanging(tmp_path: Path) -> None:
    """Both are stopped for longer than a worker may take, and the stage goes on first."""
    (tmp_path / "stage.py").write_text(STOPPED_STAGE)
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    found = subprocess.run(
        [sys.executable, tmp_path / "stage.py"], env={**os.environ, "PYTHONPATH": places},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert found.stdout == "[('item', 1), ('done', None)]\n", found.stderr


def test_the_time_that_a_worker_has_can_be_set(pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMODAL_TIMEOUT_S", "0.5")
    ((_, kind, error),) = list(pool(1).map([partial(time.sleep, 60)]))
    assert (kind, str(error)) == ("failed", "decoder hung for 0.5 s")
    for text in ("0", "-1", "nan", "inf", "x"):
        monkeypatch.setenv("TRIMODAL_TIMEOUT_S", text)
        with pytest.raises(UsageError, match="must be a number of seconds above 0"):
            pool(1)
