"""What a decoding worker does with one utterance: pictures by time, cut to the face, made small."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import MediaError, TrimodalError
from pipelines.memory_limit import within_memory

if TYPE_CHECKING:
    import numpy as np

    from featurize.faces import Crop, FaceDetector

CLIP_PICTURES = 32  # of one utterance that travel together, 4.8 MB


@dataclass(frozen=True)
class ClipTask:
    """One utterance's pictures: ``path``, or the ``problem`` for which there is none.

    ``faces`` is "none", "detect" or "boxes", these from the file ``boxes``.
    """

    path: Path | None
    fps: float
    start_s: float
    end_s: float | None
    faces: str
    face_scale: float
    boxes: Path | None = None
    problem: TrimodalError | None = None


@dataclass(frozen=True)
class Clip:
    """Some consecutive pictures of one utterance.

    Attributes:
        times_s: float32 (n,), from the utterance's start.
        pictures: uint8 (n, 224, 224, 3).
        crops: float32 (n, 4): left, top, width and height of what was cut out, as fractions.
        n_without_face: how many have the cut of an earlier picture, or none.
    """

    times_s: "np.ndarray"
    pictures: "np.ndarray"
    crops: "np.ndarray"
    n_without_face: int


def clips(task: ClipTask) -> Iterator[Clip]:
    """Decode, crop and shrink; holds one full-size picture and one clip.

    Raises:
        MediaError: the file cannot be used, also after some clips.
        OSError: it cannot be read.
    """
    import torch

    torch.set_num_threads(1)  # parallelism comes from the number of workers
    waiting: list[Crop] = []
    for crop in _crops(task):
        waiting.append(_small(crop))
        if len(waiting) == CLIP_PICTURES:
            yield _clip(waiting)
            waiting = []
    if waiting:
        yield _clip(waiting)


def _crops(task: ClipTask) -> Iterator["Crop"]:
    from featurize.faces import WHOLE, BoxList, Crop, cropped
    from featurize.media import iter_frames

    if task.path is None:
        raise task.problem or MediaError("no video file")
    timed = within_memory(
        iter_frames(task.path, fps=task.fps, start_s=task.start_s, end_s=task.end_s)
    )
    if task.faces == "none":
        return (Crop(time_s, picture, WHOLE, True) for time_s, picture in timed)
    face_at = BoxList(task.boxes) if task.boxes is not None else _detector()
    return cropped(timed, face_at, task.face_scale)


def _small(crop: "Crop") -> "Crop":
    from dataclasses import replace

    from featurize.vgg import prepare

    return replace(crop, picture=prepare(crop.picture[None])[0])


def _clip(crops: list["Crop"]) -> Clip:
    import numpy as np

    return Clip(
        times_s=np.array([crop.time_s for crop in crops], dtype=np.float32),
        pictures=np.stack([crop.picture for crop in crops]),
        crops=np.array([crop.box for crop in crops], dtype=np.float32),
        n_without_face=sum(not crop.is_own for crop in crops),
    )


@functools.lru_cache(maxsize=1)
def _detector() -> "FaceDetector":
    """The face detector, loaded once a worker process."""
    from featurize.faces import FaceDetector

    return FaceDetector()
