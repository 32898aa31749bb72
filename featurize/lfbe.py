"""Log filterbank energies (LFBE), equal to Kaldi's ``compute-fbank-feats``."""

from dataclasses import dataclass

import numpy as np
import torch
from torchaudio.compliance import kaldi

from featurize.errors import MediaError, UsageError

WINDOWS = ("povey", "hamming", "hanning", "rectangular", "blackman")
INT16_SCALE = 32768.0  # Kaldi computes on samples in the range of int16


@dataclass(frozen=True)
class LfbeConfig:
    """Kaldi's options under names with units; the defaults are Kaldi's save for 40 bins, no dither.

    Attributes:
        sample_rate_hz: rate of the waveform (``--sample-frequency``).
        n_bins: mel bins (``--num-mel-bins``).
        window_s, hop_s: frame length and shift.
        window: "povey", "hamming", "hanning", "rectangular" or "blackman".
        preemphasis: coefficient of the pre-emphasis filter.
        low_hz: lower edge of the lowest bin.
        high_hz: upper edge of the highest bin; 0 or below counts from the Nyquist frequency.
        remove_dc: subtract the mean of each frame.
        use_power: power spectrum rather than magnitude.
        snip_edges: True keeps whole frames only, 1 + (n - window) // hop of them; False centres
            frames on the hops and mirrors the edges, about n / hop of them.

    Raises:
        UsageError: a value that Kaldi would refuse, all of them in one message.
    """

    sample_rate_hz: int = 16000
    n_bins: int = 40
    window_s: float = 0.025
    hop_s: float = 0.010
    window: str = "povey"
    preemphasis: float = 0.97
    low_hz: float = 20.0
    high_hz: float = 0.0
    remove_dc: bool = True
    use_power: bool = True
    snip_edges: bool = True

    def __post_init__(self) -> None:
        nyquist_hz = self.sample_rate_hz / 2
        high_hz = self.high_hz if self.high_hz > 0 else nyquist_hz + self.high_hz
        rules = {
            "sample_rate_hz must be at least 1000": self.sample_rate_hz >= 1000,
            "n_bins must be at least 4": self.n_bins >= 4,
            "hop_s must be above 0, at least one sample": self.hop_s * self.sample_rate_hz >= 1,
            "window_s must hold at least two samples": self.window_s * self.sample_rate_hz >= 2,
            f"window must be one of {', '.join(WINDOWS)}": self.window in WINDOWS,
            "preemphasis must lie in [0, 1]": 0 <= self.preemphasis <= 1,
            "low_hz must be at least 0 and below high_hz, that at most half the rate": (
                0 <= self.low_hz < high_hz <= nyquist_hz
            ),
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise UsageError(f"[audio] {'; '.join(broken)}")


def lfbe(waveform: np.ndarray, config: LfbeConfig | None = None) -> np.ndarray:
    """Compute log mel filterbank energies.

    Each energy is floored at float32's epsilon before the natural logarithm, as in Kaldi, so that
    digital silence is -15.94, not minus infinity.

    Args:
        waveform: floating point (n_samples,) in [-1, 1), at ``config.sample_rate_hz``.
        config: Kaldi's options; None is ``LfbeConfig()``.

    Returns:
        float32 (n_frames, n_bins).

    Raises:
        MediaError: the waveform is shorter than one frame or has a value that is not finite.
    """
    config = config or LfbeConfig()
    n_window = int(config.sample_rate_hz * config.window_s)
    if len(waveform) < n_window:
        raise MediaError(
            f"sound of {len(waveform)} samples is shorter than one frame of {n_window}"
        )
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    if not torch.isfinite(samples).all():
        raise MediaError("sound has samples that are not finite")
    features = kaldi.fbank(
        (samples * INT16_SCALE).unsqueeze(0),
        sample_frequency=config.sample_rate_hz,
        num_mel_bins=config.n_bins,
        frame_length=config.window_s * 1000,
        frame_shift=config.hop_s * 1000,
        window_type=config.window,
        preemphasis_coefficient=config.preemphasis,
        low_freq=config.low_hz,
        high_freq=config.high_hz,
        remove_dc_offset=config.remove_dc,
        use_power=config.use_power,
        snip_edges=config.snip_edges,
        dither=0.0,  # noise would make every run another one
    )
    return features.numpy()
