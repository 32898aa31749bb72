"""A few frames of a corpus, as JPEG inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import MediaError, TrimodalError
from pipelines.aside import aside
from pipelines.manifest import Utterance, safe_path
from pipelines.report.drawing import Picture
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from numpy import ndarray

FRAME_HEIGHT_PX = 160
MAX_TRIED = 40  # utterances looked at for frames: a corpus of broken files must not hold it up


def frames(work: Path, n_frames: int = 6) -> list[Picture]:
    """A frame from the middle of one utterance each of ``n_frames`` speakers.

    Utterances whose video cannot be read are passed over; a corpus that is gone gives none.
    """
    pictures: dict[str, Picture] = {}
    try:
        workspace = Workspace(work)
        utterances, root = workspace.utterances, workspace.corpus_root
    except TrimodalError:
        return []
    for utterance in utterances[:MAX_TRIED]:
        if len(pictures) == n_frames:
            break
        if utterance.video is None or utterance.speaker in pictures:
            continue
        try:
            frame = aside(middle_frame, root, utterance)
        except TrimodalError:
            continue
        pictures[utterance.speaker] = Picture(utterance.id, source=jpeg(frame))
    return list(pictures.values())


def jpeg(frame: ndarray) -> str:
    """A data: address of a frame, uint8 RGB (H, W, 3), scaled down to 160 rows."""
    from PIL import Image

    image = Image.fromarray(frame)
    image.thumbnail((4 * FRAME_HEIGHT_PX, FRAME_HEIGHT_PX))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def middle_frame(root: Path, utterance: Utterance) -> ndarray:
    from featurize.media import iter_frames

    start_s, end_s = utterance.start_s, utterance.end_s
    # Where the end is not known, the second second of the file has to do.
    middle_s = start_s + 1.0 if end_s is None else (start_s + end_s) / 2
    path = safe_path(root, utterance.video or "")
    for from_s in (middle_s, start_s):
        try:
            return next(iter_frames(path, fps=10, start_s=from_s, end_s=from_s + 0.5))[1]
        except (MediaError, StopIteration):
            continue
    raise MediaError(f"{path}: no frame at {middle_s:.1f} s")
