"""Writes small H.264 and AAC files with PyAV, the same bytes every time."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from featurize.atomic import atomic_path

FPS = 25
SAMPLE_RATE_HZ = 16000
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
_AAC_BIT_RATE = 64000
_AAC_OPTIONS = {"aac_coder": "fast"}  # the default search takes longer than the drawing
# One thread: with more, the bytes x264 writes depend on how many there are.
_X264_OPTIONS = {"preset": "superfast", "crf": "26", "threads": "1"}


def write_video(path: Path, pictures: Iterable[np.ndarray], samples: np.ndarray | None) -> None:
    """Writes an mp4: H.264 (yuv420p, 25 fps) and, unless ``samples`` is None, mono AAC.

    Args:
        pictures: uint8 (height, width, 3) each, blue-green-red; at least one, even sizes.
        samples: int16 (n_samples,) at SAMPLE_RATE_HZ.
    """
    import av
    import cv2

    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=FPS, options=_X264_OPTIONS)
        audio = None if samples is None else _add_aac(out)
        for n, picture in enumerate(pictures):
            if n == 0:  # the streams' settings are fixed by the first packet written
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = "yuv420p"
            planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            out.mux(video.encode(frame))
            if samples is not None:
                start = n * SAMPLES_PER_FRAME
                _mux_aac(out, audio, samples[start : start + SAMPLES_PER_FRAME], start)
        out.mux(video.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))


def write_audio(path: Path, samples: np.ndarray) -> None:
    """Writes an m4a: mono AAC of int16 (n_samples,) at SAMPLE_RATE_HZ."""
    import av

    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as out:
        audio = _add_aac(out)
        _mux_aac(out, audio, samples, 0)
        out.mux(audio.encode(None))


def _add_aac(out):
    audio = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", options=_AAC_OPTIONS)
    audio.bit_rate = _AAC_BIT_RATE
    return audio


def _mux_aac(out, audio, samples: np.ndarray, start: int) -> None:
    import av

    if not len(samples):
        return
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE_HZ)
    out.mux(audio.encode(frame))
