"""Turns synthesised speech into the sound track of a demo clip."""

import numpy as np

from pipelines.demo.speech import Voice, synthesise
from pipelines.demo.video_file import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

_ROOM_NOISE_RMS = 8.0  # of 32768: a clip is never digitally silent, as no recording is
_PAUSE_S = (0.08, 0.20)  # before and after the words


def spoken(text: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """The sound of ``text`` between two short pauses.

    Returns:
        int16 (n_samples,) mono at SAMPLE_RATE_HZ, a whole number of video frames long.
    """
    speech = synthesise(text, voice)
    samples = _trimmed(_resampled(speech.samples, speech.sample_rate_hz))
    before, after = (int(s * SAMPLE_RATE_HZ) for s in rng.uniform(*_PAUSE_S, 2))
    after += -(before + len(samples) + after) % SAMPLES_PER_FRAME
    return with_room_noise(np.pad(samples, (before, after)), rng)


def with_room_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int16 samples with a faint white noise added."""
    noisy = samples + rng.normal(0, _ROOM_NOISE_RMS, len(samples))
    return np.clip(np.round(noisy), -32768, 32767).astype(np.int16)


def _resampled(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    import av

    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = sample_rate_hz
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    blocks = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([block.to_ndarray()[0] for block in blocks])


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the silence espeak-ng leaves at both ends."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 64)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples
