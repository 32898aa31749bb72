"""Against Kaldi's loops written out, its files read by kaldiio, and hand calculations."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from featurize.cmvn import apply_cmvn, cmvn_statistics


def kaldis_apply_cmvn(features: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """``ApplyCmvn`` of Kaldi's transform/cmvn.cc, with variances, bin by bin."""
    normalised = np.zeros(features.shape)
    count = statistics[0, -1]
    assert count >= 1.0
    for d in range(features.shape[1]):
        mean = statistics[0, d] / count
        variance = statistics[1, d] / count - mean * mean
        variance = max(variance, 1.0e-20)
        scale = 1.0 / variance**0.5
        offset = -(mean * scale)
        for t in range(len(features)):
            normalised[t, d] = features[t, d] * scale + offset
    return normalised


def log_energies(n_frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(12, 4, (n_frames, 5)).astype(np.float16)


def test_statistics_are_kaldis(tmp_path: Path) -> None:
    """Written as ``compute-cmvn-stats`` writes them, read by kaldiio, added up frame by frame."""
    kaldiio = pytest.importorskip("kaldiio")
    features = log_energies(50, seed=0)
    expected = np.zeros((2, 6))
    for frame in features.astype(float):
        expected[0] += [*frame, 1]
        expected[1] += [*frame**2, 0]
    kaldiio.save_ark(str(tmp_path / "cmvn.ark"), {"u": cmvn_statistics(features)})
    read_back = dict(kaldiio.load_ark(str(tmp_path / "cmvn.ark")))["u"]
    assert read_back.dtype == np.float64
    np.testing.assert_allclose(read_back, expected, rtol=1e-12)


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(0, 1000))
def test_normalises_as_kaldi_does(n_frames: int, seed: int) -> None:
    features = log_energies(n_frames, seed)
    statistics = cmvn_statistics(log_energies(40, seed + 1))
    normalised = apply_cmvn(features, statistics)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, kaldis_apply_cmvn(features, statistics), atol=1e-5)


def test_agrees_with_kaldi_native_fbank() -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    features = log_energies(50, seed=3).astype(np.float32)
    statistics = cmvn_statistics(features)
    np.testing.assert_allclose(statistics, knf.compute_cmvn_stats(features), rtol=1e-6)
    options = knf.CmvnOptions()
    options.norm_vars = True
    expected = knf.apply_cmvn(statistics, options, features)
    np.testing.assert_allclose(apply_cmvn(features, statistics), expected, atol=1e-5)


def test_pooled_frames_get_mean_0_and_variance_1() -> None:
    utterances = [log_energies(n, seed=n) for n in (3, 40, 7)]
    statistics = sum(cmvn_statistics(utterance) for utterance in utterances)
    pooled = np.concatenate([apply_cmvn(utterance, statistics) for utterance in utterances])
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(pooled.var(axis=0), 1, atol=1e-6)


@given(arrays(np.float16, 4, elements=st.floats(-20, 30, width=16)), st.integers(1, 5000))
def test_a_bin_that_never_changes_becomes_zero(frame: np.ndarray, n_frames: int) -> None:
    features = np.tile(frame, (n_frames, 1))
    assert not apply_cmvn(features, cmvn_statistics(features)).any()
