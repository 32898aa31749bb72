"""CMU-MOSEI's segment labels and folds: facts about the corpus that are not in its media.

Labels are joined to segments by their time interval: their rows are not in time order, and row
numbers are not segment numbers.
"""

import ast
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurize.errors import CorpusError
from pipelines.hdf5_members import member, numeric_matrix

SCORES = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
SCORE_RANGES = ((-3.0, 3.0),) + ((0.0, 3.0),) * 6
FOLDS = ("train", "dev", "test")
_FOLD_NAMES = {
    "train": "train",
    "valid": "dev",
    "dev": "dev",
    "test": "test",
    "standard_train_fold": "train",
    "standard_valid_fold": "dev",
    "standard_test_fold": "test",
}
_MAX_ROWS = 100_000  # of one video; the longest real one has 98
_MAX_FOLDS_BYTES = 50_000_000  # the real file has 46 kB


@dataclass(frozen=True)
class LabelRow:
    """One labelled interval of a video; ``scores`` in the order of SCORES, as in the file."""

    start_s: float
    end_s: float
    scores: tuple[float, ...]

    @property
    def clamped(self) -> tuple[float, ...]:
        """Scores held to their ranges: sentiment [-3, 3], emotions [0, 3]."""
        pairs = zip(self.scores, SCORE_RANGES, strict=True)
        return tuple(min(max(score, low), high) for score, (low, high) in pairs)


def read_labels(path: Path) -> dict[str, list[LabelRow]]:
    """Video id -> its labelled intervals, from ``CMU_MOSEI_Labels.csd`` or a CSV.

    The CSV has a header with the columns id, start, end and SCORES. Raises CorpusError when the
    file is neither.
    """
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_csd(path)


def join_by_interval(
    rows: Sequence[LabelRow], intervals: Sequence[tuple[float, float]], tolerance_s: float
) -> dict[int, int]:
    """Index of an interval -> index of its row; each is used once, the closest pairs first.

    A pair fits when both its starts and its ends differ by at most ``tolerance_s``. In the real
    labels two intervals of a video differ by 0.22 s or more in one of them, so that a tolerance
    below 0.11 s is never ambiguous.
    """
    pairs = []
    for i, (start_s, end_s) in enumerate(intervals):
        for k, row in enumerate(rows):
            distances_s = abs(start_s - row.start_s), abs(end_s - row.end_s)
            if all(distance_s <= tolerance_s for distance_s in distances_s):  # false for NaN
                pairs.append((max(distances_s), i, k))
    row_of_interval: dict[int, int] = {}
    used = set()
    for _, i, k in sorted(pairs):
        if i not in row_of_interval and k not in used:
            row_of_interval[i] = k
            used.add(k)
    return row_of_interval


def read_folds(path: Path) -> dict[str, str]:
    """Video id -> "train", "dev" or "test", from JSON or the CMU-MultimodalSDK's Python file.

    JSON is ``{"train": [ids], "valid": [ids], "test": [ids]}``; the Python file's lists are read
    as literals and nothing in it is executed. Raises CorpusError for anything else, and for a
    video that is in two folds.
    """
    lists = _fold_lists(path)
    fold_of_video: dict[str, str] = {}
    for name, fold in _FOLD_NAMES.items():
        for video in lists.get(name, ()):
            if fold_of_video.setdefault(video, fold) != fold:
                raise CorpusError(f"{path}: video {video!r} is in two folds; keep it in one")
    if not set(FOLDS) <= {_FOLD_NAMES[name] for name in lists}:
        raise CorpusError(f"{path}: expected three lists of video ids, train, valid and test")
    return fold_of_video


def _fold_lists(path: Path) -> dict[str, list[str]]:
    try:
        if path.stat().st_size > _MAX_FOLDS_BYTES:
            raise ValueError(f"larger than {_MAX_FOLDS_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
        content = _assigned_literals(text) if path.suffix == ".py" else json.loads(text)
        lists = {name: content[name] for name in _FOLD_NAMES if name in content}
        for ids in lists.values():
            if not isinstance(ids, list) or not all(isinstance(video, str) for video in ids):
                raise ValueError("a fold must be a list of strings")
    except (OSError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise CorpusError(f"{path}: cannot be read as folds ({error})") from None
    return lists


def _assigned_literals(source: str) -> dict[str, Any]:
    """Top-level ``name = literal`` lines whose name is that of a fold."""
    return {
        target.id: ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id in _FOLD_NAMES
    }


def _read_csv(path: Path) -> dict[str, list[LabelRow]]:
    labels: dict[str, list[LabelRow]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                scores = tuple(float(row[name]) for name in SCORES)
                label = LabelRow(float(row["start"]), float(row["end"]), scores)
                labels.setdefault(row["id"], []).append(label)
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        needed = ", ".join(("id", "start", "end", *SCORES))
        raise CorpusError(
            f"{path}: cannot be read as labels ({error}); expected the columns {needed}"
        ) from None
    return labels


def _read_csd(path: Path) -> dict[str, list[LabelRow]]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            videos = member(member(file, "All Labels", h5py.Group), "data", h5py.Group)
            return {video: _video_rows(videos, video) for video in videos}
    except (OSError, RuntimeError, KeyError) as error:
        raise CorpusError(
            f"{path}: cannot be read as labels ({error}); expected CMU_MOSEI_Labels.csd (HDF5)"
        ) from None
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}; expected CMU_MOSEI_Labels.csd") from None


def _video_rows(videos: Any, video: str) -> list[LabelRow]:
    import h5py

    group = member(videos, video, h5py.Group)
    features = numeric_matrix(group, "features", max_rows=_MAX_ROWS, n_columns=len(SCORES))
    intervals = numeric_matrix(group, "intervals", max_rows=_MAX_ROWS, n_columns=2)
    if len(features) != len(intervals):
        raise CorpusError(f"{group.name}: {len(features)} labels for {len(intervals)} intervals")
    return [
        LabelRow(start_s, end_s, tuple(scores))
        for (start_s, end_s), scores in zip(_floats(intervals), _floats(features), strict=True)
    ]


def _floats(dataset: Any) -> list[list[float]]:
    return dataset[()].astype(float).tolist()
