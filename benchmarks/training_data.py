"""Made-up utterances as long as VoxCeleb2's, as batches and as a workspace of real shards.

Of VoxCeleb2's lengths the mean is known, 2,360 hours over 1,092,009 utterances, and the least, 4 s
(Nagrani et al. 2017, table 2, of the same way of making it). The shape between is an assumption:
4 s and an exponential of mean 3.8 s, cut at 20 s, which spares padded batches their worst. There
are 20 stacks of audio a second, 5 frames of video and 2.5 words.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.corpus import TIMES, about, targets_of
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from model.config import EOS_ID, SOS_ID, InputDims
from model.data import Batch

STACKS_PER_S, VIDEO_FPS, WORDS_PER_S = 20, 5, 2.5
LEAST_S, MEAN_S, MOST_S = 4.0, 7.8, 20.0
FRAMES_PER_STACK = 5
CHARACTERS_PER_WORD = 5  # the space included
PAPER_DIMS = InputDims()


def durations_s(n: int, seed: int = 0) -> np.ndarray:
    """Lengths of ``n`` utterances (n,)."""
    rng = np.random.default_rng(seed)
    return np.minimum(LEAST_S + rng.exponential(MEAN_S - LEAST_S, n), MOST_S)


def steps_of(duration_s: float) -> tuple[int, int, int]:
    """Numbers of stacked audio frames, video frames and words."""
    per_s = (STACKS_PER_S, VIDEO_FPS, WORDS_PER_S)
    n_audio, n_video, n_text = (max(1, round(rate * float(duration_s))) for rate in per_s)
    return n_audio, n_video, n_text


def made_up_batch(
    dims: InputDims, n: int, n_audio: int, n_video: int, n_text: int, n_characters: int = 8
) -> Batch:
    """``n`` utterances of one length: random features, no padding; ``n_characters`` with <sos>."""
    generator = torch.Generator().manual_seed(0)
    arrays: dict[str, torch.Tensor] = {}
    for name, n_steps in (("audio", n_audio), ("video", n_video), ("text", n_text)):
        width = getattr(dims, name)
        arrays[name] = torch.randn(n, n_steps, width, generator=generator)
        arrays[f"{name}_mask"] = torch.ones(n, n_steps, dtype=torch.bool)
    characters = torch.randint(EOS_ID + 1, 31, (n, n_characters + 1), generator=generator)
    characters[:, 0], characters[:, -1] = SOS_ID, EOS_ID
    return Batch(
        ids=tuple(f"u{i}" for i in range(n)),
        **arrays,
        characters=characters,
        speakers=torch.zeros(n, dtype=torch.long),
        labels=torch.zeros(n, 6),
    )


def write_features(folder: Path, n: int, shard_size: int = 64) -> None:
    """Shards of ``n`` utterances by the writer that ``trimodal extract`` uses."""
    lengths = [steps_of(duration) for duration in durations_s(n)]
    for first in range(0, n, shard_size):
        part = range(first, min(n, first + shard_size))
        stem = f"shard-{first // shard_size:05d}"
        for modality in ("audio", "video", "text"):
            _write(folder / f"{stem}.{modality}.h5", modality, [(i, lengths[i]) for i in part])
        path = folder / f"{stem}.targets.h5"
        fields = TARGET_FIELDS
        with ShardWriter(path, **about("targets"), fields=fields, columns=TARGET_COLUMNS) as writer:
            for i in part:
                said = (b"word " * lengths[i][2])[:-1]
                arrays = {"characters": np.frombuffer(said, np.uint8)}
                writer.add(_id(i), arrays, targets_of(_id(i)))


def _write(path: Path, modality: str, utterances: list[tuple[int, tuple[int, int, int]]]) -> None:
    width = {"audio": PAPER_DIMS.audio // FRAMES_PER_STACK, "video": 4096, "text": 300}[modality]
    times = TIMES.get(modality, {})
    fields = {"features": ((width,), "float16"), **times}
    with ShardWriter(path, **about(modality), fields=fields) as writer:
        for features in _features(modality, width, utterances):
            n_rows = len(features[1])
            empty = {
                name: np.zeros((n_rows, *shape), dtype) for name, (shape, dtype) in times.items()
            }
            writer.add(features[0], {"features": features[1], **empty})


def _features(
    modality: str, width: int, utterances: list[tuple[int, tuple[int, int, int]]]
) -> Iterator[tuple[str, np.ndarray]]:
    pool = _pool()
    for i, (n_audio, n_video, n_text) in utterances:
        n_rows = {"audio": FRAMES_PER_STACK * n_audio, "video": n_video, "text": n_text}[modality]
        n_values = n_rows * width
        start = np.random.default_rng(i).integers(len(pool) - n_values)
        yield _id(i), pool[start : start + n_values].reshape(n_rows, width)


@cache
def _pool() -> np.ndarray:
    """What features are cut from: drawing all of a large corpus anew takes minutes."""
    return np.random.default_rng(0).standard_normal(1 << 21, np.float32).astype(np.float16)


def _id(number: int) -> str:
    return f"id{number % 20:05d}/21Uxsk56VDQ/{number:05d}"
