"""Files made with FFmpeg's encoders. The fixtures named as functions give those functions."""

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

VIDEO_FPS = 25
N_FRAMES = 100


def _write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    """``samples`` int16 (n,) or (n, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def _write_sound(path: Path, codec: str, samples: np.ndarray, rate_hz: int, layout: str) -> Path:
    """``samples`` float32 (channels, n)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        # Time stamps, so that the file says how many samples the encoder put before the first.
        frame.pts, frame.time_base = 0, Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _tone(rate_hz: int, seconds: float, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def _write_video(path: Path, pictures: list[np.ndarray], pts_ms: list[int], **options) -> Path:
    """H.264 with B-frames and a key frame every second; times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_FPS)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"g": "25", "crf": "10", "bf": "2", **options}
        for picture, pts in zip(pictures, pts_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _numbered_picture(k: int) -> np.ndarray:
    """Eight bars, dark or light: the number in binary."""
    bars = np.array([200 if k >> bit & 1 else 50 for bit in range(8)], dtype=np.uint8)
    return np.broadcast_to(np.repeat(bars, 8)[None, :, None], (48, 64, 3)).copy()


def _numbers(pictures: np.ndarray) -> list[int]:
    bars = pictures.reshape(len(pictures), 48, 8, 8, 3).mean(axis=(1, 3, 4)) > 125
    return (bars @ (1 << np.arange(8))).tolist()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 25 pictures a second; picture k is ``_numbered_picture(k)``."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    pictures = [_numbered_picture(k) for k in range(N_FRAMES)]
    return _write_video(path, pictures, [40 * k for k in range(N_FRAMES)])


@pytest.fixture(scope="session")
def stereo_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(-20000, 20000, size=(44100 * 2, 2))
    return _write_wav(tmp_path_factory.mktemp("media") / "stereo é.wav", noise, 44100)


@pytest.fixture(scope="session")
def stereo_m4a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.2, size=(2, 44100 * 2)).astype(np.float32)
    path = tmp_path_factory.mktemp("media") / "stereo é.m4a"
    return _write_sound(path, "aac", noise, 44100, "stereo")


@pytest.fixture(scope="session")
def write_wav() -> Callable:
    return _write_wav


@pytest.fixture(scope="session")
def write_sound() -> Callable:
    return _write_sound


@pytest.fixture(scope="session")
def tone() -> Callable:
    return _tone


@pytest.fixture(scope="session")
def write_video() -> Callable:
    return _write_video


@pytest.fixture(scope="session")
def numbered_picture() -> Callable:
    return _numbered_picture


@pytest.fixture(scope="session")
def numbers() -> Callable:
    return _numbers
