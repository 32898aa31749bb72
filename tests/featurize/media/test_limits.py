"""Files that state what would cost gigabytes or years: each a good one with a few bytes changed."""

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from featurize import vgg
from featurize.errors import MediaError
from featurize.media import iter_audio, probe_audio, read_audio, read_frames


def write_video(path: Path, codec: str, width: int, height: int, times_s: list[float]) -> Path:
    """Grey pictures at those times."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"threads": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_s in times_s:
            picture = np.full((height, width, 3), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_wav(path: Path, rate_hz: int, n_samples: int) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate_hz, 0, "NONE", ""))
        out.writeframes(b"\1\2" * n_samples)
    return path


def changed(path: Path, mark: bytes, offset: int, form: str, *values: int) -> Path:
    """``values`` at ``offset`` from every place where ``mark`` begins."""
    content = bytearray(path.read_bytes())
    at = content.find(mark)
    assert at >= 0
    while at >= 0:
        struct.pack_into(form, content, at + offset, *values)
        at = content.find(mark, at + 1)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("side", [9000, 16000])
def test_a_picture_larger_than_any_is_refused_before_it_is_decoded(
    tmp_path: Path, side: int
) -> None:
    """VP8's key frame states the size anew: the container may say what it likes."""
    path = write_video(tmp_path / "a.webm", "libvpx", 64, 64, [0.0, 0.04])
    changed(path, b"\x9d\x01\x2a", 3, "<HH", side, side)
    with pytest.raises(MediaError, match="more than 8192 x 4608|states what cannot be"):
        read_frames(path, fps=25)


def test_a_picture_of_8k_is_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", 7680, 4320, [0.0])
    assert read_frames(path, fps=25)[1].shape == (1, 4320, 7680, 3)


def test_a_picture_too_narrow_is_refused_before_it_is_enlarged() -> None:
    """Its shorter side would become 256 pixels, the other 256,000."""
    for shape in ((16, 16000), (16000, 16)):
        with pytest.raises(MediaError, match="too narrow"):
            vgg.prepare(np.zeros((1, *shape, 3), np.uint8))
    assert vgg.prepare(np.zeros((1, 20, 640, 3), np.uint8)).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    "times_s", [[0.0, 0.04, 1e6], [0.0, 700.0, 700.04], [10 * k * 60.0 for k in range(20)]]
)
def test_time_stamps_of_years_do_not_give_a_picture_a_second_for_years(
    tmp_path: Path, times_s: list[float]
) -> None:
    path = write_video(tmp_path / "a.mkv", "libx264", 64, 64, times_s)
    with pytest.raises(MediaError, match="wrong time stamps"):
        read_frames(path, fps=1)


def test_a_last_picture_of_years_is_refused_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", 64, 64, [0.0])
    changed(path, b"stts", 16, ">I", 2**31 - 1)
    with pytest.raises(MediaError, match="wrong time stamps"):
        read_frames(path, fps=1)


def test_a_picture_may_stand_still_for_minutes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", "libx264", 64, 64, [0.0, 500.0, 500.04])
    assert len(read_frames(path, fps=0.1)[0]) == 50
    assert len(read_frames(path, fps=1, start_s=499.0)[0]) == 1


def test_a_rate_of_a_few_samples_a_second_is_refused(tmp_path: Path) -> None:
    """At 1 Hz a file of 40 KB would become 20,000 s of sound, 1.3 GB."""
    path = write_wav(tmp_path / "a.wav", 1, 20000)
    with pytest.raises(MediaError, match="sound at 1 samples a second"):
        read_audio(path)
    assert len(read_audio(write_wav(path, 4000, 4000))) == 16000


def test_samples_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    samples = np.full(16000, 0.25, "<f4")
    samples[8000] = np.nan
    path = write_float_wav(tmp_path / "a.wav", samples)
    for read in (read_audio, lambda path: list(iter_audio(path))):
        with pytest.raises(MediaError, match="not numbers"):
            read(path)
    assert np.isfinite(read_audio(path, end_s=0.4)).all()
    samples[8000] = np.inf
    assert read_audio(write_float_wav(path, samples)).max() == pytest.approx(1, abs=1e-4)


def write_float_wav(path: Path, samples: np.ndarray) -> Path:
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32)
    riff = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
    path.write_bytes(riff + form + struct.pack("<4sI", b"data", len(data)) + data)
    return path


def test_sound_without_a_decoder_is_an_error_wherever_it_is_met(tmp_path: Path) -> None:
    path = changed(write_wav(tmp_path / "a.wav", 16000, 16000), b"fmt ", 8, "<H", 0x4242)
    for read in (read_audio, probe_audio):
        with pytest.raises(MediaError, match="no decoder"):
            read(path)
