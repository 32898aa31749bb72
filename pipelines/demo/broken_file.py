"""Media files spoilt on purpose, so that the demo's reject ledger has something to hold."""

import tempfile
from pathlib import Path

import numpy as np

from featurize.atomic import write_bytes
from pipelines.demo.video_file import write_video

NO_AUDIO, TRUNCATED, EMPTY = "no audio", "truncated", "empty"
FAULTS = (NO_AUDIO, TRUNCATED, EMPTY)
_KEPT_SHARE = 0.6


def write_broken_video(
    path: Path, fault: str, pictures: list[np.ndarray], samples: np.ndarray
) -> None:
    """Writes an mp4 without a sound stream, cut short (and so without its index), or empty."""
    if fault == EMPTY:
        write_bytes(path, b"")
    elif fault == NO_AUDIO:
        write_video(path, pictures, None)
    elif fault == TRUNCATED:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole.mp4"
            write_video(whole, pictures, samples)
            content = whole.read_bytes()
        write_bytes(path, content[: int(len(content) * _KEPT_SHARE)])
    else:
        raise ValueError(f"no such fault: {fault!r}")
