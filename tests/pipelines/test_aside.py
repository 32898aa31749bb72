"""One call in a process that dies, hangs and raises."""

import operator
import os
import time
from pathlib import Path

import pytest

from featurize.errors import MediaError
from featurize.media import probe_audio
from pipelines import aside as module
from pipelines.ahead import WorkerError
from pipelines.aside import aside


def test_the_result_or_the_error_comes_back(tmp_path: Path) -> None:
    assert aside(operator.add, [1], [2]) == [1, 2]
    assert aside(os.getpid) not in (os.getpid(), None)
    with pytest.raises(MediaError, match="no such regular file"):
        aside(probe_audio, tmp_path / "absent.wav")
    with pytest.raises(FileNotFoundError):
        aside(open, tmp_path / "absent")


def test_a_call_that_ends_the_process_is_an_error_and_the_next_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(WorkerError, match="died"):
        aside(os.abort)
    monkeypatch.setenv("TRIMODAL_TIMEOUT_S", "0.5")
    module._caller.cache_clear()
    with pytest.raises(WorkerError, match="hung"):
        aside(time.sleep, 60)
    module._caller.cache_clear()
    assert aside(operator.add, 1, 2) == 3
