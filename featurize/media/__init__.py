"""Open a video or audio file: a mono waveform, or RGB pictures with their times.

Time zero is the container's start, the zero of every player's clock. Sound and picture are both
placed on that clock by their time stamps, so what ``read_audio`` and ``read_frames`` give for the
same segment belongs together even when one stream starts later than the other.
"""

from featurize.media.pictures import iter_frames, read_frames
from featurize.media.sound import iter_audio, probe_audio, read_audio

__all__ = ["iter_audio", "iter_frames", "probe_audio", "read_audio", "read_frames"]
