"""The features of a workspace as the trainer sees them: utterances joined over modalities.

``FeatureStore`` opens every shard once to learn what is there, then reads single utterances on
demand. Audio and targets are mandatory; video or text that an utterance lacks is an empty array.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featurize.errors import TrainError
from featurize.shards import ShardReader
from model.config import MODALITIES, InputDims

CACHE_BYTES = 2 * 1024**3  # utterances kept in memory once read; the rest is read every epoch
MAX_OPEN_SHARDS = 80  # 16 shards of the shuffle window, 4 files each, and some of the next
STATISTICS_UTTERANCES = 20_000  # of a larger fold only so many are read: hours of disk spared

Statistics = dict[str, tuple[Tensor, Tensor]]  # as the encoder takes them
Moments = tuple[int, np.ndarray, np.ndarray]  # count, mean, sum of squared deviations


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is known of an utterance without reading its features. Lengths are rows."""

    id: str
    shard: str
    n_stacks: int
    speaker: str
    fold: str
    emotions: tuple[bool, ...] | None


@dataclass(frozen=True, slots=True)
class Features:
    """One utterance: audio (T, 200), video (F, 4096), text (W, D) as stored, its characters."""

    utterance: Utterance
    audio: np.ndarray
    video: np.ndarray
    text: np.ndarray
    transcript: str

    @property
    def n_bytes(self) -> int:
        return self.audio.nbytes + self.video.nbytes + self.text.nbytes + len(self.transcript)


class FeatureStore:
    """All utterances of a features folder that have audio and targets.

    Attributes: ``utterances`` in shard order, ``dims``, ``fingerprint`` (of the shards' own
    fingerprints) and ``n_left_out`` (utterances in the audio shards without targets or sound).

    Memory: ``cache_bytes`` of features, one index per open shard, about 0.5 KB an utterance.

    Raises:
        TrainError: no such folder, no shards, a shard without its audio, targets or a modality
            that other shards have, or shards whose dimensions differ.
        ShardError: a shard is damaged.
    """

    def __init__(
        self, folder: Path, *, n_stacked_frames: int, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.folder = Path(folder)
        self._n_stacked = n_stacked_frames
        self._paths = _shard_paths(self.folder)
        self._readers: OrderedDict[Path, ShardReader] = OrderedDict()
        self._cache: dict[str, Features] = {}
        self._cache_room = cache_bytes
        self._rows: dict[str, int] = {}
        self.utterances: list[Utterance] = []
        self.n_left_out = 0
        digest = hashlib.blake2b(digest_size=16)
        for shard, paths in self._paths.items():
            for modality in sorted(paths):
                made_by = self._reader(paths[modality]).fingerprint
                digest.update(f"{shard} {modality} {made_by}\n".encode())
            self._join(shard)
        self.fingerprint = digest.hexdigest()
        width = {name: self._rows.get(name, default) for name, default in _DEFAULT_ROWS.items()}
        self.dims = InputDims(
            audio=n_stacked_frames * width["audio"], video=width["video"], text=width["text"]
        )

    def read(self, utterance: Utterance) -> Features:
        """The features of one utterance, from memory when they were kept.

        Raises:
            ShardError: the content does not match its checksum.
            TrainError: a feature is not finite.
        """
        kept = self._cache.get(utterance.id)
        if kept is not None:
            return kept
        features = self._read(utterance)
        if features.n_bytes <= self._cache_room:
            self._cache_room -= features.n_bytes
            self._cache[utterance.id] = features
        return features

    def _read(self, utterance: Utterance) -> Features:
        paths = self._paths[utterance.shard]
        arrays = {}
        for modality in MODALITIES:
            reader = self._reader(paths[modality]) if modality in paths else None
            if reader is not None and utterance.id in reader.index:
                arrays[modality] = reader.read(utterance.id)["features"]
            else:
                arrays[modality] = np.zeros((0, getattr(self.dims, modality)), np.float16)
            if not np.isfinite(arrays[modality]).all():
                raise TrainError(
                    f"{utterance.id}: {modality} features are not finite in {utterance.shard}; "
                    f"extract {modality} again with --redo"
                )
        arrays["audio"] = stack_frames(arrays["audio"], self._n_stacked)
        targets = self._reader(paths["targets"]).read(utterance.id)
        return Features(utterance, **arrays, transcript=_text(targets["characters"]))

    def _join(self, shard: str) -> None:
        """Adds the utterances of one shard, and checks its dimensions against the others'."""
        readers = {name: self._reader(path) for name, path in self._paths[shard].items()}
        for modality in readers.keys() & set(MODALITIES):
            if len(readers[modality]):
                width = readers[modality][0]["features"].shape[1]
                self._check_width(shard, modality, width)
        audio = readers["audio"]
        for utterance_id, n_audio_frames in zip(audio.ids, audio.lengths("features"), strict=True):
            if utterance_id not in readers["targets"].index or not n_audio_frames:
                self.n_left_out += 1
                continue
            targets = readers["targets"].read(utterance_id)
            self.utterances.append(
                Utterance(
                    id=utterance_id,
                    shard=shard,
                    n_stacks=-(-int(n_audio_frames) // self._n_stacked),
                    speaker=_text(targets["speaker"]),
                    fold=_text(targets["fold"]),
                    emotions=_emotions(targets["labels"]),
                )
            )

    def _check_width(self, shard: str, modality: str, width: int) -> None:
        known = self._rows.setdefault(modality, width)
        if width != known:
            raise TrainError(
                f"{self.folder}: {shard} has {width}-d {modality} features, the shards before it "
                f"{known}-d; extract {modality} again with one setting"
            )

    def _reader(self, path: Path) -> ShardReader:
        reader = self._readers.pop(path, None) or ShardReader(path)
        self._readers[path] = reader  # now the most recently used
        if len(self._readers) > MAX_OPEN_SHARDS:
            self._readers.popitem(last=False)[1].close()
        return reader


def audio_frame_width(folder: Path) -> int:
    """Width of one audio frame, before stacking. Raises TrainError when there is no audio."""
    for paths in _shard_paths(folder).values():
        with ShardReader(paths["audio"]) as reader:
            if len(reader):
                return reader[0]["features"].shape[1]
    raise TrainError(f"{folder}: no utterance in any audio shard; were all of them rejected?")


def stack_frames(frames: np.ndarray, n_stacked: int) -> np.ndarray:
    """Joins each ``n_stacked`` successive frames; of 5: (n, 40) -> (ceil(n / 5), 200).

    The last stack is completed by repeating the last frame, so that no sound is lost.
    """
    n_missing = -len(frames) % n_stacked
    if n_missing and len(frames):
        frames = np.concatenate([frames, np.repeat(frames[-1:], n_missing, axis=0)])
    return frames.reshape(-1, n_stacked * frames.shape[1])


def feature_statistics(store: FeatureStore, utterances: Iterable[Utterance]) -> Statistics:
    """Mean and standard deviation per dimension, float32, of each modality that is present.

    One pass over the features, in float64, merging the moments of each utterance into the
    running ones (Chan, Golub and LeVeque 1979), which does not cancel where sums of squares do.
    Of more than 20,000 utterances the first 20,000 count: shards come shuffled.
    """
    moments: dict[str, Moments] = {}
    for utterance, _ in zip(utterances, range(STATISTICS_UTTERANCES), strict=False):
        features = store.read(utterance)
        for modality in MODALITIES:
            rows = getattr(features, modality).astype(np.float64)
            if len(rows):
                moments[modality] = _merge(moments.get(modality), rows)
    return {modality: _mean_and_std(*moment) for modality, moment in moments.items()}


def _merge(known: Moments | None, rows: np.ndarray) -> Moments:
    """The moments after adding ``rows`` (n, D)."""
    n, mean = len(rows), rows.mean(axis=0)
    squares = ((rows - mean) ** 2).sum(axis=0)
    if known is None:
        return n, mean, squares
    n_known, mean_known, squares_known = known
    total, gap = n_known + n, mean - mean_known
    merged_squares = squares_known + squares + gap**2 * (n_known * n / total)
    return total, mean_known + gap * (n / total), merged_squares


def _mean_and_std(n: int, mean: np.ndarray, squares: np.ndarray) -> tuple[Tensor, Tensor]:
    std = np.sqrt(squares / n)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()


_DEFAULT_ROWS = {"audio": 40, "video": 4096, "text": 300}  # of a modality nobody has: the paper's


def _shard_paths(folder: Path) -> dict[str, dict[str, Path]]:
    """Shard name -> modality -> file, checked to be complete."""
    if not folder.is_dir():
        raise TrainError(f"{folder}: no features here; run `trimodal extract` first")
    shards: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("shard-*.h5")):
        shard, _, modality = path.name.removesuffix(".h5").partition(".")
        if modality in (*MODALITIES, "targets"):
            shards.setdefault(shard, {})[modality] = path
    if not shards:
        raise TrainError(f"{folder}: no shards here; run `trimodal extract` first")
    wanted = {"audio", "targets"}.union(*shards.values())
    for shard, paths in shards.items():
        for modality in sorted(wanted - paths.keys()):
            raise TrainError(
                f"{folder}: {shard} has no {modality} file; "
                f"run `trimodal extract WORK {modality}` to the end first"
            )
    return shards


def _text(raw: np.ndarray) -> str:
    return raw.astype(np.uint8).tobytes().decode("utf-8", errors="replace")


def _emotions(labels: np.ndarray) -> tuple[bool, ...] | None:
    # Column 0 is sentiment; an emotion is present where its score is above 0.
    return tuple(bool(score > 0) for score in labels[0, 1:]) if len(labels) else None
