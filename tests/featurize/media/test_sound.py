"""The sound of real files, made here with FFmpeg's encoders or kept beside the checkout."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import MediaError
from featurize.media import iter_audio, read_audio, sound
from featurize.media.sound import STRETCH_S

RATE_HZ = 16000


def test_audio_of_the_right_rate_comes_through_bit_for_bit(tmp_path: Path, write_wav) -> None:
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


def band_limited(times_s: np.ndarray, below_hz: float) -> np.ndarray:
    """25 tones that swell and fade over the whole: known at any time, hence at any rate."""
    rng = np.random.default_rng(7)
    hz, phase = rng.uniform(80, below_hz, 25), rng.uniform(0, 2 * np.pi, 25)
    tones = np.sin(2 * np.pi * hz[:, None] * times_s + phase[:, None]).sum(axis=0) / 40
    return tones * np.sin(np.pi * times_s / 1.37) ** 2


RATES_HZ = [8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 88200, 96000]


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
def test_audio_channels_without_a_layout_are_mixed_too(
    tmp_path: Path, n_channels: int, write_wav, tone
) -> None:
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
def test_audio_of_m4a_begins_where_the_original_does(
    tmp_path: Path, rate_hz: int, write_sound
) -> None:
    original = band_limited(np.arange(int(1.37 * rate_hz)) / rate_hz, 3000.0)
    write_sound(tmp_path / "a.m4a", "aac", original.astype(np.float32)[None], rate_hz, "mono")
    audio = read_audio(tmp_path / "a.m4a")
    expected = band_limited(np.arange(len(audio)) / RATE_HZ, 3000.0)
    expected[int(1.37 * RATE_HZ) :] = 0  # what fills the last frame of 1024
    shifts = range(-20, 21)
    products = [np.dot(audio[50:-50], np.roll(expected, shift)[50:-50]) for shift in shifts]
    assert shifts[int(np.argmax(products))] == 0


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
def test_an_hour_of_sound_is_held_once_and_a_segment_of_it_alone(tmp_path: Path, write_wav) -> None:
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


def test_audio_starting_late_is_put_where_it_belongs(tmp_path: Path, numbered_picture) -> None:
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


def test_audio_in_stretches_is_the_whole_sound(tmp_path: Path, write_wav) -> None:
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
