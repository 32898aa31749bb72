"""Synthesised English as MFCC and, at every frame, the phone being said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchaudio.compliance.kaldi import mfcc
from torchaudio.functional import resample

from kaldi_recipes.demo_tdnn.lexicon import PHONES, SILENCE, common_words, phone_of
from pipelines.demo.sentences import EMOTION_PHRASES, emotional_sentence, english_sentence
from pipelines.demo.speech import Speech, Voice, synthesise

SAMPLE_RATE_HZ = 16000
N_MFCC = 40
HOP_S = 0.010
WINDOW_S = 0.025
# Of torchaudio's mfcc() and, in conf/mfcc.conf, of Kaldi; no dither, so scores never change.
MFCC_OPTIONS = {
    "num-mel-bins": 40,
    "num-ceps": N_MFCC,
    "low-freq": 20,
    "high-freq": 7600,
    "use-energy": False,
    "dither": 0,
    "sample-frequency": SAMPLE_RATE_HZ,
}

DIALECTS = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-US-nyc", "gmw/en-GB-scotland")
_DIALECT_SHARES = (0.45, 0.2, 0.15, 0.1, 0.1)
_VARIANTS = (
    *("", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5"),
    *("Alex", "Alicia", "Andrea", "Annie", "Denis", "Gene", "Hugo", "Jacky", "Lee"),
    *("Mario", "Michael", "Mike", "Reed", "adam", "anika", "antonio", "belinda"),
    *("benjamin", "boris", "caleb", "david", "ed", "edward", "grandma", "grandpa", "ian", "iven"),
    *("john", "klatt", "klatt2", "linda", "max", "michel", "miguel", "norbert", "pablo", "paul"),
    *("pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "travis", "victor", "zac"),
)
HELD_OUT_VARIANTS = ("m3", "f2", "Annie", "Hugo", "edward", "linda", "max", "steph")
_TRAIN_VARIANTS = tuple(v for v in _VARIANTS if v not in HELD_OUT_VARIANTS)
# Phones that espeak-ng merges with the vowel before them.
_MERGING = ("l", "r", "m", "n", "N", "@L")


@dataclass(frozen=True)
class Example:
    """``features`` float32 (T, 40) and ``targets`` int64 (T,), indices into PHONES."""

    features: np.ndarray
    targets: np.ndarray


def draw_voice(rng: np.random.Generator, *, held_out: bool = False) -> Voice:
    """A voice to train on or, of the first three dialects, one kept for judging."""
    if held_out:
        variant, dialect = rng.choice(HELD_OUT_VARIANTS), rng.choice(DIALECTS[:3])
    else:
        variant, dialect = rng.choice(_TRAIN_VARIANTS), rng.choice(DIALECTS, p=_DIALECT_SHARES)
    return Voice(
        name=f"{dialect}+{variant}" if variant else str(dialect),
        rate_wpm=int(rng.integers(120, 200)),
        pitch=int(rng.integers(15, 90)),
        pitch_range=int(rng.integers(20, 80)),
    )


def draw_text(rng: np.random.Generator, words: Sequence[str]) -> str:
    """A sentence of the demo, with emotions or without, or a string of unrelated words."""
    kind = rng.random()
    if kind < 0.35:
        return english_sentence(rng)
    if kind < 0.6:
        return emotional_sentence(list(rng.choice(list(EMOTION_PHRASES), 3, replace=False)), rng)
    return " ".join(str(word) for word in rng.choice(words, 10))


def draw_examples(n: int, rng: np.random.Generator) -> list[Example]:
    """``n`` utterances of drawn texts and voices."""
    words = common_words()
    return [make_example(synthesise(draw_text(rng, words), draw_voice(rng)), rng) for _ in range(n)]


def make_example(speech: Speech, rng: np.random.Generator) -> Example:
    """Features and targets of ``speech``, sped up or slowed down like a tape and degraded."""
    speech = at_tape_speed(speech, rng.uniform(0.88, 1.14))
    samples, lead_s = degrade(to_model_rate(speech), rng)
    features = mfcc_of(samples)
    return Example(features, frame_targets(speech, len(features), lead_s))


def at_tape_speed(speech: Speech, speed: float) -> Speech:
    """The same samples played ``speed`` times as fast, which moves the formants as well."""
    # A multiple of 150 Hz keeps the resampling filter short.
    rate_hz = round(speech.sample_rate_hz * speed / 150) * 150
    seconds = speech.sample_rate_hz / rate_hz
    return Speech(
        speech.samples,
        rate_hz,
        [(start_s * seconds, symbol) for start_s, symbol in speech.phonemes],
        [(start_s * seconds, *place) for start_s, *place in speech.words],  # type: ignore
    )


def to_model_rate(speech: Speech) -> np.ndarray:
    """Samples float32 (n,) at 16 kHz, in the range of int16 as Kaldi has them."""
    samples = torch.from_numpy(speech.samples.astype(np.float32))
    return resample(samples, speech.sample_rate_hz, SAMPLE_RATE_HZ).numpy()


def degrade(samples: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Silence in front, another level and colour, and noise: (samples, seconds put in front)."""
    lead_s, tail_s = rng.uniform(0.0, 0.4, 2)
    samples = np.pad(samples, [int(s * SAMPLE_RATE_HZ) for s in (lead_s, tail_s)])
    tilt = rng.uniform(-0.4, 0.4)  # a first-order filter: darker or brighter
    samples = samples + tilt * np.concatenate([[0.0], samples[:-1]])
    samples = samples * 10 ** (rng.uniform(-18, 3) / 20)
    snr_db = rng.uniform(12, 50)
    noise = rng.standard_normal(len(samples))
    brown = np.convolve(noise, np.exp(-np.arange(24) / rng.uniform(0.2, 8)), "same")
    noise_rms = np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)
    samples = samples + brown * (noise_rms / brown.std())
    return np.clip(samples, -32768, 32767).astype(np.float32), float(lead_s)


def mfcc_of(samples: np.ndarray) -> np.ndarray:
    """Kaldi's MFCC, float32 (T, 40), of samples in the range of int16."""
    options = {option.replace("-", "_"): value for option, value in MFCC_OPTIONS.items()}
    with torch.no_grad():
        features = mfcc(torch.from_numpy(samples)[None], **options)
    return features.numpy()


def frame_targets(speech: Speech, n_frames: int, lead_s: float) -> np.ndarray:
    """The phone sounding in the middle of each frame, int64 (n_frames,)."""
    starts_s, phones = phone_starts(speech)
    middles_s = np.arange(n_frames) * HOP_S + WINDOW_S / 2 - lead_s
    position = np.searchsorted(starts_s, middles_s, side="right")
    indices = np.array([PHONES.index(SILENCE), *map(PHONES.index, phones)])
    targets = indices[position]
    targets[middles_s > speech.duration_s] = PHONES.index(SILENCE)
    return targets


def phone_starts(speech: Speech) -> tuple[np.ndarray, list[str]]:
    """When each phone starts, in seconds, and which.

    espeak-ng merges a vowel and a following liquid or nasal in one stretch of sound, and reports
    the second of them as hardly lasting. It gets the last two fifths of the stretch before it.
    """
    events = [(start_s, phone_of(symbol)) for start_s, symbol in speech.phonemes]
    kept = [(start_s, phone) for start_s, phone in events if phone is not None]
    starts_s = np.array([start_s for start_s, _ in kept])
    for i in range(1, len(kept) - 1):
        shortest_s = 0.025 if kept[i][1] in _MERGING else 0.001
        if starts_s[i + 1] - starts_s[i] < shortest_s:
            starts_s[i] = starts_s[i - 1] + 0.6 * (starts_s[i] - starts_s[i - 1])
    return starts_s, [phone for _, phone in kept]
