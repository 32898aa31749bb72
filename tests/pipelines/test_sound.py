"""Sound read by a real process, which is killed and stopped in the middle of it."""

import os
import signal
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import CorpusError, MediaError
from featurize.media import read_audio
from pipelines import sound
from pipelines.manifest import Utterance
from pipelines.sound import SoundTask, sounds


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(3):
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            out.writeframes(rng.integers(-9999, 9999, 16000 * 25).astype("<i2").tobytes())
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of this test's own, that may take eight seconds, its start
    on a busy machine included."""
    monkeypatch.setenv("TRIMODAL_TIMEOUT_S", "8")
    sound._reader.cache_clear()
    yield
    sound._reader().close()
    sound._reader.cache_clear()


def task(corpus: Path, audio: str | None, end_s: float | None = None) -> SoundTask:
    return SoundTask(corpus, Utterance("a/1", "a", audio, None, end_s=end_s), 8000)


def test_it_is_what_read_audio_gives(corpus: Path, reader: None) -> None:
    found = list(sounds([task(corpus, "0.wav"), task(corpus, "1.wav", 12.345)]))
    for number, (have, end_s) in enumerate(zip(found, (None, 12.345), strict=True)):
        assert isinstance(have, np.ndarray)
        wanted = read_audio(corpus / f"{number}.wav", end_s=end_s, sample_rate_hz=8000)
        assert have.dtype == wanted.dtype and np.array_equal(have, wanted)


def test_what_cannot_be_read_is_an_error_in_its_place(corpus: Path, reader: None) -> None:
    """A named pipe would be waited for until somebody writes into it."""
    names = (None, "absent.wav", "pipe.wav", "../0.wav", "0.wav")
    found = list(sounds(task(corpus, name) for name in names))
    kinds = [MediaError, MediaError, MediaError, CorpusError, np.ndarray]
    assert [type(one) for one in found] == kinds


@pytest.mark.parametrize(
    ("number", "n_times", "reason"),
    [
        (signal.SIGKILL, 1, None),
        (signal.SIGSEGV, 2, "decoder died (SIGSEGV)"),
        (signal.SIGSTOP, 1, "decoder hung for 8 s"),
    ],
)
def test_a_process_that_dies_or_hangs_costs_one_utterance_at_most(
    corpus: Path, reader: None, number: int, n_times: int, reason: str | None
) -> None:
    """It is met before it has begun: the first utterance is what it was to read."""
    hit: set[int] = set()

    def strike() -> None:
        while len(hit) < n_times:
            for pid in set(sound._reader().pids) - hit:
                os.kill(pid, number)
                hit.add(pid)
            time.sleep(0.001)

    striker = threading.Thread(target=strike)
    striker.start()
    first, *others = sounds(task(corpus, f"{k}.wav") for k in range(3))
    striker.join()
    assert [type(one) for one in others] == [np.ndarray] * 2
    if reason is None:
        wanted = read_audio(corpus / "0.wav", sample_rate_hz=8000)
        assert isinstance(first, np.ndarray) and np.array_equal(first, wanted)
    else:
        assert isinstance(first, MediaError) and str(first) == reason
