"""Video of one shard: decoded ahead by processes, through one network, in full batches.

The decoding workers make each picture 224 x 224, so pictures of all sizes share batches, and an
hour-long recording is never held whole: what grows with its length is its vectors, 16 KB each.
"""

import functools
import re
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import current_process
from typing import TYPE_CHECKING

from featurize.errors import MediaError, TrimodalError
from pipelines.ahead import FAILED, ITEM, Ahead, Event
from pipelines.video_clips import Clip, ClipTask, clips

if TYPE_CHECKING:
    import numpy as np
    import torch

    from featurize.vgg import Vgg16, VggConfig

CLIPS_WAITING = 32  # with two more a worker: 154 MB and 10 MB a worker at the most


@dataclass
class _Utterance:
    """One utterance on its way: its clips without their pictures, and the vectors so far."""

    number: int
    clips: list[Clip] = field(default_factory=list)
    vectors: list["np.ndarray"] = field(default_factory=list)
    n_pictures: int = 0
    n_vectors: int = 0
    error: TrimodalError | None = None
    is_decoded: bool = False

    @property
    def is_ready(self) -> bool:
        return self.is_decoded and (self.error is not None or self.n_vectors == self.n_pictures)

    def arrays(self) -> "dict[str, np.ndarray] | TrimodalError":
        import numpy as np

        if self.error is not None:
            return self.error
        return {
            "features": np.concatenate(self.vectors),
            "times_s": np.concatenate([clip.times_s for clip in self.clips]),
            "crops": np.concatenate([clip.crops for clip in self.clips]),
            "n_without_face": np.array(sum(clip.n_without_face for clip in self.clips)),
        }


def video_vectors(
    network: "Vgg16", decoders: Ahead, tasks: Sequence[ClipTask]
) -> "Iterator[dict[str, np.ndarray] | TrimodalError]":
    """Yield for each task, in order, its arrays or the error that rejects it.

    Which pictures share a batch depends on the tasks alone, not on the number of decoding workers
    nor on kills, so the same shard has the same bits. Pictures of an utterance that turns out
    to be broken later on stay in the batches that they came into.

    Arrays: "features" float32 (F, 4096), "times_s" float32 (F,), "crops" float32 (F, 4),
    "n_without_face" int ().
    """
    return _ordered(_computed(network, _utterances(decoders.map(tasks))))


def _utterances(events: Iterable[Event]) -> "Iterator[tuple[_Utterance, np.ndarray | None]]":
    """Yield each utterance with each clip's pictures, and once more when it is decoded."""
    current = _Utterance(-1)
    for number, kind, content in events:
        if number != current.number:
            current = _Utterance(number)
        if kind == ITEM:
            current.clips.append(_without_pictures(content))
            current.n_pictures += len(content.pictures)
            yield current, content.pictures
        else:
            current.is_decoded = True
            if kind == FAILED:
                current.error = _as_reject(content)
            yield current, None


def _computed(
    network: "Vgg16", decoded: "Iterable[tuple[_Utterance, np.ndarray | None]]"
) -> Iterator[_Utterance | None]:
    """Give the utterances their vectors; yields each when decoded, None after each batch.

    One batch is under way while the next is filled, so that a GPU does not wait for this.
    """
    batch: list[tuple[_Utterance, np.ndarray]] = []
    under_way: tuple[list[_Utterance], torch.Tensor] | None = None
    for utterance, pictures in decoded:
        if pictures is None:
            yield utterance
            continue
        for picture in pictures:
            batch.append((utterance, picture))
            if len(batch) == network.batch_size:
                launched = _launch(network, batch)
                _collect(under_way)
                under_way, batch = launched, []
                yield None
    for last in (under_way, _launch(network, batch) if batch else None):
        _collect(last)
    yield None


def _launch(
    network: "Vgg16", batch: "list[tuple[_Utterance, np.ndarray]]"
) -> "tuple[list[_Utterance], torch.Tensor]":
    import numpy as np

    return [owner for owner, _ in batch], network.launch(np.stack([p for _, p in batch]))


def _collect(launched: "tuple[list[_Utterance], torch.Tensor] | None") -> None:
    if launched is None:
        return
    owners, vectors = launched
    for owner, vector in zip(owners, vectors.cpu().numpy(), strict=True):
        owner.vectors.append(vector[None])
        owner.n_vectors += 1


def _ordered(
    utterances: Iterable[_Utterance | None],
) -> "Iterator[dict[str, np.ndarray] | TrimodalError]":
    """Take from the front those utterances whose vectors are all there."""
    waiting: deque[_Utterance] = deque()
    for utterance in utterances:
        if utterance is not None:
            waiting.append(utterance)
        while waiting and waiting[0].is_ready:
            yield waiting.popleft().arrays()


def _without_pictures(clip: Clip) -> Clip:
    from dataclasses import replace

    return replace(clip, pictures=clip.pictures[:0].copy())


def _as_reject(error: Exception) -> TrimodalError:
    if isinstance(error, TrimodalError):
        return error
    return MediaError(getattr(error, "strerror", None) or str(error))  # one unreadable file


@functools.lru_cache(maxsize=1)
def network_of_this_process(config: "VggConfig", device: str) -> "Vgg16":
    """The network, loaded once a process, onto this process's share of the GPUs."""
    import torch

    from featurize.vgg import Vgg16

    n_devices = torch.cuda.device_count() if device == "cuda" else 0
    with warnings.catch_warnings():  # of random weights: the command has told it once
        warnings.simplefilter("ignore", UserWarning)
        return Vgg16(config, device=device_of(current_process().name, device, n_devices))


def device_of(process_name: str, device: str, n_devices: int) -> str:
    """Which GPU a worker process takes: "cuda" is spread, "cuda:1" and "cpu" are taken as given.

    joblib numbers its processes from 1 (LokyProcess-3), so as many as there are GPUs take one each.
    """
    number = re.fullmatch(r"LokyProcess-(\d+)", process_name)
    if device != "cuda" or n_devices < 2 or number is None:
        return device
    return f"cuda:{int(number.group(1)) % n_devices}"


@functools.lru_cache(maxsize=1)
def decoders_of_this_process(n_workers: int) -> Ahead:
    """The decoding workers, started once a process."""
    return Ahead(clips, n_workers, max_waiting=CLIPS_WAITING)
