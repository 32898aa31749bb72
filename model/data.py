"""Batches for training: which utterances, in which order, padded to tensors.

The order of an epoch is a pure function of (seed, epoch), so a run that was stopped goes on with
the very batches it would have had. Padding is kept low by batching utterances of like length.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from featurize.errors import TextError, TrainError
from model.config import EMOTIONS, PAD_ID, encode
from model.store import Features, FeatureStore, Utterance

WINDOW_SHARDS = 16  # utterances are shuffled over so many shards: few files open, enough disorder
LENGTH_JITTER = 0.05  # lengths are blurred so much before sorting, so that batches differ by epoch
N_PREFETCHED = 2  # batches made ahead while the model works on one


@dataclass(frozen=True)
class Batch:
    """B utterances, padded with zeros; a mask is True where a step is real.

    audio (B, T, 200), video (B, F, 4096), text (B, W, D) float32; each ``*_mask`` is (B, T),
    (B, F) or (B, W) bool, a row all False where the modality is absent (F and W are at least 1).
    characters (B, C) int64: <sos> ... <eos>, <pad>. speakers (B,) int64, -1 where not among the
    known ones. labels (B, 6) float32, 1 where the emotion is present (0 where unlabelled).
    """

    ids: tuple[str, ...]
    audio: Tensor
    audio_mask: Tensor
    video: Tensor
    video_mask: Tensor
    text: Tensor
    text_mask: Tensor
    characters: Tensor
    speakers: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ids"}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


@dataclass
class Loader:
    """Makes the batches of one fold, one epoch at a time, in a background thread.

    After an epoch ``wait_s`` is the time its consumer waited for data. ``speakers`` maps the
    known speakers to class numbers.
    """

    store: FeatureStore
    utterances: Sequence[Utterance]
    frames_per_batch: int
    speakers: dict[str, int]
    wait_s: float = 0.0

    def shuffled(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Each utterance once, in batches of like length, in an order set by (seed, epoch)."""
        rng = np.random.default_rng([seed, epoch])
        return self._make(shuffled_batches(self.utterances, self.frames_per_batch, rng))

    def in_order(self) -> Iterator[Batch]:
        """Each utterance once, shortest first; always the same batches, for evaluation."""
        ordered = sorted(self.utterances, key=lambda u: (u.n_stacks, u.id))
        return self._make(_cut(ordered, self.frames_per_batch))

    def _make(self, batches: Iterable[list[Utterance]]) -> Iterator[Batch]:
        self.wait_s = 0.0
        started_s = time.perf_counter()
        for batch in _prefetch(batches, self._batch):
            self.wait_s += time.perf_counter() - started_s
            yield batch
            started_s = time.perf_counter()

    def _batch(self, utterances: list[Utterance]) -> Batch:
        return collate([self.store.read(utterance) for utterance in utterances], self.speakers)


def split_by_hash(
    utterances: Iterable[Utterance], dev_fraction: float
) -> tuple[list[Utterance], list[Utterance]]:
    """(train, dev). An utterance is held out by a hash of its id alone, whatever else there is.

    Raises:
        TrainError: either part is empty.
    """
    train: list[Utterance] = []
    dev: list[Utterance] = []
    for utterance in utterances:
        digest = hashlib.blake2b(utterance.id.encode(), digest_size=8).digest()
        is_held_out = int.from_bytes(digest, "big") / 2**64 < dev_fraction
        (dev if is_held_out else train).append(utterance)
    for name, part in (("train", train), ("dev", dev)):
        if not part:
            raise TrainError(
                f"no utterance left for {name} of {len(train) + len(dev)} with dev_fraction "
                f"{dev_fraction}; change dev_fraction or extract more utterances"
            )
    return train, dev


def labelled_fold(store: FeatureStore, fold: str) -> list[Utterance]:
    """The utterances of a fold that carry emotion labels. Raises TrainError when there is none."""
    chosen = [u for u in store.utterances if u.fold == fold and u.emotions is not None]
    if not chosen:
        raise TrainError(
            f"{store.folder}: no labelled utterance in fold {fold!r} of "
            f"{len(store.utterances)}; does this corpus have emotion labels and folds?"
        )
    return chosen


def shuffled_batches(
    utterances: Sequence[Utterance], frames_per_batch: int, rng: np.random.Generator
) -> Iterator[list[Utterance]]:
    """Cuts all utterances into batches of at most ``frames_per_batch`` stacks, padding included.

    Shards are drawn in random order, 16 at a time; their utterances are sorted by length, blurred
    by 5%, cut, and the batches shuffled. An utterance longer than the budget is a batch alone.
    """
    by_shard: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_shard.setdefault(utterance.shard, []).append(utterance)
    names = [str(name) for name in rng.permutation(sorted(by_shard))]
    for start in range(0, len(names), WINDOW_SHARDS):
        window = names[start : start + WINDOW_SHARDS]
        members = [utterance for name in window for utterance in by_shard[name]]
        blur = 1 + LENGTH_JITTER * rng.uniform(-1, 1, len(members))
        order = np.argsort(np.array([u.n_stacks for u in members]) * blur, kind="stable")
        batches = list(_cut((members[i] for i in order), frames_per_batch))
        yield from (batches[i] for i in rng.permutation(len(batches)))


def _cut(ordered: Iterable[Utterance], frames_per_batch: int) -> Iterator[list[Utterance]]:
    batch: list[Utterance] = []
    longest = 0
    for utterance in ordered:
        longest = max(longest, utterance.n_stacks)
        if batch and longest * (len(batch) + 1) > frames_per_batch:
            yield batch
            batch, longest = [], utterance.n_stacks
        batch.append(utterance)
    if batch:
        yield batch


def collate(items: Sequence[Features], speakers: dict[str, int]) -> Batch:
    """Pads utterances to one batch."""
    labels = np.zeros((len(items), len(EMOTIONS)), np.float32)
    for row, item in zip(labels, items, strict=True):
        row[:] = item.utterance.emotions or 0
    audio, audio_mask = _pad([item.audio for item in items])
    video, video_mask = _pad([item.video for item in items])
    text, text_mask = _pad([item.text for item in items])
    return Batch(
        ids=tuple(item.utterance.id for item in items),
        audio=audio,
        audio_mask=audio_mask,
        video=video,
        video_mask=video_mask,
        text=text,
        text_mask=text_mask,
        characters=_pad_ids([_characters(item) for item in items]),
        speakers=torch.tensor([speakers.get(item.utterance.speaker, -1) for item in items]),
        labels=torch.from_numpy(labels),
    )


def _pad(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(n_i, D) arrays -> float32 (B, max n, D) and the mask of what is real (B, max n)."""
    n_steps = max(1, *(len(sequence) for sequence in sequences))
    padded = np.zeros((len(sequences), n_steps, sequences[0].shape[1]), np.float32)
    mask = np.zeros((len(sequences), n_steps), bool)
    for i, sequence in enumerate(sequences):
        padded[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)


def _characters(item: Features) -> list[int]:
    try:
        return encode(item.transcript)
    except TextError as error:
        raise TextError(f"{item.utterance.id}: {error}") from None


def _pad_ids(sequences: Sequence[list[int]]) -> Tensor:
    padded = torch.full((len(sequences), max(map(len, sequences))), PAD_ID)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return padded


def _prefetch(
    plans: Iterable[list[Utterance]], make: Callable[[list[Utterance]], Batch]
) -> Iterator[Batch]:
    """``make(plan)`` for each plan, in order, a few ahead of the consumer."""
    ahead: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        for plan in plans:
            ahead.append(pool.submit(make, plan))
            if len(ahead) > N_PREFETCHED:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
