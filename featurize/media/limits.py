"""What a media file may state before it is no longer believed.

A header of a few bytes can ask for gigabytes of memory or years of pictures. Files of people who
talk stay far within these limits.

Every check raises ValueError, whose text ``featurize.media`` completes with the file's name.
"""

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

LARGEST_PICTURE = (8192, 4608)  # 8K at 16:9; FFmpeg alone would take 16,000 x 16,000
LOWEST_RATE_HZ = 1000  # of sound: below, each sample would become more than 16
# A picture may stand still so long, and pictures on average so long beyond that. With time stamps
# that say otherwise, one picture would be computed again and again for the rest of the year.
STILL_S, SLOWEST_PICTURE_S = 600.0, 10.0

# For FFmpeg's decoders, which see the true size first.
DECODER_OPTIONS = {"max_pixels": str(LARGEST_PICTURE[0] * LARGEST_PICTURE[1])}


def check_video(stream: VideoStream) -> None:
    """The size that the header states, where it states one."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > LARGEST_PICTURE[0] * LARGEST_PICTURE[1]:
        limit = " x ".join(map(str, LARGEST_PICTURE))
        raise ValueError(f"pictures of {width} x {height}, more than {limit}")


def check_audio(stream: AudioStream) -> None:
    """The rate that the header states, where it states one."""
    rate_hz = stream.codec_context.sample_rate
    if 0 < rate_hz < LOWEST_RATE_HZ:
        raise ValueError(f"sound at {rate_hz} samples a second, fewer than {LOWEST_RATE_HZ}")


def check_clock(lasted_s: float, n_pictures: int) -> None:
    """How long some pictures last, by their time stamps."""
    if lasted_s > STILL_S + SLOWEST_PICTURE_S * n_pictures:
        raise ValueError(f"wrong time stamps: {n_pictures} pictures are to last {lasted_s:.0f} s")
