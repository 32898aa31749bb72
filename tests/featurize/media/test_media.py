"""Real files, made here with FFmpeg's encoders or kept beside the checkout."""

import shutil
import struct
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurize.errors import MediaError
from featurize.media import iter_audio, iter_frames, probe_audio, read_audio, read_frames, sound
from featurize.media.sound import STRETCH_S

RATE_HZ = 16000
VIDEO_FPS = 25
N_FRAMES = 100


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    """``samples`` int16 (n,) or (n, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_sound(path: Path, codec: str, samples: np.ndarray, rate_hz: int, layout: str) -> Path:
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


def tone(rate_hz: int, seconds: float, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def write_video(path: Path, pictures: list[np.ndarray], pts_ms: list[int], **options) -> Path:
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


def numbered_picture(k: int) -> np.ndarray:
    """Eight bars, dark or light: the number in binary."""
    bars = np.array([200 if k >> bit & 1 else 50 for bit in range(8)], dtype=np.uint8)
    return np.broadcast_to(np.repeat(bars, 8)[None, :, None], (48, 64, 3)).copy()


def numbers(pictures: np.ndarray) -> list[int]:
    bars = pictures.reshape(len(pictures), 48, 8, 8, 3).mean(axis=(1, 3, 4)) > 125
    return (bars @ (1 << np.arange(8))).tolist()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 25 pictures a second; picture k is ``numbered_picture(k)``."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    pictures = [numbered_picture(k) for k in range(N_FRAMES)]
    return write_video(path, pictures, [40 * k for k in range(N_FRAMES)])


@pytest.fixture(scope="module")
def stereo_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(-20000, 20000, size=(44100 * 2, 2))
    return write_wav(tmp_path_factory.mktemp("media") / "stereo é.wav", noise, 44100)


@pytest.fixture(scope="module")
def stereo_m4a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.2, size=(2, 44100 * 2)).astype(np.float32)
    path = tmp_path_factory.mktemp("media") / "stereo é.m4a"
    return write_sound(path, "aac", noise, 44100, "stereo")


# --- sound ---


def test_audio_of_the_right_rate_comes_through_bit_for_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, size=12345)
    audio = read_audio(write_wav(tmp_path / "a.wav", samples, RATE_HZ))
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, (samples / 32768).astype(np.float32))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_audio_that_needs_no_mixing_is_what_the_mixer_makes_of_it(
    tmp_path: Path, suffix: str, monkeypatch
) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = np.random.default_rng(1).integers(-32768, 32768, size=54321).astype(np.int16)
    soundfile.write(tmp_path / f"a{suffix}", samples, RATE_HZ)
    found = read_audio(tmp_path / f"a{suffix}", start_s=0.1)
    monkeypatch.setattr(sound, "_is_ready", lambda frame, sample_rate_hz: False)
    np.testing.assert_array_equal(read_audio(tmp_path / f"a{suffix}", start_s=0.1), found)


RATES_HZ = [8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 88200, 96000]


def band_limited(times_s: np.ndarray, below_hz: float) -> np.ndarray:
    """25 tones that swell and fade over the whole: known at any time, hence at any rate."""
    rng = np.random.default_rng(7)
    hz, phase = rng.uniform(80, below_hz, 25), rng.uniform(0, 2 * np.pi, 25)
    tones = np.sin(2 * np.pi * hz[:, None] * times_s + phase[:, None]).sum(axis=0) / 40
    return tones * np.sin(np.pi * times_s / 1.37) ** 2


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_audio_resampling_is_exact_to_the_sample(tmp_path: Path, rate_hz: int) -> None:
    """Against the closed form, edges included; and a shift of one sample would show."""
    soundfile = pytest.importorskip("soundfile")
    below_hz = 0.85 * min(rate_hz, RATE_HZ) / 2
    n_samples = int(1.37 * rate_hz)
    original = band_limited(np.arange(n_samples) / rate_hz, below_hz)
    soundfile.write(tmp_path / "a.wav", original, rate_hz, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav")
    assert len(audio) == -(-n_samples * RATE_HZ // rate_hz)
    expected = band_limited(np.arange(len(audio)) / RATE_HZ, below_hz)
    np.testing.assert_allclose(audio, expected, atol=1e-3)
    assert np.abs(audio[1:] - expected[:-1]).max() > 0.1


def test_audio_of_telephone_speech_resampled_as_scipy_does(shared_data: Path) -> None:
    soundfile, signal = pytest.importorskip("soundfile"), pytest.importorskip("scipy.signal")
    paths = sorted((shared_data / "speech_en").glob("*_jackson_0.wav"))
    assert len(paths) == 10
    for path in paths:
        original, rate_hz = soundfile.read(path, dtype="float64")
        assert rate_hz == 8000
        taps = 2 * signal.firwin(511, 0.5, window=("kaiser", 8.0))  # steep, of no delay
        filled = np.zeros(2 * len(original))
        filled[::2] = original
        expected = signal.fftconvolve(filled, taps, mode="same")
        error = read_audio(path) - expected
        assert np.sqrt(np.mean(error**2)) < 0.02 * np.sqrt(np.mean(expected**2))


# ITU-R BS.775: left and right 3 dB down beside the centre, surround 3 dB below them, no LFE.
SIDE, BACK = 0.5**0.5, 0.5
MIXES = {
    "mono": [1],
    "stereo": [SIDE, SIDE],
    "2.1": [SIDE, SIDE, 0],
    "3.0": [SIDE, SIDE, 1],
    "quad": [SIDE, SIDE, BACK, BACK],
    "5.0": [SIDE, SIDE, 1, BACK, BACK],
    "5.1": [SIDE, SIDE, 1, 0, BACK, BACK],
    "7.1": [SIDE, SIDE, 1, 0, BACK, BACK, BACK, BACK],
}


@pytest.mark.parametrize("layout", MIXES)
def test_audio_channels_are_mixed_within_full_scale(tmp_path: Path, layout: str) -> None:
    weights = np.array(MIXES[layout])
    path = tmp_path / "a.wav"
    shape = (8000, len(weights))
    samples = np.random.default_rng(2).integers(-32768, 32768, shape).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read_back, _ = pytest.importorskip("soundfile").read(path, dtype="int16", always_2d=True)
    expected = read_back @ (weights / weights.sum()) / 32768
    np.testing.assert_allclose(read_audio(path), expected, atol=1e-6)


@pytest.mark.parametrize("n_channels", [2, 3, 6])
def test_audio_channels_without_a_layout_are_mixed_too(tmp_path: Path, n_channels: int) -> None:
    samples = np.repeat(np.round(tone(RATE_HZ, 0.5) * 32767)[:, None], n_channels, axis=1)
    audio = read_audio(write_wav(tmp_path / "a.wav", samples, RATE_HZ))
    assert audio.shape == (8000,) and np.abs(audio).max() < 0.6


@settings(max_examples=50, deadline=None)
@given(
    suffix=st.sampled_from([".wav", ".m4a"]),
    start_s=st.floats(0, 1.9),
    length_s=st.floats(0.001, 3.0),
)
def test_audio_segment_equals_the_stretch_of_the_whole(
    stereo_wav: Path, stereo_m4a: Path, suffix: str, start_s: float, length_s: float
) -> None:
    path = stereo_wav if suffix == ".wav" else stereo_m4a
    whole = read_audio(path)
    first, stop = round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ)
    segment = read_audio(path, start_s=start_s, end_s=start_s + length_s)
    np.testing.assert_array_equal(segment, whole[first:stop])


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_audio_of_m4a_begins_where_the_original_does(tmp_path: Path, rate_hz: int) -> None:
    original = band_limited(np.arange(int(1.37 * rate_hz)) / rate_hz, 3000.0)
    write_sound(tmp_path / "a.m4a", "aac", original.astype(np.float32)[None], rate_hz, "mono")
    audio = read_audio(tmp_path / "a.m4a")
    expected = band_limited(np.arange(len(audio)) / RATE_HZ, 3000.0)
    expected[int(1.37 * RATE_HZ) :] = 0  # what fills the last frame of 1024
    shifts = range(-20, 21)
    products = [np.dot(audio[50:-50], np.roll(expected, shift)[50:-50]) for shift in shifts]
    assert shifts[int(np.argmax(products))] == 0


@pytest.mark.parametrize(
    "name", ["sound.wav", "sound.mp4", "sound.txt", "sound", "日本語 ñ 😀.m4a", "-i a'b\"c%d.m4a"]
)
def test_audio_is_opened_by_its_content_not_its_name(
    stereo_m4a: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(stereo_m4a, tmp_path / name)
    np.testing.assert_array_equal(read_audio(tmp_path / name), read_audio(stereo_m4a))


HOUR = """
import resource, sys
from featurize.media import read_audio
def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
path, *segment = sys.argv[1:]
read_audio(path, end_s=1.0)
before = peak_mb()
start_s, end_s = map(float, segment)
print(len(read_audio(path, start_s=start_s, end_s=end_s)), peak_mb() - before)
"""


@pytest.mark.slow
def test_an_hour_of_sound_is_held_once_and_a_segment_of_it_alone(tmp_path: Path) -> None:
    minute = np.random.default_rng(0).integers(-9000, 9000, 60 * 8000, dtype=np.int16)
    path = write_wav(tmp_path / "hour.wav", np.tile(minute, 60), 8000)

    def read(start_s: float, end_s: float) -> tuple[int, float]:
        command = [sys.executable, "-c", HOUR, str(path), str(start_s), str(end_s)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(output.split()[0]), float(output.split()[1])

    n_samples, grown_mb = read(0.0, 3600.0)
    assert n_samples == 3600 * RATE_HZ
    assert grown_mb < 1.25 * n_samples * 4 / 2**20
    n_samples, grown_mb = read(3590.0, 3600.0)
    assert n_samples == 10 * RATE_HZ and grown_mb < 16


def test_audio_starting_late_is_put_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(numbered_picture(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(video.encode(frame))
        samples = np.full((1, RATE_HZ), 1000, dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, RATE_HZ // 2
        frame.time_base = Fraction(1, RATE_HZ)
        container.mux(sound.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    audio = read_audio(path)
    assert np.flatnonzero(audio)[0] == RATE_HZ // 2
    assert len(audio) == RATE_HZ * 3 // 2


def test_audio_agrees_with_soundfile_on_real_recordings(shared_data: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for path in sorted((shared_data / "speech_en").glob("*.flac"))[:5]:
        reference, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == RATE_HZ
        np.testing.assert_array_equal(read_audio(path), reference)


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_the_header_says_rate_channels_and_length(tmp_path: Path, rate_hz: int) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((12345, 2)), rate_hz)
    assert probe_audio(path) == (rate_hz, 2, 12345)


def test_a_header_without_sound_is_an_error(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(MediaError, match="no audio stream"):
        probe_audio(clip)
    with pytest.raises(MediaError, match="no such regular file"):
        probe_audio(tmp_path / "absent.wav")


def test_audio_errors_are_named(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp4").write_text("no media at all\n" * 100)
    sound = write_wav(tmp_path / "a.wav", np.ones(RATE_HZ), RATE_HZ)
    header_only = write_wav(tmp_path / "none.wav", np.ones(0), RATE_HZ)
    for match, path, segment in [
        ("zero bytes", tmp_path / "empty.wav", {}),
        ("cannot be opened as media", tmp_path / "text.mp4", {}),
        ("no such regular file", tmp_path / "absent.wav", {}),
        ("no such regular file", tmp_path, {}),
        ("no audio stream", clip, {}),
        ("no sound", header_only, {}),
        ("no sound after 2 s", sound, {"start_s": 2.0}),
        ("empty or negative segment", sound, {"start_s": 0.5, "end_s": 0.5}),
        ("empty or negative segment", sound, {"start_s": -1.0}),
        ("empty or negative segment", sound, {"start_s": float("nan")}),
    ]:
        with pytest.raises(MediaError, match=match) as caught:
            read_audio(path, **segment)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_only_plain_local_media_files_are_opened(tmp_path: Path, monkeypatch) -> None:
    write_wav(tmp_path / "a.wav", np.ones(RATE_HZ), RATE_HZ)
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/a.wav\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.wav").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/a.wav'\n")
    for path in ["http://127.0.0.1:9/a.wav", f"concat:{tmp_path}/a.wav", "/dev/zero"]:
        with pytest.raises(MediaError, match="no such regular file"):
            read_audio(path)
    for name in ["list.m3u8", "list.wav"]:
        with pytest.raises(MediaError, match="cannot be opened as media"):
            read_audio(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").rename("concat:a.wav")
    assert len(read_audio("concat:a.wav")) == RATE_HZ


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_truncated_sound_is_never_taken_for_whole(tmp_path: Path, suffix: str, kept: float) -> None:
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".m4a": "aac"}[suffix]
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(3).integers(-9000, 9000, (1, 4 * RATE_HZ), dtype=np.int16)
    options = {"movflags": "faststart"} if suffix == ".m4a" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read_audio(path)) == pytest.approx(4 * RATE_HZ, abs=2048)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(MediaError, match="truncated|decoding failed after"):
        read_audio(path)
    assert len(read_audio(path, end_s=0.5)) == RATE_HZ // 2  # what lies before is good


# --- pictures ---


def test_every_picture_once_at_the_files_own_rate(clip: Path) -> None:
    times_s, pictures = read_frames(clip, fps=VIDEO_FPS)
    assert times_s.dtype == np.float32 and pictures.dtype == np.uint8
    assert pictures.shape == (N_FRAMES, 48, 64, 3)
    assert numbers(pictures) == list(range(N_FRAMES))
    np.testing.assert_allclose(times_s, (np.arange(N_FRAMES) + 0.5) / VIDEO_FPS, atol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fps=st.floats(0.5, 60), start_s=st.floats(0, 3.9), length_s=st.none() | st.floats(0.05, 5.0))
def test_pictures_are_those_on_screen_at_the_stated_times(
    clip: Path, fps: float, start_s: float, length_s: float | None
) -> None:
    end_s = None if length_s is None else start_s + length_s
    last_s = min(N_FRAMES / VIDEO_FPS, end_s or np.inf)
    wanted_s = (np.arange(1000) + 0.5) / fps
    wanted_s = wanted_s[wanted_s + start_s < last_s]
    times_s, pictures = read_frames(clip, fps=fps, start_s=start_s, end_s=end_s)
    if len(wanted_s) == 0:
        assert len(pictures) == 1
        return
    np.testing.assert_allclose(times_s, wanted_s, atol=1e-5)
    position = (wanted_s + start_s) * VIDEO_FPS
    shown = np.array(numbers(pictures))  # at the very change either picture will do
    assert np.all((shown == np.floor(position - 1e-6)) | (shown == np.floor(position + 1e-6)))


def test_variable_frame_rate_goes_by_time_stamps(tmp_path: Path) -> None:
    pts_ms = [0, 40, 1000, 1100, 3000, 3040]
    pictures = [numbered_picture(10 * k) for k in range(len(pts_ms))]
    path = write_video(tmp_path / "vfr.mkv", pictures, pts_ms)
    _, shown = read_frames(path, fps=2)  # at 0.25, 0.75, 1.25, ..., 2.75 s
    assert numbers(shown)[:6] == [10, 10, 30, 30, 30, 30]


@pytest.mark.parametrize(
    ("matrix", "n_turns"),
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
    ids=["90 clockwise", "180", "90 counter-clockwise"],
)
def test_rotation_in_the_metadata_is_applied(tmp_path: Path, matrix, n_turns: int) -> None:
    upright = np.zeros((48, 64, 3), dtype=np.uint8)
    upright[:24, :32] = 255  # white top left quarter
    path = write_video(tmp_path / "a.mp4", [upright] * 5, [40 * k for k in range(5)])
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    picture = read_frames(path, fps=25)[1][0]
    expected = np.rot90(upright, n_turns)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 8


def test_seeking_changes_no_picture_of_real_clips(shared_data: Path) -> None:
    for path in sorted((shared_data / "video").glob("*.*")):
        times_s, whole = read_frames(path, fps=10)
        start_s = 2.0
        late_s, late = read_frames(path, fps=10, start_s=start_s)
        kept = times_s >= start_s
        np.testing.assert_allclose(late_s + start_s, times_s[kept], atol=1e-5)
        np.testing.assert_array_equal(late, whole[kept])


def test_pictures_agree_with_opencv_on_a_real_clip(shared_data: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = shared_data / "video" / "video_retalking_5.mp4"
    capture = cv2.VideoCapture(str(path))
    for (_, picture), _ in zip(iter_frames(path, fps=25), range(20), strict=False):
        reference = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        assert np.abs(picture.astype(int) - reference).mean() < 3  # chroma is upsampled otherwise


def test_corrupted_pictures_are_an_error_that_says_where(shared_data: Path) -> None:
    path = shared_data / "video" / "bad" / "decord_corrupted.mp4"
    with pytest.raises(MediaError, match=r"decoding failed after \d\.\d\d s"):
        read_frames(path, fps=5)
    assert len(read_frames(path, fps=5, end_s=1.0)[1]) == 5


@pytest.mark.parametrize("kept", [0.4, 0.8])
def test_truncated_video_is_never_taken_for_whole(tmp_path: Path, kept: float) -> None:
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(75)]
    path = write_video(tmp_path / "a.mp4", pictures, [40 * k for k in range(75)])
    content = path.read_bytes()
    media, index = content.index(b"mdat") - 4, content.index(b"moov") - 4
    path.write_bytes(content[: media + int((index - media) * kept)])
    with pytest.raises(MediaError, match="cannot be opened as media"):
        read_frames(path, fps=5)
    damaged = bytearray(content)  # the index says there is more than there is
    cut = media + 8 + int((index - media) * kept)
    damaged[cut:index] = bytes(index - cut)
    path.write_bytes(damaged)
    with pytest.raises(MediaError, match="truncated|decoding failed|damaged picture"):
        read_frames(path, fps=5)


def test_video_errors_are_named(tmp_path: Path, clip: Path, stereo_wav: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for match, path, options in [
        ("zero bytes", tmp_path / "empty.mp4", {}),
        ("no video stream", stereo_wav, {}),
        ("no picture after 9 s", clip, {"start_s": 9.0}),
        ("empty or negative segment", clip, {"start_s": 2.0, "end_s": 1.0}),
        ("give fps above 0", clip, {"fps": 0.0}),
    ]:
        with pytest.raises(MediaError, match=match):
            read_frames(path, **{"fps": 5.0, **options})


def test_a_cover_image_is_not_a_video(tmp_path: Path) -> None:
    cover = av.VideoFrame.from_ndarray(numbered_picture(50), format="rgb24")
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        image = container.add_stream("mjpeg", rate=1)
        image.width, image.height, image.pix_fmt = 64, 48, "yuvj420p"
        image.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(
            np.ones((1, RATE_HZ), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = RATE_HZ
        container.mux(sound.encode(frame))
        container.mux(image.encode(cover))
        for stream in (sound, image):
            container.mux(stream.encode(None))
    assert len(read_audio(path)) == RATE_HZ


@pytest.mark.parametrize("name", ["clip.avi", "clip.txt", "clip.wav", "clip", "klip ж 視.m4a"])
def test_a_wrong_suffix_is_no_obstacle(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    np.testing.assert_array_equal(read_frames(path, fps=5)[1], read_frames(clip, fps=5)[1])


@pytest.mark.parametrize("factor", [0, 10])
def test_a_frame_count_that_lies_is_not_believed(tmp_path: Path, factor: int) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=VIDEO_FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(numbered_picture(k), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    for box, offset in ((b"avih", 16), (b"strh", 32)):  # dwTotalFrames, dwLength
        at = content.index(box) + 8 + offset
        assert struct.unpack_from("<I", content, at) == (50,)
        struct.pack_into("<I", content, at, 50 * factor)
    path.write_bytes(content)
    assert numbers(read_frames(path, fps=VIDEO_FPS)[1]) == list(range(50))


def test_a_stream_without_a_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(MediaError, match="no picture after 0 s|cannot be opened as media"):
        read_frames(path, fps=5)


def test_black_frames_are_pictures_like_others(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", [black] * 25, [40 * k for k in range(25)])
    times_s, pictures = read_frames(path, fps=5)
    assert len(times_s) == 5 and pictures.max() == 0


def test_frames_are_given_one_by_one(clip: Path) -> None:
    """The first is there before the last has been decoded: an hour takes no more than a minute."""
    damaged = clip.parent / "damaged at the end.mp4"
    content = bytearray(clip.read_bytes())
    end = content.index(b"moov") - 4
    content[end - 200 : end] = bytes(200)
    damaged.write_bytes(content)
    frames = iter_frames(damaged, fps=VIDEO_FPS)
    assert [next(frames)[0] for _ in range(20)][-1] == pytest.approx(19.5 / VIDEO_FPS)
    with pytest.raises(MediaError, match="decoding failed|damaged picture|truncated"):
        list(frames)


def test_audio_in_stretches_is_the_whole_sound(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).integers(-30000, 30000, 25 * 8000)
    path = write_wav(tmp_path / "a.wav", sound, 8000)
    for segment in ({}, {"start_s": 1.25, "end_s": 23.75}, {"start_s": 24.5}):
        stretches = list(iter_audio(path, sample_rate_hz=8000, **segment))
        whole = read_audio(path, sample_rate_hz=8000, **segment)
        assert np.array_equal(np.concatenate(stretches), whole)
        assert all(len(stretch) >= STRETCH_S * 8000 for stretch in stretches[:-1])
        assert all(len(stretch) < (STRETCH_S + 1) * 8000 for stretch in stretches)
    with pytest.raises(MediaError, match="no sound after"):
        list(iter_audio(path, sample_rate_hz=8000, start_s=30))
