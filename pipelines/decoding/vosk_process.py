"""libvosk in a process of its own, whose death or hanging costs one utterance.

A worker of the stage has one such process and keeps it from shard to shard, with the model loaded
once. It also opens the media, so a file that crashes FFmpeg costs no more.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import MediaError, ModelError, TrimodalError
from pipelines.ahead import FAILED, ITEM, Ahead, WorkerError
from pipelines.ahead_worker import time_limit
from pipelines.decoding.engine import Decoded
from pipelines.decoding.pieces import Piece, joined, pieces
from pipelines.manifest import Utterance, safe_path
from pipelines.memory_limit import within_memory

if TYPE_CHECKING:
    from pipelines.decoding.vosk_decoder import VoskDecoder

# A piece that takes longer counts as hanging; the slowest models need the length of the sound.
LIMIT_S, LIMIT_PER_S = 60.0, 20.0
DEATHS_AT_MOST = 5  # before a first result: then it is not the sound


@dataclass(frozen=True)
class Task:
    """One utterance of a corpus. Without one: load the model and no more."""

    utterance: Utterance | None
    root: Path


class VoskProcess:
    """A decoder for one model directory in a process that is started when first needed."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._ahead = Ahead(functools.partial(heard, model), n_workers=1)
        self._is_loaded = False
        self._n_deaths: int | None = 0  # before the first result; None after it

    @property
    def pids(self) -> list[int]:
        """Its process id, where it runs."""
        return self._ahead.pids

    def decode(
        self, utterances: Sequence[Utterance], root: Path
    ) -> Iterator[tuple[Utterance, Decoded | TrimodalError | OSError]]:
        """Every utterance in order, with what was heard or why nothing was.

        Raises ModelError when the model cannot be loaded, or ends the process while it loads.
        """
        self._load()
        found: list[Piece] = []
        for number, kind, content in self._ahead.map([Task(u, root) for u in utterances]):
            if kind == ITEM:
                found.append(content)
                continue
            if isinstance(content, ModelError):
                raise content
            self._count(content)
            yield utterances[number], content if kind == FAILED else joined(found)
            found = []

    def close(self) -> None:
        """Ends the process; the next ``decode`` starts another."""
        self._ahead.close()
        self._is_loaded = False

    def _count(self, content: TrimodalError | OSError | None) -> None:
        """Raises ModelError when the process has died or hung over and over, and done nothing."""
        if isinstance(content, WorkerError) and self._n_deaths is not None:
            self._n_deaths += 1
            if self._n_deaths == DEATHS_AT_MOST:
                raise ModelError(
                    f"{self._model}: the decoder ended on each of the first {DEATHS_AT_MOST} "
                    f"utterances ({content}); its own message is above; copy the model again, or "
                    "give the machine more memory"
                )
        elif content is None:
            self._n_deaths = None

    def _load(self) -> None:
        if self._is_loaded:
            return
        for _, kind, error in self._ahead.map([Task(None, self._model)]):
            if kind == FAILED and isinstance(error, WorkerError):
                raise ModelError(
                    f"{self._model}: loading it ended the process ({error}); its own message is "
                    "above, or memory was short; copy the model again"
                )
            if kind == FAILED:
                raise error
        self._is_loaded = True


@functools.lru_cache(maxsize=1)
def process_of_this_worker(model: Path) -> VoskProcess:
    """The decoder's process, one a worker of the stage; that of another model ends."""
    return VoskProcess(model)


def heard(model: Path, task: Task) -> Iterator[Piece]:
    """In the decoder's process: what is heard in one utterance, piece by piece."""
    from featurize.media import iter_audio

    decoder = _decoder(model)
    if task.utterance is None:
        return
    if task.utterance.audio is None:
        raise MediaError("no audio file")
    rate = decoder.info.sample_rate_hz
    sound = iter_audio(
        safe_path(task.root, task.utterance.audio),
        start_s=task.utterance.start_s,
        end_s=task.utterance.end_s,
        sample_rate_hz=rate,
    )
    for samples in pieces(within_memory(sound), rate):
        with time_limit(LIMIT_S + LIMIT_PER_S * len(samples) / rate):
            piece = decoder.piece(samples)
        yield piece


@functools.lru_cache(maxsize=1)
def _decoder(model: Path) -> "VoskDecoder":
    from pipelines.decoding.vosk_decoder import VoskDecoder

    return VoskDecoder(model)
