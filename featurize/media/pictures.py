"""A file's pictures at a rate of one's own, upright, as RGB."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from featurize.errors import MediaError
from featurize.media.container import (
    check_complete,
    check_segment,
    decoding,
    opened,
    prepared,
    zero_s,
)
from featurize.media.limits import check_clock, check_video

SEEK_MARGIN_S = 1.0  # a key frame may be decoded earlier than it is shown
FALLBACK_FRAME_RATE_HZ = 25.0  # for streams that state neither time stamps nor a rate


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
    check_segment(path, start_s, end_s)
    if not fps > 0:
        raise MediaError(f"{path}: cannot sample {fps:g} pictures a second; give fps above 0")
    with opened(path) as container:
        stream = _video_stream(path, container)
        shown_until_s = 0.0
        n_yielded = 0
        size: tuple[int, int] | None = None
        with decoding(path, lambda: shown_until_s):
            for frame, shown_until_s in _shown(container, stream, start_s, end_s):
                while (time_s := (n_yielded + 0.5) / fps) + start_s < shown_until_s:
                    size = size or (frame.width, frame.height)
                    yield time_s, _picture(path, frame, size)
                    n_yielded += 1
            if n_yielded == 0 and shown_until_s > start_s:
                middle_s = (shown_until_s - start_s) / 2
                yield middle_s, _picture(path, frame, (frame.width, frame.height))
                n_yielded = 1
        check_complete(path, container, stream, shown_until_s, end_s)
    if n_yielded == 0:
        raise MediaError(
            f"{path}: no picture after {start_s:g} s (it ends at {shown_until_s:.2f} s)"
        )


def _shown(
    container: InputContainer, stream: VideoStream, start_s: float, end_s: float | None
) -> Iterator[tuple[VideoFrame, float]]:
    """Yield each frame on screen within the segment, with the seconds until when it is.

    A picture stays until the next one comes, the last one for its own duration. Until there is
    a first one, that one stands in.
    """
    limit_s = float("inf") if end_s is None else end_s
    frame_s = 1.0 / float(stream.average_rate or stream.guessed_rate or FALLBACK_FRAME_RATE_HZ)
    zero = zero_s(container)
    current: tuple[VideoFrame, float] | None = None
    for n_before, frame in enumerate(_decoded_from(container, stream, start_s + zero)):
        if frame.time is not None:
            time_s = frame.time - zero
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
    if stream.time_base is None or target_s <= zero_s(container):
        yield from container.decode(stream)
        return
    try:
        container.seek(int(target_s / stream.time_base), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
    except av.FFmpegError:
        first = None
    if first is None or first.time is None or first.time > time_s:
        container.seek(int(zero_s(container) / stream.time_base), stream=stream)
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
    return prepared(path, best if best in moving else moving[0], check_video)
