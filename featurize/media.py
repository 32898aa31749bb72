"""Open a video or audio file: a mono waveform, or RGB pictures with their times.

Time zero is the container's start, the zero of every player's clock. Sound and picture are both
placed on that clock by their time stamps, so what ``read_audio`` and ``read_frames`` give for the
same segment belongs together even when one stream starts later than the other.

Only regular local files in known media containers are opened: FFmpeg would otherwise follow
URLs, ``concat:`` lists and playlists that point anywhere. Everything is decoded by one thread;
parallelism comes from processes.
"""

import errno
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from featurize.errors import MediaError
from featurize.media_limits import DECODER_OPTIONS, check_audio, check_clock, check_video

# Demuxers that read one self-contained file; no playlists (hls, dash, concat), images or devices.
CONTAINERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf,flv,wav,w64,flac,ogg,mp3,aac,aiff,caf,au,amr,ac3"
)
# Containers whose header states the duration exactly (elsewhere it may be a guess).
EXACT_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "flac"})
RIFF_SIZE_UNKNOWN = 0x7FFF0000  # writers to a pipe put about 2 or 4 GiB where the size belongs
TRUNCATION_TOLERANCE_S = 0.5  # encoders round the stated duration by a frame or a few
SEEK_MARGIN_S = 1.0  # a key frame may be decoded earlier than it is shown
LARGEST_DELAY_S = 600.0  # of the sound behind the picture, before time stamps are called wrong
FALLBACK_FRAME_RATE_HZ = 25.0  # for streams that state neither time stamps nor a rate
# Without it libswresample's mix of stereo to floating-point mono is 3 dB too loud.
MIX_WITHIN_FULL_SCALE = {"rematrix_maxval": "1"}
STRETCH_S = 10  # of sound at once, in ``iter_audio``
LARGEST_SAMPLE = 32767 / 32768  # int16's range, Kaldi's, scaled to [-1, 1)
# For what FFmpeg says too shortly, or wrongly: its decoders return 1 where they give no reason.
REASONS = {
    errno.EPERM: "FFmpeg gives no reason",
    errno.EAGAIN: "FFmpeg gives no reason",
    errno.EINVAL: "it states what cannot be",
    errno.ENOMEM: "it asks for more memory than there is",
    int.from_bytes(b"EOF ", "little"): "it ends too soon",  # AVERROR_EOF
}

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


def _segment_blocks(
    path: str | Path, start_s: float, end_s: float | None, sample_rate_hz: int
) -> Iterator["memoryview[Any]"]:
    """Yield the float32 blocks of a segment, cut at its ends; then look whether all was there."""
    _check_segment(path, start_s, end_s)
    first = round(start_s * sample_rate_hz)
    stop = math.inf if end_s is None else round(end_s * sample_rate_hz)
    position = 0
    with _opened(path) as container:
        best = container.streams.best("audio")
        if best is None:
            raise MediaError(f"{path}: has no audio stream")
        stream = _prepared(path, best, check_audio)
        with _decoding(path, lambda: position / sample_rate_hz):
            for block in _mono_blocks(container, stream, sample_rate_hz):
                end = position + len(block)
                if end > first and position < stop:
                    yield block[max(first - position, 0) : int(min(stop, end)) - position]
                position = end
                if position >= stop:
                    break
        _check_complete(path, container, stream, position / sample_rate_hz, end_s)
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


def read_frames(
    path: str | Path, *, fps: float, start_s: float = 0.0, end_s: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Decode the pictures of a segment at ``fps`` pictures a second.

    See ``iter_frames`` for which pictures these are.

    Returns:
        times_s float32 (F,), counted from ``start_s``; RGB pictures uint8 (F, H, W, 3).

    Raises:
        MediaError: see ``iter_frames``.
    """
    timed = list(iter_frames(path, fps=fps, start_s=start_s, end_s=end_s))
    times_s = np.array([time_s for time_s, _ in timed], dtype=np.float32)
    return times_s, np.stack([picture for _, picture in timed])


def probe_audio(path: str | Path) -> tuple[int, int, int]:
    """What the header says of a file's sound: rate in Hz, channels, samples a channel.

    Raises:
        MediaError: the file cannot be opened, has no sound, or does not state its length.
    """
    with _opened(path) as container:
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{path}: has no audio stream")
        if stream.codec_context is None:
            raise _no_decoder(path, "audio")
        if stream.duration is None or stream.time_base is None or not stream.rate:
            raise MediaError(f"{path}: does not state how long its sound is")
        n_samples = round(stream.duration * stream.time_base * stream.rate)
        return stream.rate, stream.channels, n_samples


def iter_frames(
    path: str | Path, *, fps: float, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield ``(time_s, picture)`` one by one, holding one decoded picture at a time.

    Picture ``k`` is the one on screen at ``start_s + (k + 0.5) / fps``, the middle of its
    interval: at the file's own rate each picture comes exactly once whatever the rounding of
    its time stamps, and at 1 fps a clip is not represented by its first, often black, picture. A
    segment shorter than half an interval yields its last picture, timed at its middle. A
    variable frame rate needs nothing special; a rotation in the file's metadata is applied
    (multiples of 90 degrees); if the picture's size changes on the way, later pictures are
    scaled to the first one's.

    Args:
        path: a local video file.
        fps: pictures a second of the result, not of the file.
        start_s, end_s: the segment; None is the end of the file, a later time is cut to it.

    Yields:
        Seconds from ``start_s``; uint8 (H, W, 3) RGB.

    Raises:
        MediaError: no media file, no video stream, no picture in the segment, a decoding
            error or a damaged picture before its end, or a truncated file.
    """
    _check_segment(path, start_s, end_s)
    if not fps > 0:
        raise MediaError(f"{path}: cannot sample {fps:g} pictures a second; give fps above 0")
    with _opened(path) as container:
        stream = _video_stream(path, container)
        shown_until_s = 0.0
        n_yielded = 0
        size: tuple[int, int] | None = None
        with _decoding(path, lambda: shown_until_s):
            for frame, shown_until_s in _shown(container, stream, start_s, end_s):
                while (time_s := (n_yielded + 0.5) / fps) + start_s < shown_until_s:
                    size = size or (frame.width, frame.height)
                    yield time_s, _picture(path, frame, size)
                    n_yielded += 1
            if n_yielded == 0 and shown_until_s > start_s:
                middle_s = (shown_until_s - start_s) / 2
                yield middle_s, _picture(path, frame, (frame.width, frame.height))
                n_yielded = 1
        _check_complete(path, container, stream, shown_until_s, end_s)
    if n_yielded == 0:
        raise MediaError(
            f"{path}: no picture after {start_s:g} s (it ends at {shown_until_s:.2f} s)"
        )


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
            late_s = (frame.time or 0.0) - _zero_s(container)
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


def _shown(
    container: InputContainer, stream: VideoStream, start_s: float, end_s: float | None
) -> Iterator[tuple[VideoFrame, float]]:
    """Yield each frame on screen within the segment, with the seconds until when it is.

    A picture stays until the next one comes, the last one for its own duration. Until there is
    a first one, that one stands in.
    """
    limit_s = float("inf") if end_s is None else end_s
    frame_s = 1.0 / float(stream.average_rate or stream.guessed_rate or FALLBACK_FRAME_RATE_HZ)
    zero_s = _zero_s(container)
    current: tuple[VideoFrame, float] | None = None
    for n_before, frame in enumerate(_decoded_from(container, stream, start_s + zero_s)):
        if frame.time is not None:
            time_s = frame.time - zero_s
        else:
            time_s = 0.0 if current is None else current[1] + frame_s
        check_clock(min(time_s, limit_s) - start_s, n_before)
        if current is not None and time_s > start_s:
            yield current[0], min(time_s, limit_s)
        if time_s >= limit_s and current is not None:
            return
        current = (frame, time_s)
    if current is not None:
        frame, time_s = current
        duration_s = float(frame.duration * frame.time_base) if frame.time_base else 0.0
        until_s = min(time_s + (duration_s or frame_s), limit_s)
        check_clock(until_s - start_s, n_before + 1)
        yield frame, until_s


def _decoded_from(
    container: InputContainer, stream: VideoStream, time_s: float
) -> Iterator[VideoFrame]:
    """Decode from the key frame before ``time_s``; from the beginning if the index misleads."""
    target_s = time_s - SEEK_MARGIN_S
    if stream.time_base is None or target_s <= _zero_s(container):
        yield from container.decode(stream)
        return
    try:
        container.seek(int(target_s / stream.time_base), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
    except av.FFmpegError:
        first = None
    if first is None or first.time is None or first.time > time_s:
        container.seek(int(_zero_s(container) / stream.time_base), stream=stream)
        frames = container.decode(stream)
    else:
        yield first
    yield from frames


def _picture(path: str | Path, frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Convert to uint8 (H, W, 3) RGB, upright; ``size`` is (width, height) before rotation."""
    if frame.is_corrupt:
        raise MediaError(f"{path}: damaged picture at {frame.time or 0.0:.2f} s")
    picture = frame.to_ndarray(format="rgb24", width=size[0], height=size[1], threads=1)
    n_quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90 counts
    return np.ascontiguousarray(np.rot90(picture, n_quarter_turns))


def _video_stream(path: str | Path, container: InputContainer) -> VideoStream:
    """Choose the moving picture; a cover image stored in the file is none."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise MediaError(f"{path}: has no video stream")
    best = container.streams.best("video")
    return _prepared(path, best if best in moving else moving[0], check_video)


def _prepared(path: str | Path, stream: Any, check: Callable[[Any], None]) -> Any:
    if stream.codec_context is None:
        raise _no_decoder(path, stream.type)
    try:
        check(stream)
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from None
    stream.codec_context.options = DECODER_OPTIONS
    stream.codec_context.thread_count = 1
    return stream


def _no_decoder(path: str | Path, kind: str) -> MediaError:
    return MediaError(f"{path}: no decoder for its {kind} stream; convert the file")


def _check_segment(path: str | Path, start_s: float, end_s: float | None) -> None:
    if not 0 <= start_s < math.inf or (end_s is not None and not end_s > start_s):
        raise MediaError(f"{path}: empty or negative segment, {start_s} s to {end_s} s")


def _check_complete(
    path: str | Path,
    container: InputContainer,
    stream: AudioStream | VideoStream,
    decoded_until_s: float,
    end_s: float | None,
) -> None:
    """Raise MediaError when the stream ended well before both its stated end and ``end_s``."""
    stated_s = _stated_end_s(path, container, stream)
    expected_s = min(stated_s, math.inf if end_s is None else end_s)
    if decoded_until_s < expected_s - TRUNCATION_TOLERANCE_S:
        raise MediaError(
            f"{path}: truncated: {stream.type} ends at {decoded_until_s:.2f} s"
            f" of {expected_s:.2f} s"
        )


def _stated_end_s(
    path: str | Path, container: InputContainer, stream: AudioStream | VideoStream
) -> float:
    """Seconds at which the header says that the stream ends; 0 where it cannot be relied on."""
    if container.format.name == "wav":  # FFmpeg goes by the file's size, so look for ourselves
        with open(path, "rb") as file:
            magic, n_bytes = struct.unpack("<4sI", file.read(8))
        n_bytes_a_second = (stream.codec_context.bit_rate or 0) / 8
        written_as_stream = magic != b"RIFF" or n_bytes >= RIFF_SIZE_UNKNOWN
        return 0.0 if written_as_stream or not n_bytes_a_second else n_bytes / n_bytes_a_second
    if container.format.name not in EXACT_DURATION or not stream.duration:
        return 0.0
    end = stream.duration + (stream.start_time or 0)
    return float(end * (stream.time_base or 0)) - _zero_s(container)


def _zero_s(container: InputContainer) -> float:
    """Time stamp, in seconds, of the container's time zero."""
    return (container.start_time or 0) / av.time_base


@contextmanager
def _opened(path: str | Path) -> Iterator[InputContainer]:
    local = Path(path)
    if not local.is_file():
        raise MediaError(f"{path}: no such regular file")
    if local.stat().st_size == 0:
        raise MediaError(f"{path}: has zero bytes")
    try:
        # "file:" so that a name such as "concat:a" is a name.
        container = av.open(
            f"file:{local.absolute()}",
            options=DECODER_OPTIONS,  # opening decodes a little already
            container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"{path}: cannot be opened as media: {_reason(error)}") from None
    with container:
        yield container


@contextmanager
def _decoding(path: str | Path, decoded_until_s: Callable[[], float]) -> Iterator[None]:
    """Turn FFmpeg's errors into MediaError, telling how much was decoded before."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path}: decoding failed after {decoded_until_s():.2f} s: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    told = REASONS.get(getattr(error, "errno", None) or 0)
    return told or getattr(error, "strerror", None) or str(error) or type(error).__name__
