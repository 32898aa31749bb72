"""Small good media files in every container that trimodal opens, to make bad ones from.

Picture and sound are one clip as the demo's corpora have them, 1.2 s long, written by the encoders
that PyAV brings. Real recordings, where they are kept beside the checkout, come on top.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

LENGTH_S = 1.2
FPS = 25
SIDE = 112  # of the picture, in pixels
SAMPLE_RATE_HZ = 16000
LARGEST_REAL_BYTES = 500_000

# Name -> container, codec of the picture, codec of the sound, options of the container.
FORMATS: dict[str, tuple[str, str | None, str | None, dict[str, str]]] = {
    "a.mp4": ("mp4", "libx264", "aac", {}),
    "b.mp4": ("mp4", "libx264", "aac", {"movflags": "faststart"}),
    "c.mp4": ("mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "d.mp4": ("mp4", "libx265", "alac", {}),
    "a.mov": ("mov", "mjpeg", "pcm_s16le", {}),
    "a.mkv": ("matroska", "libx264", "flac", {}),
    "a.webm": ("webm", "libvpx", "libopus", {}),
    "a.avi": ("avi", "mpeg4", "libmp3lame", {}),
    "a.mpg": ("mpeg", "mpeg2video", "mp2", {}),
    "a.ts": ("mpegts", "libx264", "aac", {}),
    "a.flv": ("flv", "flv", "aac", {}),
    "a.wmv": ("asf", "wmv2", "wmav2", {}),
    "a.m4a": ("ipod", None, "aac", {}),
    "a.wav": ("wav", None, "pcm_s16le", {}),
    "b.wav": ("wav", None, "pcm_f32le", {}),
    "c.wav": ("wav", None, "adpcm_ms", {}),
    "a.flac": ("flac", None, "flac", {}),
    "a.ogg": ("ogg", None, "libopus", {}),
    "a.mp3": ("mp3", None, "libmp3lame", {}),
    "a.aiff": ("aiff", None, "pcm_s16be", {}),
    "a.caf": ("caf", None, "alac", {}),
    "a.au": ("au", None, "pcm_mulaw", {}),
}


def write_sources(folder: Path, real: Path | None = None) -> dict[str, bytes]:
    """Name -> content of each good file, left in ``folder``, and of some below ``real``."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, samples = _clip()
    for name, (container, video, audio, options) in FORMATS.items():
        if not (folder / name).is_file():
            _write(folder / name, container, options, video, pictures, audio, samples)
    made = {name: (folder / name).read_bytes() for name in FORMATS}
    return made if real is None else made | _real(real)


def _clip() -> tuple[list[np.ndarray], np.ndarray]:
    """RGB pictures uint8 (SIDE, SIDE, 3), and int16 (n,), of a face of the demo that speaks."""
    import cv2

    from pipelines.demo.footage import footage
    from pipelines.demo.looks import Expression
    from pipelines.demo.sentences import english_sentence
    from pipelines.demo.sound import spoken
    from pipelines.demo.speakers import random_speaker

    rng = np.random.default_rng(0)
    speaker = random_speaker(0, "en", rng)
    samples = spoken(english_sentence(rng), speaker.voice, rng)[: round(LENGTH_S * SAMPLE_RATE_HZ)]
    shown = footage(speaker.look, [(Expression(), samples)], rng)
    small = [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in shown]
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in small], samples


def _write(
    path: Path,
    container: str,
    options: dict[str, str],
    video: str | None,
    pictures: list[np.ndarray],
    audio: str | None,
    samples: np.ndarray,
) -> None:
    import av

    with av.open(str(path), "w", format=container, options=options) as out:
        shown = None if video is None else _video_stream(out, video)
        heard: Any = None if audio is None else out.add_stream(audio, rate=_rate_hz(audio))
        if heard is not None:
            heard.layout = "mono"
            if audio == "wmav2":  # it takes no rate but this one and some higher
                heard.bit_rate = 32000
        if shown is not None:
            for n, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = n, Fraction(1, FPS)
                out.mux(shown.encode(frame))
            out.mux(shown.encode(None))
        if heard is not None:
            sound = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
            sound.sample_rate, sound.pts = SAMPLE_RATE_HZ, 0
            sound.time_base = Fraction(1, SAMPLE_RATE_HZ)
            out.mux(heard.encode(sound))
            out.mux(heard.encode(None))


def _video_stream(out, codec: str):
    # One thread: with more, the bytes some encoders write depend on how many there are.
    options = {"threads": "1", "x265-params": "log-level=none:pools=none"}
    stream = out.add_stream(codec, rate=FPS, options=options if "26" in codec else {"threads": "1"})
    stream.height = stream.width = SIDE
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return stream


def _rate_hz(codec: str) -> int:
    return {"libopus": 48000, "pcm_mulaw": 8000}.get(codec, SAMPLE_RATE_HZ)


def _real(folder: Path) -> dict[str, bytes]:
    """A few recordings as their makers left them, the small ones."""
    paths = [*folder.glob("video/*.m*"), *folder.glob("video/bad/*.mp4")]
    paths += [*folder.glob("speech_en/*.wav")][:3]
    paths += sorted(folder.glob("speech_en/*.flac"), key=lambda p: p.stat().st_size)[:2]
    small = [path for path in sorted(paths) if path.stat().st_size <= LARGEST_REAL_BYTES]
    return {path.name: path.read_bytes() for path in small}
