"""Signals are heard where it suits."""

import os
import signal
import threading

import pytest

from featurize.errors import StoppedError
from model.stop import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_raised_where_it_may_be(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.name
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)  # torchrun may send another
        assert stop.name == number.name
        with pytest.raises(StoppedError, match=f"stopped by {number.name}"), stop.interrupting():
            pytest.fail("one heard before is raised at once")
    assert signal.getsignal(number) is before


def test_a_signal_within_breaks_off(tmp_path) -> None:
    with StopSignal() as stop, pytest.raises(StoppedError), stop.interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10**9):
            pass
        pytest.fail("not broken off")


def test_other_threads_hear_nothing_and_do_no_harm() -> None:
    names = []

    def enter() -> None:
        with StopSignal() as stop, stop.interrupting():
            names.append(stop.name)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert names == [""]
