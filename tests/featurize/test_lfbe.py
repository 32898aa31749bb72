"""Against a NumPy implementation written here, kaldi-native-fbank, and Kaldi's own output."""

import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import MediaError, UsageError
from featurize.lfbe import BLOCK_FRAMES, LfbeConfig, lfbe

TOLERANCE = 1e-3  # of Kaldi's own single precision
EXACT = 1e-4  # of exact arithmetic
CONFIGS = [
    LfbeConfig(),
    LfbeConfig(snip_edges=False),
    LfbeConfig(n_bins=23, window="hamming", low_hz=64.0, high_hz=-400.0),
    LfbeConfig(preemphasis=0.0, remove_dc=False, use_power=False, high_hz=7600.0),
    LfbeConfig(sample_rate_hz=8000, n_bins=23),
    LfbeConfig(window_s=0.032, hop_s=0.016),
    LfbeConfig(window="hanning", snip_edges=False),
    LfbeConfig(window="blackman", sample_rate_hz=11025),
    LfbeConfig(window="rectangular", window_s=0.010, hop_s=0.025, snip_edges=False),
]


def speech_like(seconds: float, seed: int, rate_hz: int = 16000) -> np.ndarray:
    """A gliding harmonic tone with syllables and pauses over faint noise, in [-1, 1)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate_hz
    voiced = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0, None)
    signal = 0.15 * voiced * syllables + 0.003 * rng.standard_normal(len(t)) + 0.01
    return np.clip(signal, -1, 32767 / 32768).astype(np.float32)


def mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def filterbank(config: LfbeConfig, n_fft: int) -> np.ndarray:
    """Kaldi's triangles, (n_bins, n_fft // 2 + 1): straight on the mel scale, no Nyquist bin."""
    nyquist = config.sample_rate_hz / 2
    high = config.high_hz if config.high_hz > 0 else nyquist + config.high_hz
    edges = np.linspace(mel(config.low_hz), mel(high), config.n_bins + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    at = mel(np.arange(n_fft // 2 + 1) * config.sample_rate_hz / n_fft)[None]
    weights = np.minimum((at - left) / (centre - left), (right - at) / (right - centre))
    weights = np.maximum(weights, 0)
    weights[:, -1] = 0
    return weights


def reference_lfbe(waveform: np.ndarray, config: LfbeConfig) -> np.ndarray:
    """Kaldi's feature-window.cc and feature-fbank.cc, in double precision."""
    x = waveform.astype(np.float64) * 32768
    n_window = int(config.sample_rate_hz * config.window_s)
    n_hop = int(config.sample_rate_hz * config.hop_s)
    if config.snip_edges:
        starts = np.arange(1 + (len(x) - n_window) // n_hop) * n_hop
    else:
        starts = np.arange((len(x) + n_hop // 2) // n_hop) * n_hop + n_hop // 2 - n_window // 2
    index = (starts[:, None] + np.arange(n_window)) % (2 * len(x))  # mirrored: period 2 n
    frames = x[np.where(index < len(x), index, 2 * len(x) - 1 - index)]
    if config.remove_dc:
        frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames - config.preemphasis * before
    phase = 2 * np.pi * np.arange(n_window) / (n_window - 1)
    window = {
        "povey": (0.5 - 0.5 * np.cos(phase)) ** 0.85,
        "hamming": 0.54 - 0.46 * np.cos(phase),
        "hanning": 0.5 - 0.5 * np.cos(phase),
        "blackman": 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase),
        "rectangular": np.ones(n_window),
    }[config.window]
    n_fft = 1 << (n_window - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(frames * window, n_fft))
    energies = (spectrum**2 if config.use_power else spectrum) @ filterbank(config, n_fft).T
    return np.log(np.maximum(energies, np.finfo(np.float32).eps))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_equals_the_numpy_reference(config: LfbeConfig) -> None:
    waveform = speech_like(3.0, seed=1, rate_hz=config.sample_rate_hz)
    features = lfbe(waveform, config.sample_rate_hz, config)
    expected = reference_lfbe(waveform, config)
    assert features.dtype == np.float32 and features.shape == expected.shape
    np.testing.assert_allclose(features, expected, atol=EXACT)


@settings(max_examples=40, deadline=None)
@given(n_samples=st.integers(400, 6000), snip_edges=st.booleans(), seed=st.integers(0, 2**20))
def test_equals_the_numpy_reference_at_any_length(n_samples, snip_edges, seed) -> None:
    config = LfbeConfig(snip_edges=snip_edges)
    waveform = speech_like(0.4, seed)[:n_samples]
    expected = reference_lfbe(waveform, config)
    np.testing.assert_allclose(
        lfbe(waveform, config.sample_rate_hz, config), expected, atol=TOLERANCE
    )


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("n_frames", [BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1, 777])
def test_blocks_leave_no_seam(n_frames: int, snip_edges: bool) -> None:
    config = LfbeConfig(snip_edges=snip_edges)
    n_samples = 400 + 160 * (n_frames - 1) if snip_edges else 160 * n_frames
    waveform = speech_like(8.0, seed=3)[:n_samples]
    features = lfbe(waveform, 16000, config)
    assert features.shape == (n_frames, 40)
    np.testing.assert_allclose(features, reference_lfbe(waveform, config), atol=EXACT)


def native_fbank(waveform: np.ndarray, snip_edges: bool) -> np.ndarray:
    """kaldi-native-fbank's 40 bins, (n_frames, 40)."""
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = snip_edges
    options.mel_opts.num_bins = 40
    computer = knf.OnlineFbank(options)
    computer.accept_waveform(16000, (waveform * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])


@pytest.mark.parametrize("snip_edges", [True, False])
def test_equals_kaldi_native_fbank(snip_edges: bool) -> None:
    waveform = speech_like(2.0, seed=2)
    features = lfbe(waveform, 16000, LfbeConfig(snip_edges=snip_edges))
    np.testing.assert_allclose(features, native_fbank(waveform, snip_edges), atol=TOLERANCE)


def test_threads_change_no_bit() -> None:
    waveform, n_threads = speech_like(8.0, seed=4), torch.get_num_threads()
    found = []
    for n in (1, 2, 4):
        torch.set_num_threads(n)
        found.append(lfbe(waveform, 16000))
    torch.set_num_threads(n_threads)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def read_kaldi_text(path: Path) -> np.ndarray:
    """The one matrix of a text archive: ``key [ row / row ... ]``."""
    body = path.read_text().split("[")[1].split("]")[0]
    return np.array([[float(x) for x in row.split()] for row in body.strip().splitlines()])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("test.txt", {"n_bins": 23}),
        ("test-40.txt", {}),
        ("test-40-no-snip-edges.txt", {"snip_edges": False}),
    ],
)
def test_equals_kaldis_own_output(shared_data: Path, name: str, changes: dict) -> None:
    folder = shared_data / "kaldi" / "feats_kaldifeat_sine"
    with wave.open(str(folder / "test.wav")) as file:
        assert file.getframerate() == 16000 and file.getnchannels() == 1
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    config = replace(LfbeConfig(), **changes)
    waveform = samples / np.float32(32768)
    features, expected = (
        lfbe(waveform, config.sample_rate_hz, config),
        read_kaldi_text(folder / name),
    )
    assert features.shape == expected.shape
    error = np.abs(features - expected)
    # The file is a pure tone. Bins a million times weaker than the frame's peak hold the rounding
    # of Kaldi's own single precision: there Kaldi is up to 0.03 from exact arithmetic too.
    strong = expected > expected.max(axis=1, keepdims=True) - np.log(1e6)
    assert error[strong].max() < TOLERANCE
    kaldis_own_error = np.abs(reference_lfbe(waveform, config) - expected)
    assert error.max() < 1.2 * kaldis_own_error.max() < 0.05
    assert error.mean() < TOLERANCE


@pytest.mark.parametrize("snip_edges", [True, False])
def test_real_speech_equals_both_references(shared_data: Path, snip_edges: bool) -> None:
    from featurize.media import read_audio

    config = LfbeConfig(snip_edges=snip_edges)
    paths = sorted((shared_data / "speech_en").glob("*.flac"))
    assert len(paths) >= 40
    for path in paths:
        waveform = read_audio(path)
        features = lfbe(waveform, 16000, config)
        np.testing.assert_allclose(features, reference_lfbe(waveform, config), atol=EXACT)
        np.testing.assert_allclose(features, native_fbank(waveform, snip_edges), atol=TOLERANCE)


def test_a_faint_sound_on_a_large_offset_equals_the_numpy_reference() -> None:
    """Where the rounding of single precision would show."""
    rng = np.random.default_rng(5)
    waveform = (0.3 + rng.integers(-20, 20, 16000) / 32768).astype(np.float32)
    expected = reference_lfbe(waveform, LfbeConfig())
    np.testing.assert_allclose(lfbe(waveform, 16000), expected, atol=EXACT)


HOUR = """
import resource, numpy as np
from featurize.lfbe import lfbe
lfbe(np.zeros(16000, np.float32), 16000)
hour = np.random.default_rng(0).standard_normal(3600 * 16000, np.float32) / 10
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
features = lfbe(hour, 16000)
print(len(features), features.nbytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_its_result() -> None:
    n_frames, n_bytes, grown_kb = map(int, run_python(HOUR).split())
    assert n_frames == 359_998
    assert grown_kb * 1024 < n_bytes + 16 * 2**20


def run_python(code: str) -> str:
    """What a fresh process prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_silence_is_floored() -> None:
    features = lfbe(np.zeros(16000, np.float32), 16000)
    assert features.shape == (98, 40)
    np.testing.assert_allclose(features, np.log(np.finfo(np.float32).eps), atol=1e-6)


def test_unfit_sound_is_a_media_error() -> None:
    with pytest.raises(MediaError, match="399 samples is shorter than one frame of 400"):
        lfbe(np.zeros(399, np.float32), 16000)
    assert lfbe(np.zeros(400, np.float32), 16000).shape == (1, 40)
    with pytest.raises(MediaError, match="not finite"):
        lfbe(np.full(800, np.nan, np.float32), 16000)
    last = np.zeros(1000, np.float32)
    last[-1] = np.inf  # in no frame
    with pytest.raises(MediaError, match="not finite"):
        lfbe(last, 16000)


def test_a_rate_that_contradicts_the_settings_is_refused() -> None:
    waveform = speech_like(0.5, 0, 8000)
    assert lfbe(waveform, 8000).shape == (48, 40)
    with pytest.raises(UsageError, match="at 8000 Hz, but LfbeConfig.sample_rate_hz is 16000"):
        lfbe(waveform, 8000, LfbeConfig())


@pytest.mark.parametrize(
    "settings",
    [
        {"window": "kaiser"},
        {"hop_s": 0.0},
        {"high_hz": 9000.0},
        {"low_hz": 9000.0},
        {"n_bins": 0},
        {"sample_rate_hz": 0},
    ],
)
def test_impossible_settings_are_named(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        LfbeConfig(**settings)
