"""The files in which CMU-MOSEI's labels come.

- ``CMU_MOSEI_Labels.csd``, HDF5, by the CMU-MultimodalSDK;
- a CSV with a row a labelled interval: id, start, end and the scores;
- the raw ratings, ``Raw/Labels``, a folder of CSVs from Mechanical Turk with a row a rater and
  segment: Input.VIDEO_ID, Input.CLIP (the segment's number, as in its clip's name) and Answer.*.
  Their mean is the label, as in the .csd.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from featurize.errors import CorpusError
from pipelines.hdf5_members import member, numeric_matrix
from pipelines.mosei_labels import SCORES, LabelRow

Labels = dict[str, list[LabelRow]]
# Of a column's name without Input. or Answer., in lower case: other words for the same.
_OTHER_NAMES = {"video_id": "id", "happiness": "happy", "sadness": "sad"}
_INTERVAL, _RATING = ("id", "start", "end", *SCORES), ("id", "clip", *SCORES)
_MAX_ROWS = 100_000  # of one video; the longest real one has 98


def read_labels(path: Path) -> Labels:
    """Video id -> its labels. Raises CorpusError when the file or folder is none of the above."""
    if path.is_dir():
        return _read_csvs(sorted(path.glob("*.csv")), path)
    return _read_csvs([path], path) if path.suffix.lower() == ".csv" else _read_csd(path)


def _read_csvs(paths: Iterable[Path], named: Path) -> Labels:
    """All of them together: raters of one segment may stand in several files."""
    labels: Labels = defaultdict(list)
    ratings: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for path in paths:
        for row in _rows(path):
            scores = tuple(_number(row, name, path) for name in SCORES)
            if "start" in row:
                times_s = _number(row, "start", path), _number(row, "end", path)
                labels[row["id"]].append(LabelRow(*times_s, scores))
            else:
                video = row["id"].rpartition("/")[2]  # some of them have "folder/id"
                ratings[video, row["clip"].strip()].append(scores)
    for (video, clip), by_rater in ratings.items():
        labels[video].append(LabelRow(math.nan, math.nan, _mean(by_rater), clip))
    if not labels:
        raise CorpusError(f"{named}: no labels in it; expected CSVs with {', '.join(_RATING)}")
    return dict(labels)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV under our names of the columns."""
    try:
        if not path.is_file():  # reading a pipe or a device never ends
            raise ValueError("it is no regular file")
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            name_of = {_our_name(column): column for column in table.fieldnames or ()}
            names = _INTERVAL if {"start", "end"} <= name_of.keys() else _RATING
            missing = [name for name in names if name not in name_of]
            if missing:
                raise ValueError(f"it has no column {', '.join(missing)}")
            for row in table:
                yield {name: _cell(row[name_of[name]]) for name in names}
    except (OSError, ValueError, csv.Error) as error:
        raise CorpusError(
            f"{path}: cannot be read as labels ({error}); expected the columns "
            f"{', '.join(_INTERVAL)}, or clip instead of start and end"
        ) from None


def _cell(text: str | None) -> str:
    if text is None:
        raise ValueError("a row is cut off")
    return text


def _our_name(column: str) -> str:
    name = column.strip().rpartition(".")[2].lower()
    return _OTHER_NAMES.get(name, name)


def _number(row: Mapping[str, str], name: str, path: Path) -> float:
    """NaN for an answer that was not given."""
    try:
        return float(row[name]) if row[name].strip() else math.nan
    except ValueError:
        raise CorpusError(f"{path}: {name} {row[name]!r} of {row['id']} is not a number") from None


def _mean(ratings: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Over the raters who answered everything; NaN where there is none."""
    whole = [scores for scores in ratings if not any(map(math.isnan, scores))]
    if not whole:
        return (math.nan,) * len(SCORES)
    return tuple(sum(column) / len(whole) for column in zip(*whole, strict=True))


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
