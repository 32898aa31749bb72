"""Opening a media file, and what holds of its sound and its pictures alike.

Only regular local files in known media containers are opened: FFmpeg would otherwise follow
URLs, ``concat:`` lists and playlists that point anywhere. Everything is decoded by one thread;
parallelism comes from processes.
"""

import errno
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from featurize.errors import MediaError
from featurize.media.limits import DECODER_OPTIONS

# Demuxers that read one self-contained file; no playlists (hls, dash, concat), images or devices.
CONTAINERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf,flv,wav,w64,flac,ogg,mp3,aac,aiff,caf,au,amr,ac3"
)
# Containers whose header states the duration exactly (elsewhere it may be a guess).
EXACT_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "flac"})
RIFF_SIZE_UNKNOWN = 0x7FFF0000  # writers to a pipe put about 2 or 4 GiB where the size belongs
TRUNCATION_TOLERANCE_S = 0.5  # encoders round the stated duration by a frame or a few
# For what FFmpeg says too shortly, or wrongly: its decoders return 1 where they give no reason.
REASONS = {
    errno.EPERM: "FFmpeg gives no reason",
    errno.EAGAIN: "FFmpeg gives no reason",
    errno.EINVAL: "it states what cannot be",
    errno.ENOMEM: "it asks for more memory than there is",
    int.from_bytes(b"EOF ", "little"): "it ends too soon",  # AVERROR_EOF
}


@contextmanager
def opened(path: str | Path) -> Iterator[InputContainer]:
    """An open container of a regular local file. Raises MediaError when it is none."""
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


def prepared(path: str | Path, stream: Any, check: Callable[[Any], None]) -> Any:
    """The stream, ready to be decoded. Raises MediaError: no decoder, or not what ``check`` lets
    pass.
    """
    if stream.codec_context is None:
        raise no_decoder(path, stream.type)
    try:
        check(stream)
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from None
    stream.codec_context.options = DECODER_OPTIONS
    stream.codec_context.thread_count = 1
    return stream


def no_decoder(path: str | Path, kind: str) -> MediaError:
    """The error of a stream that FFmpeg knows, but cannot decode."""
    return MediaError(f"{path}: no decoder for its {kind} stream; convert the file")


@contextmanager
def decoding(path: str | Path, decoded_until_s: Callable[[], float]) -> Iterator[None]:
    """Turn FFmpeg's errors into MediaError, telling how much was decoded before."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path}: decoding failed after {decoded_until_s():.2f} s: {_reason(error)}"
        ) from None


def check_segment(path: str | Path, start_s: float, end_s: float | None) -> None:
    """Raise MediaError when there can be nothing between the two."""
    if not 0 <= start_s < math.inf or (end_s is not None and not end_s > start_s):
        raise MediaError(f"{path}: empty or negative segment, {start_s} s to {end_s} s")


def check_complete(
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
    return float(end * (stream.time_base or 0)) - zero_s(container)


def zero_s(container: InputContainer) -> float:
    """Time stamp, in seconds, of the container's time zero."""
    return (container.start_time or 0) / av.time_base


def _reason(error: Exception) -> str:
    told = REASONS.get(getattr(error, "errno", None) or 0)
    return told or getattr(error, "strerror", None) or str(error) or type(error).__name__
