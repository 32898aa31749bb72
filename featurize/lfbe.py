"""Log filterbank energies (LFBE), equal to Kaldi's ``compute-fbank-feats``.

Up to the power spectrum all is computed in double precision: in single precision, Kaldi's, a bin a
million times weaker than its frame is uncertain by about 1e-3.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torchaudio.compliance import kaldi

from featurize.errors import MediaError, UsageError
from featurize.threads import one_thread

WINDOWS = ("povey", "hamming", "hanning", "rectangular", "blackman")
INT16_SCALE = 32768.0  # Kaldi computes on samples in the range of int16
EPSILON = torch.finfo(torch.float32).eps
BLOCK_FRAMES = 256  # computed at once: half a megabyte a step, which stays in the cache


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

    @property
    def n_window(self) -> int:
        """Samples of a frame; Kaldi cuts the fraction off."""
        return int(self.sample_rate_hz * self.window_s)

    @property
    def n_hop(self) -> int:
        """Samples from one frame to the next; Kaldi cuts the fraction off."""
        return int(self.sample_rate_hz * self.hop_s)

    @property
    def n_before(self) -> int:
        """The first sample of frame 0: 0, or below it where frames are centred on the hops."""
        return 0 if self.snip_edges else self.n_hop // 2 - self.n_window // 2

    def n_frames(self, n_samples: int) -> int:
        """Frames of a sound of at least one frame: Kaldi's ``NumFrames``."""
        if self.snip_edges:
            return 1 + (n_samples - self.n_window) // self.n_hop
        return (n_samples + self.n_hop // 2) // self.n_hop


def lfbe(waveform: np.ndarray, sample_rate_hz: int, config: LfbeConfig | None = None) -> np.ndarray:
    """Compute log mel filterbank energies.

    Each energy is floored at float32's epsilon before the natural logarithm, as in Kaldi, so that
    digital silence is -15.94, not minus infinity. Besides the result about 4 MB are used, however
    long the sound is.

    >>> import numpy as np
    >>> second = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    >>> features = lfbe(0.5 * second, 16000)
    >>> features.shape
    (98, 40)
    >>> int(features[50].argmax())  # the bin of 440 Hz
    7

    Args:
        waveform: floating point (n_samples,) in [-1, 1), mono.
        sample_rate_hz: its rate.
        config: Kaldi's options; None is ``LfbeConfig(sample_rate_hz)``.

    Returns:
        float32 (n_frames, n_bins).

    Raises:
        MediaError: the waveform is shorter than one frame or has a value that is not finite.
        UsageError: the waveform's rate is not that of ``config``.
    """
    config = config or LfbeConfig(sample_rate_hz)
    if sample_rate_hz != config.sample_rate_hz:
        raise UsageError(
            f"a waveform at {sample_rate_hz} Hz, but LfbeConfig.sample_rate_hz is "
            f"{config.sample_rate_hz}: make them the same (read_audio resamples)"
        )
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    if len(samples) < config.n_window:
        raise MediaError(
            f"sound of {len(samples)} samples is shorter than one frame of {config.n_window}"
        )
    # A sum is a fraction of the work; only a sum can be infinite where no sample is.
    if not torch.isfinite(samples.sum()) and not torch.isfinite(samples).all():
        raise MediaError("sound has samples that are not finite")
    features = torch.empty(config.n_frames(len(samples)), config.n_bins)
    with torch.inference_mode(), one_thread():  # blocks are small: more threads gain little
        for first in range(0, len(features), BLOCK_FRAMES):
            block = features[first : first + BLOCK_FRAMES]
            _log_energies(_stretch(samples, first, len(block), config), config, out=block)
    return features.numpy()


def _stretch(samples: Tensor, first: int, n_frames: int, config: LfbeConfig) -> Tensor:
    """The samples of ``n_frames`` frames from frame ``first`` on, float64 in the range of int16.

    Where they reach over an end of the sound, it is mirrored there, the last sample repeated:
    Kaldi's ``ExtractWindow``.
    """
    start = first * config.n_hop + config.n_before
    stop = start + (n_frames - 1) * config.n_hop + config.n_window
    parts = [samples[max(start, 0) : stop]]
    if start < 0:
        parts.insert(0, samples[:-start].flip(0))
    if stop > len(samples):
        parts.append(samples[len(samples) - stop :].flip(0))
    return torch.cat(parts).double() * INT16_SCALE


def _log_energies(stretch: Tensor, config: LfbeConfig, out: Tensor) -> None:
    """The frames of ``stretch``, float64, to their log energies, ``out`` (n, n_bins).

    Kaldi takes a frame's mean m off, then pre-emphasises: x[j] - m - c (x[j - 1] - m), with x[0] in
    place of x[-1]. That is x[j] - c x[j - 1] - (1 - c) m, whose first two terms are the same for
    all the frames that share a sample.
    """
    window, bank = _tables(config)
    rest = 1.0 - config.preemphasis
    emphasised = stretch.clone()
    emphasised[1:].sub_(stretch[:-1], alpha=config.preemphasis)
    padded = torch.zeros(len(out), 2 * (len(bank) - 1), dtype=torch.float64)
    inner = padded[:, : config.n_window]
    inner.copy_(emphasised.unfold(0, config.n_window, config.n_hop))
    frames = stretch.unfold(0, config.n_window, config.n_hop)  # (n, n_window), views
    inner[:, 0] = frames[:, 0] * rest
    if config.remove_dc:
        inner -= frames.mean(dim=1, keepdim=True) * rest
    inner *= window
    spectrum = torch.fft.rfft(padded)
    power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    if not config.use_power:
        power.sqrt_()
    torch.mm(power.float(), bank, out=out)  # a sum of what is not negative: nothing cancels
    out.clamp_(min=EPSILON).log_()


@lru_cache(maxsize=8)
def _tables(config: LfbeConfig) -> tuple[Tensor, Tensor]:
    """The window (n_window,) and the mel filterbank (n_fft / 2 + 1, n_bins)."""
    n_fft = 1 << (config.n_window - 1).bit_length()
    bank, _ = kaldi.get_mel_banks(
        config.n_bins,
        n_fft,
        float(config.sample_rate_hz),
        config.low_hz,
        config.high_hz,
        vtln_low=100.0,  # of no effect without a warp
        vtln_high=-500.0,
        vtln_warp_factor=1.0,
    )
    bank = torch.nn.functional.pad(bank, (0, 1)).T.contiguous()  # none holds the Nyquist bin
    return _window(config.window, config.n_window), bank


def _window(name: str, n_window: int) -> Tensor:
    """Kaldi's ``FeatureWindowFunction``, (n_window,)."""
    phase = torch.arange(n_window, dtype=torch.float64) * (2 * math.pi / (n_window - 1))
    hann = 0.5 - 0.5 * torch.cos(phase)
    window = {
        "povey": hann**0.85,
        "hanning": hann,
        "hamming": 0.54 - 0.46 * torch.cos(phase),
        "blackman": 0.42 - 0.5 * torch.cos(phase) + 0.08 * torch.cos(2 * phase),
        "rectangular": torch.ones_like(phase),
    }[name]
    return window
