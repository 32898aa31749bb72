"""How a demo face moves: the mouth with the sound, the eyelids and the head by themselves."""

from dataclasses import dataclass

import numpy as np

FLOOR_DB = -40.0  # relative to the loudest window: below this the mouth is shut
MOUTH_WINDOW_FRAMES = 1.5  # energy is taken over one and a half video frames
BLINK = (0.5, 1.0, 0.9, 0.4)  # how far the lids close, frame by frame at 25 fps
BLINK_EVERY_S = (1.5, 4.0)
SWAY_PERIODS_S = (1.3, 2.9, 4.7)


@dataclass(frozen=True)
class Motion:
    """Per video frame, each of shape (n_frames,)."""

    eyes_closed: np.ndarray  # 0 open, 1 closed
    shift_x_px: np.ndarray
    shift_y_px: np.ndarray
    tilt_deg: np.ndarray


def mouth_opening(
    samples: np.ndarray, sample_rate_hz: int, n_frames: int, fps: float
) -> np.ndarray:
    """How far the mouth is open in each video frame, from the sound's short-time energy.

    Args:
        samples: (n_samples,) mono sound, of any scale.

    Returns:
        float32 (n_frames,) in [0, 1]: the frame's level in dB between FLOOR_DB (shut) and the
        loudest frame (wide open). Silence is shut throughout.
    """
    energy = np.concatenate(([0.0], np.cumsum(np.asarray(samples, dtype=np.float64) ** 2)))
    centres = (np.arange(n_frames) + 0.5) * sample_rate_hz / fps
    half = 0.5 * MOUTH_WINDOW_FRAMES * sample_rate_hz / fps
    first = np.clip(np.round(centres - half), 0, len(samples)).astype(int)
    last = np.clip(np.round(centres + half), 0, len(samples)).astype(int)
    mean_square = (energy[last] - energy[first]) / (2 * half)
    if n_frames == 0 or mean_square.max() <= 0:
        return np.zeros(n_frames, dtype=np.float32)
    level_db = 10 * np.log10(np.maximum(mean_square / mean_square.max(), 1e-12))
    return np.clip(1 - level_db / FLOOR_DB, 0, 1).astype(np.float32)


def random_motion(n_frames: int, fps: float, rng: np.random.Generator) -> Motion:
    """Blinks at random moments and a slow sway of the head, of a few pixels and degrees."""
    return Motion(
        eyes_closed=_blinks(n_frames, fps, rng),
        shift_x_px=3.0 * _sway(n_frames, fps, rng),
        shift_y_px=2.0 * _sway(n_frames, fps, rng),
        tilt_deg=2.5 * _sway(n_frames, fps, rng),
    )


def _blinks(n_frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    closed = np.zeros(n_frames + len(BLINK), dtype=np.float32)
    at_s = rng.uniform(0.2, BLINK_EVERY_S[1])
    while at_s * fps < n_frames:
        start = int(at_s * fps)
        closed[start : start + len(BLINK)] = BLINK
        at_s += rng.uniform(*BLINK_EVERY_S)
    return closed[:n_frames]


def _sway(n_frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """A sum of sines of random phase, about within [-1, 1]."""
    times_s = np.arange(n_frames)[:, None] / fps
    phases = rng.uniform(0, 2 * np.pi, len(SWAY_PERIODS_S))
    waves = np.sin(2 * np.pi * times_s / np.array(SWAY_PERIODS_S) + phases)
    return (waves.mean(axis=1) * 1.5).astype(np.float32)
