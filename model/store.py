"""The features of a workspace as the trainer sees them: utterances joined over modalities.

``FeatureStore`` reads the table of every shard once, to columns of all utterances, then reads
features of single utterances on demand. Audio and targets are mandatory; video or text that an
utterance lacks is an empty array.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featurize.cmvn import apply_cmvn, cmvn_statistics
from featurize.errors import ShardError, TrainError
from featurize.shards import PlacedReader, PlacedShard, ShardIndex, ShardReader
from model.config import MODALITIES, InputDims

READ = ("features", "characters")  # of the fields of a shard
PARTS = (*MODALITIES, "targets")  # the files of a shard
MAX_OPEN_SHARDS = 160  # files: two shuffle windows of 16 shards, 4 files each, and some to spare
STATISTICS_UTTERANCES = 20_000  # of a larger fold only so many are read: hours of disk spared

CMVN_FIELD = "cmvn"  # of audio shards: one row an utterance, ``cmvn_statistics`` of its features

Statistics = dict[str, tuple[Tensor, Tensor]]  # as the encoder takes them
Moments = tuple[int, np.ndarray, np.ndarray]  # count, mean, sum of squared deviations


class FeatureStore:
    """All utterances of a features folder that have audio and targets.

    An utterance is a row, 0 to n - 1, in the order of the shards. Columns, all NumPy:

        ids (n,) UTF-8 bytes           n_stacks (n,) int32: stacked audio frames
        shard (n,) int32, numbered in the order of the files
        speaker, fold (n,) int32, numbers in ``speakers`` and ``folds``
        emotions (n, 6) bool           is_labelled (n,) bool
        sentiment (n,) float32 in [-3, 3]

    Attributes besides: ``dims``, ``dtypes`` (of a modality's arrays), ``fingerprint`` (of the
    shards' own fingerprints) and ``n_left_out`` (utterances in the audio shards without targets
    or sound).

    With ``cmvn`` each audio frame is normalised before stacking (``featurize.cmvn``), by the
    statistics of its utterance, of its speaker's utterances in this folder, or of all of them.
    The last two are summed once, here, from the statistics stored in the audio shards: 656 bytes
    an utterance are read.

    Memory: about 180 bytes an utterance and, of the up to 160 files kept open, the pages of the
    file cache that are in use. Safe to read from several threads.

    Raises:
        TrainError: no such folder, no shards, a shard without its audio, targets or a modality
            that other shards have, or shards whose dimensions differ; ``cmvn`` is "speaker" or
            "global" and an audio shard holds no statistics.
        ShardError: a shard is damaged.
    """

    def __init__(self, folder: Path, *, n_stacked_frames: int, cmvn: str = "none") -> None:
        self.folder = Path(folder)
        self._n_stacked = n_stacked_frames
        self._paths = list(_shard_paths(self.folder).items())
        self._read = READ if cmvn == "none" else (*READ, CMVN_FIELD)
        self._placed: dict[Path, PlacedShard] = {}
        self._readers: OrderedDict[Path, ShardReader | PlacedReader] = OrderedDict()
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self.dtypes: dict[str, np.dtype] = dict.fromkeys(MODALITIES, np.dtype(np.float16))
        digest = hashlib.blake2b(digest_size=16)
        columns = _Columns()
        for number, (shard, paths) in enumerate(self._paths):
            indices = {part: ShardIndex(path) for part, path in paths.items()}
            for part in sorted(indices):
                digest.update(f"{shard} {part} {indices[part].fingerprint}\n".encode())
                self._placed[paths[part]] = PlacedShard(indices[part], self._read)
            self._check_features(shard, indices)
            columns.join(number, indices, n_stacked_frames)
        self.fingerprint = digest.hexdigest()
        self.n_left_out = columns.n_left_out
        self.speakers, self.speaker = columns.numbered("speaker")
        self.folds, self.fold = columns.numbered("fold")
        self.ids, self.shard, self.n_stacks, self._positions = (
            columns.of(name) for name in ("ids", "shard", "n_stacks", "positions")
        )
        self.emotions, self.sentiment, self.is_labelled = (
            columns.of(name) for name in ("emotions", "sentiment", "is_labelled")
        )
        width = {name: self._rows.get(name, default) for name, default in _DEFAULT_ROWS.items()}
        self.dims = InputDims(
            audio=n_stacked_frames * width["audio"], video=width["video"], text=width["text"]
        )
        self._cmvn = cmvn
        if cmvn != "none":
            self.dtypes["audio"] = np.dtype(np.float32)
        if cmvn in ("speaker", "global"):
            self._cmvn_of, self._statistics = self._summed(width["audio"])

    def __len__(self) -> int:
        return len(self.ids)

    def id(self, row: int) -> str:
        """The id of an utterance."""
        return self.ids[row].decode()

    def labels(self, task: str) -> np.ndarray:
        """What a task is to tell of each utterance: emotions (n, 6) or sentiment (n, 1)."""
        return self.emotions if task == "emotion" else self.sentiment[:, None]

    def row(self, utterance_id: str) -> int:
        """The row of an utterance. Raises KeyError when there is none of this id."""
        order = self._order_of_ids
        place = np.searchsorted(self.ids, utterance_id.encode(), sorter=order)
        if place == len(order) or self.id(order[place]) != utterance_id:
            raise KeyError(utterance_id)
        return int(order[place])

    @cached_property
    def _order_of_ids(self) -> np.ndarray:
        return np.argsort(self.ids, kind="stable")

    def features(self, row: int, modality: str) -> np.ndarray:
        """audio (T, 200), video (F, 4096) or text (W, D), read-only; no rows where it is absent.

        Raises:
            ShardError: the content does not match its checksum, or the shard was replaced since.
        """
        found = self._find(row, modality)
        if found is None:
            return np.empty((0, getattr(self.dims, modality)), self.dtypes[modality])
        array = found[0].array(found[1], "features")
        if modality != "audio":
            return array
        if self._cmvn != "none":
            array = apply_cmvn(array, self._statistics_of(row, *found, array))
        return stack_frames(array, self._n_stacked)

    def transcript(self, row: int) -> str:
        """What is said, in the alphabet of ``model.config``."""
        found = self._find(row, "targets")
        assert found is not None, "joined by its targets"
        characters = found[0].array(found[1], "characters")
        return characters.tobytes().decode("utf-8", errors="replace")

    def _find(self, row: int, part: str) -> tuple[ShardReader | PlacedReader, int] | None:
        """The file that holds a part of an utterance, and the place there; None without one."""
        position = int(self._positions[row, PARTS.index(part)])
        if position < 0:
            return None
        path = self._paths[self.shard[row]][1][part]
        reader = self._reader(path)
        if isinstance(reader, ShardReader) and not _holds(reader, position, self.ids[row]):
            raise ShardError(f"{path}: was made again while it was in use; start again")
        return reader, position

    def _statistics_of(
        self, row: int, shard: ShardReader | PlacedReader, position: int, features: np.ndarray
    ) -> np.ndarray:
        """What an utterance is normalised by, (2, n_bins + 1)."""
        if self._cmvn != "utterance":
            return self._statistics[self._cmvn_of[row]]
        if CMVN_FIELD in shard.fields:
            return shard.array(position, CMVN_FIELD)[0]
        return cmvn_statistics(features)

    def _summed(self, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each row the number of its sum, and the sums (speakers or 1, 2, n_bins + 1)."""
        number_of = self.speaker if self._cmvn == "speaker" else np.zeros_like(self.speaker)
        sums = np.zeros((number_of.max(initial=-1) + 1, 2, n_bins + 1))
        for row in range(len(self)):
            found = self._find(row, "audio")
            assert found is not None, "joined by its audio"
            shard, position = found
            if CMVN_FIELD not in shard.fields:
                raise TrainError(
                    f"{shard.path}: holds no CMVN statistics (older, or imported); delete the "
                    "audio shards and run `trimodal extract WORK audio`, or set cmvn in [model] "
                    'to "utterance" or "none"'
                )
            sums[number_of[row]] += shard.array(position, CMVN_FIELD)[0]
        return number_of, sums

    def _reader(self, path: Path) -> ShardReader | PlacedReader:
        with self._lock:
            reader = self._readers.pop(path, None) or self._placed[path].open()
            self._readers[path] = reader  # now the most recently used
            if len(self._readers) > MAX_OPEN_SHARDS:
                self._readers.popitem(last=False)  # closes when no thread reads it any more
            return reader

    def _check_features(self, shard: str, indices: dict[str, ShardIndex]) -> None:
        """All shards have the same width of a modality; its dtype is one that holds them all."""
        for modality in indices.keys() & set(MODALITIES):
            if not len(indices[modality]):
                continue
            (width,), encoding = indices[modality].fields["features"]
            known = self._rows.setdefault(modality, width)
            if width != known:
                raise TrainError(
                    f"{self.folder}: {shard} has {width}-d {modality} features, the shards before "
                    f"it {known}-d; extract {modality} again with one setting"
                )
            if encoding != "float16":
                self.dtypes[modality] = np.dtype(np.float32)


def _holds(shard: ShardReader, position: int, raw_id: bytes) -> bool:
    return position < len(shard) and shard.table["id"][position] == raw_id


class _Columns:
    """Gathers what the tables of all shards say of the utterances."""

    def __init__(self) -> None:
        self.n_left_out = 0
        self._parts: dict[str, list[np.ndarray]] = {}

    def join(self, shard: int, indices: dict[str, ShardIndex], n_stacked: int) -> None:
        """Adds the utterances of one shard that have audio and targets."""
        audio, targets = indices["audio"], indices["targets"]
        ids = audio.table["id"]
        positions = np.full((len(ids), len(PARTS)), -1, np.int32)
        for number, part in enumerate(PARTS):
            if part in indices:
                positions[:, number] = _positions_of(ids, indices[part])
        lengths = audio.lengths("features")
        kept = np.flatnonzero((positions[:, PARTS.index("targets")] >= 0) & (lengths > 0))
        self.n_left_out += len(ids) - len(kept)
        in_targets = targets.columns[positions[kept, PARTS.index("targets")]]
        labels = in_targets["labels"]
        found = {
            "ids": ids[kept],
            "shard": np.full(len(kept), shard, np.int32),
            "n_stacks": (-(-lengths[kept] // n_stacked)).astype(np.int32),
            "speaker": np.ascontiguousarray(in_targets["speaker"]),
            "fold": np.ascontiguousarray(in_targets["fold"]),
            # Column 0 is sentiment; an emotion is present where its score is above 0.
            "emotions": labels[:, 1:] > 0,
            "sentiment": np.ascontiguousarray(labels[:, 0]),
            "is_labelled": ~np.isnan(labels).any(axis=1),
            "positions": positions[kept],
        }
        for name, part in found.items():
            self._parts.setdefault(name, []).append(part)

    def of(self, name: str) -> np.ndarray:
        """One column over all shards."""
        return np.concatenate(self._parts[name])

    def numbered(self, name: str) -> tuple[list[str], np.ndarray]:
        """The different texts of a column, sorted, and for each row the number of its text."""
        texts, numbers = np.unique(self.of(name), return_inverse=True)
        return [text.decode() for text in texts.tolist()], numbers.astype(np.int32)


def _positions_of(ids: np.ndarray, index: ShardIndex) -> np.ndarray:
    """Where each id stands in a shard, -1 where it does not."""
    theirs = index.table["id"]
    if len(theirs) == len(ids) and (theirs == ids).all():  # the usual case
        return np.arange(len(ids))
    position_of = {raw: position for position, raw in enumerate(theirs.tolist())}
    return np.array([position_of.get(raw, -1) for raw in ids.tolist()], np.int64)


def audio_frame_width(folder: Path) -> int:
    """Width of one audio frame, before stacking. Raises TrainError when there is no audio."""
    for paths in _shard_paths(folder).values():
        shard = ShardIndex(paths["audio"])
        if len(shard):
            return shard.fields["features"][0][0]
    raise TrainError(f"{folder}: no utterance in any audio shard; were all of them rejected?")


def stack_frames(frames: np.ndarray, n_stacked: int) -> np.ndarray:
    """Joins each ``n_stacked`` successive frames; of 5: (n, 40) -> (ceil(n / 5), 200).

    The last stack is completed by repeating the last frame, so that no sound is lost.
    """
    n_missing = -len(frames) % n_stacked
    if n_missing and len(frames):
        frames = np.concatenate([frames, np.repeat(frames[-1:], n_missing, axis=0)])
    return frames.reshape(-1, n_stacked * frames.shape[1])


def feature_statistics(store: FeatureStore, rows: Iterable[int]) -> Statistics:
    """Mean and standard deviation per dimension, float32, of each modality that is present.

    One pass over the features, in float64, merging the moments of each utterance into the
    running ones (Chan, Golub and LeVeque 1979), which does not cancel where sums of squares do.
    Of more than 20,000 utterances the first 20,000 count: shards come shuffled.

    Raises:
        TrainError: features that are not finite; names the utterance.
    """
    moments: dict[str, Moments] = {}
    for row, _ in zip(rows, range(STATISTICS_UTTERANCES), strict=False):
        for modality in MODALITIES:
            features = store.features(row, modality).astype(np.float64)
            if not np.isfinite(features).all():
                raise TrainError(
                    f"{store.id(row)}: {modality} features are not finite; "
                    f"extract {modality} again with --redo"
                )
            if len(features):
                moments[modality] = _merge(moments.get(modality), features)
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
