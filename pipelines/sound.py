"""Sound of a corpus, read ahead by a process of its own.

A file that crashes FFmpeg, or hangs it, then costs one utterance and not the stage.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import MediaError, TrimodalError
from pipelines.ahead import FAILED, ITEM, Ahead
from pipelines.manifest import Utterance, safe_path
from pipelines.memory_limit import LARGEST_BYTES, within_memory

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SoundTask:
    """The sound of one utterance of a corpus at ``root``, at one rate."""

    root: Path
    utterance: Utterance
    sample_rate_hz: int


def sounds(tasks: Iterable[SoundTask]) -> "Iterator[np.ndarray | TrimodalError | OSError]":
    """Yields, in order, the float32 (n_samples,) of each, as ``read_audio`` gives it, or an error.

    The error of a file that ended the process twice, or did not give ten seconds of sound in ten
    minutes, is a MediaError like any other.
    """
    import numpy as np

    found = bytearray()  # grows in place, where joining arrays would hold all of it twice
    for _, kind, content in _reader().map(tasks):
        if kind == ITEM:
            found += content.data
            continue
        yield content if kind == FAILED else np.frombuffer(found, np.float32)
        found = bytearray()


def stretches(task: SoundTask) -> "Iterator[np.ndarray]":
    """In the process: the sound of one utterance, ten seconds at a time."""
    from featurize.media import iter_audio

    if task.utterance.audio is None:
        raise MediaError("no audio file")
    sound = iter_audio(
        safe_path(task.root, task.utterance.audio),
        start_s=task.utterance.start_s,
        end_s=task.utterance.end_s,
        sample_rate_hz=task.sample_rate_hz,
    )
    n_bytes = 0  # an hour of silence may be a few hundred bytes
    for samples in within_memory(sound):
        n_bytes += samples.nbytes
        if n_bytes > LARGEST_BYTES:
            hours = n_bytes / 4 / task.sample_rate_hz / 3600
            raise MediaError(f"{hours:.1f} hours of sound or more in one utterance; cut it")
        yield samples


@functools.lru_cache(maxsize=1)
def _reader() -> Ahead:
    """Started once a process; holds 20 MB at the most."""
    return Ahead(stretches, 1)
