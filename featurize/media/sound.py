"""A file's sound: a mono waveform, whole or in stretches."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from featurize.errors import MediaError
from featurize.media.container import (
    check_complete,
    check_segment,
    decoding,
    no_decoder,
    opened,
    prepared,
    zero_s,
)
from featurize.media.limits import check_audio

LARGEST_DELAY_S = 600.0  # of the sound behind the picture, before time stamps are called wrong
# Without it libswresample's mix of stereo to floating-point mono is 3 dB too loud.
MIX_WITHIN_FULL_SCALE = {"rematrix_maxval": "1"}
STRETCH_S = 10  # of sound at once, in ``iter_audio``
LARGEST_SAMPLE = 32767 / 32768  # int16's range, Kaldi's, scaled to [-1, 1)

# A decoded frame, or None at the end, to blocks of mono float32 samples.
Convert = Callable[[AudioFrame | None], Iterator["memoryview[Any]"]]


def read_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    sample_rate_hz: int = 16000,
) -> np.ndarray:
    """Decode a file's sound to mono at ``sample_rate_hz``.

    libswresample mixes and resamples: stereo becomes the mean of both channels, more channels the
    usual ITU mix scaled to stay within full scale. The result is clipped to the range of int16.
    Sample ``i`` is at ``start_s + i / sample_rate_hz``. The stream is always decoded from its
    beginning, so a segment equals the same stretch of the whole file, sample for sample; only the
    segment is kept in memory.

    >>> import tempfile, wave
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    ...     with wave.open(file.name, "wb") as out:
    ...         out.setparams((2, 2, 8000, 0, "NONE", ""))  # stereo, 16 bits, 8 kHz
    ...         out.writeframes(bytes(4 * 8000))
    ...     read_audio(file.name, start_s=0.25, end_s=0.75).shape
    (8000,)

    Args:
        path: a local audio or video file.
        start_s: start of the segment.
        end_s: end of the segment; None is the end of the file, a later time is cut to it.
        sample_rate_hz: rate of the result.

    Returns:
        float32 (n_samples,) in [-1, 1).

    Raises:
        MediaError: no media file, no sound in the file or the segment, a decoding error before
            the segment's end, or less sound than the header states (a truncated file).
    """
    sound = bytearray()  # float32; grows in place, where joining arrays would hold all of it twice
    for block in _segment_blocks(path, start_s, end_s, sample_rate_hz):
        sound += block
    return _clipped(path, sound)


def iter_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    sample_rate_hz: int = 16000,
) -> Iterator[np.ndarray]:
    """Yield what ``read_audio`` returns in stretches of about ``STRETCH_S``: sound of hours.

    Raises MediaError as ``read_audio`` does, where the damage is met: stretches before it have
    been yielded by then.
    """
    sound = bytearray()
    for block in _segment_blocks(path, start_s, end_s, sample_rate_hz):
        sound += block
        if len(sound) >= 4 * STRETCH_S * sample_rate_hz:
            yield _clipped(path, sound)
            sound = bytearray()
    if sound:
        yield _clipped(path, sound)


def probe_audio(path: str | Path) -> tuple[int, int, int]:
    """What the header says of a file's sound: rate in Hz, channels, samples a channel.

    Raises:
        MediaError: the file cannot be opened, has no sound, or does not state its length.
    """
    with opened(path) as container:
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{path}: has no audio stream")
        if stream.codec_context is None:
            raise no_decoder(path, "audio")
        if stream.duration is None or stream.time_base is None or not stream.rate:
            raise MediaError(f"{path}: does not state how long its sound is")
        n_samples = round(stream.duration * stream.time_base * stream.rate)
        return stream.rate, stream.channels, n_samples


def _segment_blocks(
    path: str | Path, start_s: float, end_s: float | None, sample_rate_hz: int
) -> Iterator["memoryview[Any]"]:
    """Yield the float32 blocks of a segment, cut at its ends; then look whether all was there."""
    check_segment(path, start_s, end_s)
    first = round(start_s * sample_rate_hz)
    stop = math.inf if end_s is None else round(end_s * sample_rate_hz)
    position = 0
    with opened(path) as container:
        best = container.streams.best("audio")
        if best is None:
            raise MediaError(f"{path}: has no audio stream")
        stream = prepared(path, best, check_audio)
        with decoding(path, lambda: position / sample_rate_hz):
            for block in _mono_blocks(container, stream, sample_rate_hz):
                end = position + len(block)
                if end > first and position < stop:
                    yield block[max(first - position, 0) : int(min(stop, end)) - position]
                position = end
                if position >= stop:
                    break
        check_complete(path, container, stream, position / sample_rate_hz, end_s)
    if min(stop, position) <= first:
        raise MediaError(
            f"{path}: no sound after {start_s:g} s (it ends at {position / sample_rate_hz:.2f} s)"
        )


def _clipped(path: str | Path, sound: bytearray) -> np.ndarray:
    waveform = np.frombuffer(sound, np.float32)
    np.clip(waveform, -1.0, np.float32(LARGEST_SAMPLE), out=waveform)
    if np.isnan(waveform.sum()):  # of one that is not a number; infinite ones have been clipped
        raise MediaError(f"{path}: its sound has samples that are not numbers")
    return waveform


def _mono_blocks(
    container: InputContainer, stream: AudioStream, sample_rate_hz: int
) -> Iterator["memoryview[Any]"]:
    """Yield consecutive blocks of float32 samples, the first of which begins at time zero."""
    convert = _mixer(sample_rate_hz)
    n_late: int | None = None  # samples from time zero to the stream's first; may be negative
    for frame in _with_flush(container.decode(stream)):
        if n_late is None and frame is not None:
            if _is_ready(frame, sample_rate_hz):
                convert = partial(_as_floats, sample_rate_hz)
            late_s = (frame.time or 0.0) - zero_s(container)
            if late_s > LARGEST_DELAY_S:
                raise ValueError(f"its sound starts {late_s:.0f} s late: wrong time stamps")
            n_late = round(late_s * sample_rate_hz)
            yield memoryview(bytes(4 * max(n_late, 0))).cast("f")
        for block in convert(frame):
            n_cut = min(max(-(n_late or 0), 0), len(block))
            n_late = (n_late or 0) + n_cut
            yield block[n_cut:]


def _mixer(sample_rate_hz: int) -> Convert:
    """libswresample, for sound of any form."""
    resampler = av.AudioResampler(
        format="fltp", layout="mono", rate=sample_rate_hz, options=MIX_WITHIN_FULL_SCALE
    )

    def convert(frame: AudioFrame | None) -> Iterator["memoryview[Any]"]:
        try:
            resampled = resampler.resample(frame)
        except ValueError:
            raise ValueError("its sound changes its form on the way; convert the file") from None
        for mixed in resampled:
            if mixed is not None:  # what flushing gives when there was nothing to convert
                yield memoryview(mixed.planes[0]).cast("f")[: mixed.samples]

    return convert


def _is_ready(frame: AudioFrame, sample_rate_hz: int) -> bool:
    """16-bit mono of the right rate, as in most WAV and FLAC files of speech."""
    is_mono = frame.layout.nb_channels == 1 and frame.sample_rate == sample_rate_hz
    return is_mono and frame.format.name in ("s16", "s16p")


def _as_floats(sample_rate_hz: int, frame: AudioFrame | None) -> Iterator["memoryview[Any]"]:
    """What libswresample makes of it too, in a tenth of the time."""
    if frame is None:
        return
    if not _is_ready(frame, sample_rate_hz):
        raise ValueError("its sound changes its form on the way; convert the file")
    samples = np.frombuffer(memoryview(frame.planes[0]), np.int16, frame.samples)
    yield (samples / np.float32(32768)).data


def _with_flush(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame | None]:
    yield from frames
    yield None
