"""Batches for training: which utterances, in which order, padded to tensors.

The batches of an epoch are a pure function of (seed, epoch, rank): a run that was stopped goes on
with the very batches it would have had, whatever the number of workers. Padding is kept low by
batching utterances of like length.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from featurize.errors import TextError, TrainError
from model.config import MODALITIES, PAD_ID, encode
from model.store import FeatureStore

WINDOW_SHARDS = 16  # utterances are shuffled over so many shards: few files open, enough disorder
LENGTH_JITTER = 0.05  # lengths are blurred so much before sorting, so that batches differ by epoch
FRAMES_PER_BATCH = 4000  # without gradients: stacked frames, padding included; 25 times 8 s
N_WORKERS = max(1, min(4, (os.cpu_count() or 2) // 2))  # threads; one feeds a GPU from local disk

Rows = np.ndarray  # (n,) int: rows of a ``FeatureStore``


@dataclass(frozen=True)
class Batch:
    """B utterances, padded with zeros; a mask is True where a step is real.

    audio (B, T, 200), video (B, F, 4096), text (B, W, D), in the precision of the shards until
    ``to`` makes them float32; each ``*_mask`` is (B, T), (B, F) or (B, W) bool, a row all False
    where the modality is absent (F and W are at least 1). characters (B, C) int64: <sos> ...
    <eos>, <pad>. speakers (B,) int64, -1 where not among the known ones. labels (B, K) float32:
    1 where an emotion is present and 0 elsewhere (K = 6), or the sentiment (K = 1).
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
        """The same batch on another device, half precision made single there: half the copying.

        From pinned memory the copy is only begun: whatever uses it on the device comes after it.
        """
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))
        return moved._each(lambda t: t.float() if t.dtype == torch.float16 else t)

    def pinned(self) -> Self:
        """The same batch in memory that a GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        names = [field.name for field in fields(self) if field.name != "ids"]
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **changed)


@dataclass
class Loader:
    """Makes the batches of some rows of a store, one epoch at a time, in background threads.

    Of ``world_size`` processes each has its own ``rank``: every utterance goes to exactly one of
    them. In training all get the same number of batches, a multiple of ``batches_per_step``. After
    an epoch ``wait_s`` is the time its consumer waited for data. ``speakers`` maps the known
    speakers to class numbers. ``task`` says which labels. ``pins`` where batches go to a GPU.

    Memory: ``n_workers`` + 2 batches of at most ``frames_per_batch`` stacks of audio and the video
    and text that go with them (25,000 stacks are 21 minutes: 10 MB of audio, 10 MB of video at
    1 frame a second, 2 MB of text), beside what the store says.
    """

    store: FeatureStore
    rows: Rows
    frames_per_batch: int
    speakers: dict[str, int]
    n_workers: int = N_WORKERS
    rank: int = 0
    world_size: int = 1
    batches_per_step: int = 1
    pins: bool = False
    task: str = "emotion"
    wait_s: float = 0.0

    def shuffled(self, seed: int, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Each utterance once, in batches of like length, in an order set by (seed, epoch).

        ``first_batch`` goes on in mid-epoch: that many batches are passed over without reading.

        Raises:
            TrainError: fewer utterances than batches in a step of all processes.
        """
        rng = np.random.default_rng([seed, epoch])
        groups = shuffled_groups(
            self.rows,
            self.store.shard[self.rows],
            self.store.n_stacks[self.rows],
            self.frames_per_batch,
            rng,
            self.world_size * self.batches_per_step,
        )
        mine = chain.from_iterable(group[self.rank :: self.world_size] for group in groups)
        return self._make(islice(mine, first_batch, None))

    def in_order(self) -> Iterator[Batch]:
        """Each utterance once, shortest first; always the same batches, for evaluation.

        Of several processes each gets every so-maniest batch, some one fewer than others.
        """
        n_stacks = self.store.n_stacks[self.rows]
        order = np.lexsort((self.store.ids[self.rows], n_stacks))
        batches = _cut(self.rows[order], n_stacks[order], self.frames_per_batch)
        return self._make(islice(batches, self.rank, None, self.world_size))

    def _make(self, batches: Iterable[Rows]) -> Iterator[Batch]:
        self.wait_s = 0.0
        number_of = np.array([self.speakers.get(name, -1) for name in self.store.speakers])
        started_s = time.perf_counter()
        labels = self.store.labels(self.task)
        make = partial(collate, self.store, number_of, labels, pins=self.pins)
        for batch in _prefetch(batches, make, self.n_workers):
            self.wait_s += time.perf_counter() - started_s
            yield batch
            started_s = time.perf_counter()


def split_by_hash(ids: np.ndarray, dev_fraction: float) -> tuple[Rows, Rows]:
    """Rows of (train, dev) among ``ids`` (n,) bytes; a hash of the id alone holds one out.

    Raises:
        TrainError: either part is empty.
    """
    is_dev = np.zeros(len(ids), bool)
    for row, raw in enumerate(ids.tolist()):
        digest = hashlib.blake2b(raw, digest_size=8).digest()
        is_dev[row] = int.from_bytes(digest, "big") / 2**64 < dev_fraction
    train, dev = np.flatnonzero(~is_dev), np.flatnonzero(is_dev)
    for name, part in (("train", train), ("dev", dev)):
        if not len(part):
            raise TrainError(
                f"no utterance left for {name} of {len(ids)} with dev_fraction "
                f"{dev_fraction}; change dev_fraction or extract more utterances"
            )
    return train, dev


class PretrainingSets(NamedTuple):
    """Utterances to train on, those of dev, and those of ``unseen_speakers``, held out whole."""

    train: Rows
    dev: Rows
    unseen: Rows
    unseen_speakers: list[str]


def pretraining_sets(
    store: FeatureStore, dev_fraction: float, unseen_share: float
) -> PretrainingSets:
    """Cuts a corpus: first ``unseen_share`` of its speakers, then of the others' utterances dev.

    Raises:
        TrainError: a part that is asked for, or what is to be trained on, is empty.
    """
    names, unseen = unseen_speakers(store, unseen_share)
    seen = np.setdiff1d(np.arange(len(store)), unseen)
    train, dev = (seen[part] for part in split_by_hash(store.ids[seen], dev_fraction))
    return PretrainingSets(train, dev, unseen, names)


def unseen_speakers(store: FeatureStore, share: float) -> tuple[list[str], Rows]:
    """The speakers held out, a share of all chosen by a hash of their names, and their utterances.

    Raises:
        TrainError: the share leaves no speaker to train on.
    """

    def digest(name: str) -> bytes:
        return hashlib.blake2b(name.encode(), digest_size=8).digest()

    n_unseen = round(share * len(store.speakers))
    if n_unseen >= len(store.speakers):
        raise TrainError(
            f"a share of {share} of {len(store.speakers)} speakers leaves none to learn"
        )
    unseen = sorted(sorted(store.speakers, key=digest)[:n_unseen])
    return unseen, np.flatnonzero(np.isin(store.speakers, unseen)[store.speaker])


def labelled_fold(store: FeatureStore, fold: str) -> Rows:
    """The utterances of a fold that carry labels. Raises TrainError when there is none."""
    is_in_fold = np.array([name == fold for name in store.folds])[store.fold]
    chosen = np.flatnonzero(is_in_fold & store.is_labelled)
    if not len(chosen):
        raise TrainError(
            f"{store.folder}: no labelled utterance in fold {fold!r} of "
            f"{len(store)}; does this corpus have emotion labels and folds?"
        )
    return chosen


def subset(ids: np.ndarray, rows: Rows, fraction: float, seed: int) -> Rows:
    """A share of ``rows``, at least one, drawn by a hash of ``seed`` and their ids.

    Of one seed the smaller shares are parts of the larger, and the order of shards plays no part.
    """
    if fraction == 1:
        return rows
    key = str(seed).encode()
    digests = [hashlib.blake2b(ids[row], digest_size=8, key=key).digest() for row in rows]
    order = sorted(range(len(rows)), key=digests.__getitem__)
    return np.sort(rows[order[: max(1, round(fraction * len(rows)))]])


def shuffled_groups(
    rows: Rows,
    shards: np.ndarray,
    n_stacks: np.ndarray,
    frames_per_batch: int,
    rng: np.random.Generator,
    group_size: int = 1,
) -> Iterator[list[Rows]]:
    """Cuts all utterances into groups of ``group_size`` batches: those of one step.

    ``shards`` and ``n_stacks`` are (n,), of the ``rows``. Shards are drawn in random order, 16 at
    a time (a last few join the 16 before); their utterances are sorted by length, blurred by 5%,
    cut into batches of at most ``frames_per_batch`` stacks with padding, and groups of batches
    that follow each other, so of like length, are shuffled. Where the batches do not go round,
    the largest are halved. An utterance longer than the budget is a batch alone.
    """
    for window in _windows(rng.permutation(np.unique(shards)), WINDOW_SHARDS):
        members = np.flatnonzero(np.isin(shards, window))
        blur = 1 + LENGTH_JITTER * rng.uniform(-1, 1, len(members))
        members = members[np.argsort(n_stacks[members] * blur, kind="stable")]
        batches = list(_cut(rows[members], n_stacks[members], frames_per_batch))
        _make_divisible(batches, group_size)
        groups = [batches[i : i + group_size] for i in range(0, len(batches), group_size)]
        yield from (groups[i] for i in rng.permutation(len(groups)))


def _windows(shards: np.ndarray, size: int) -> list[np.ndarray]:
    """``size`` shards each; a last window of less than half of that goes to the one before."""
    n_windows = max(1, round(len(shards) / size))
    bounds = [*(i * size for i in range(n_windows)), len(shards)]
    return [shards[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


def _make_divisible(batches: list[Rows], divisor: int) -> None:
    """Halves the largest batches until their number is a multiple of ``divisor``."""
    for _ in range(-len(batches) % divisor):
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        batch = batches[largest]
        if len(batch) < 2:
            raise TrainError(
                f"{len(batches)} utterances in a shuffle window do not go round the {divisor} "
                "batches of a step; lower batches_per_step, or train with fewer processes"
            )
        batches[largest : largest + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]


def _cut(ordered: Rows, n_stacks: np.ndarray, frames_per_batch: int) -> Iterator[Rows]:
    """Consecutive rows, as many as fit the budget when padded to the longest of them."""
    start, longest = 0, 0
    for end, length in enumerate(n_stacks.tolist()):
        longest = max(longest, length)
        if end > start and longest * (end + 1 - start) > frames_per_batch:
            yield ordered[start:end]
            start, longest = end, length
    if len(ordered):
        yield ordered[start:]


def collate(
    store: FeatureStore,
    number_of: np.ndarray,
    labels: np.ndarray,
    rows: Rows,
    *,
    pins: bool = False,
) -> Batch:
    """Reads and pads some utterances.

    ``number_of`` maps ``store.speaker`` to class numbers; ``labels`` are ``store.labels(task)``.
    """
    padded = {}
    for modality in MODALITIES:
        sequences = [store.features(row, modality) for row in rows]
        padded[modality], mask = _pad(sequences, store.dtypes[modality], pins)
        padded[f"{modality}_mask"] = mask
    batch = Batch(
        ids=tuple(store.id(row) for row in rows),
        **padded,
        characters=_pad_ids([_characters(store, row) for row in rows]),
        speakers=torch.from_numpy(number_of[store.speaker[rows]]),
        labels=torch.from_numpy(labels[rows].astype(np.float32)),
    )
    return batch.pinned() if pins else batch


def _pad(sequences: Sequence[np.ndarray], dtype: np.dtype, pins: bool) -> tuple[Tensor, Tensor]:
    """(n_i, D) arrays -> (B, max n, D) and the mask of what is real (B, max n)."""
    lengths = np.array([len(sequence) for sequence in sequences])
    n_steps = max(1, int(lengths.max()))
    padded = _empty((len(sequences), n_steps, sequences[0].shape[1]), dtype, pins)
    for target, sequence in zip(padded, sequences, strict=True):
        target[: len(sequence)] = sequence
        target[len(sequence) :] = 0
    mask = np.arange(n_steps) < lengths[:, None]
    return torch.from_numpy(padded), torch.from_numpy(mask)


def _empty(shape: tuple[int, ...], dtype: np.dtype, pins: bool) -> np.ndarray:
    """Room for a batch; pinned, it is PyTorch's, who keeps it for the next and spares a copy."""
    if not pins:
        return np.empty(shape, dtype)
    like = torch.from_numpy(np.empty(0, dtype))
    return torch.empty(shape, dtype=like.dtype, pin_memory=True).numpy()


def _characters(store: FeatureStore, row: int) -> list[int]:
    try:
        return encode(store.transcript(row))
    except TextError as error:
        raise TextError(f"{store.id(row)}: {error}") from None


def _pad_ids(sequences: Sequence[list[int]]) -> Tensor:
    padded = np.full((len(sequences), max(map(len, sequences))), PAD_ID, np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


def _prefetch(
    plans: Iterable[Rows], make: Callable[[Rows], Batch], n_workers: int
) -> Iterator[Batch]:
    """``make(plan)`` for each plan, in order, a few ahead of the consumer."""
    ahead: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max_workers=n_workers) as pool:
        for plan in plans:
            ahead.append(pool.submit(make, plan))
            if len(ahead) > n_workers + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
