"""What a run's best initialisation predicted for each segment: RUN/predictions.npz, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featurize.errors import TrainError
from model.config import EMOTIONS
from pipelines.npz_file import check_answers, read_npz
from pipelines.report.runs import Run

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS = "predictions.npz"


@dataclass(frozen=True)
class Scores:
    """Segments of a fold, n of them: what is true (n, 6) bool, and scores (n, 6) in [0, 1]."""

    ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Predicted:
    """``decided[metric]`` (n, 6) bool: what the thresholds for "wa" and for "f1" say on test.

    ``dev`` is None where an earlier version evaluated.
    """

    run: Run
    test: Scores
    decided: dict[str, np.ndarray]
    dev: Scores | None


def all_predicted(runs: Sequence[Run]) -> list[Predicted]:
    """Of every run that was evaluated."""
    return [found for run in runs if (found := predicted(run)) is not None]


def predicted(run: Run) -> Predicted | None:
    """None when the run has not been evaluated. Raises TrainError when the file is damaged."""
    path = run.path / PREDICTIONS
    if not run.evaluation or not path.is_file():
        return None
    try:
        arrays = read_npz(path)
        test = _scores(arrays, "")
        decided = {name: _checked(arrays[name], test.labels, bool) for name in ("wa", "f1")}
        dev = _scores(arrays, "dev_") if "dev_ids" in arrays else None
    except (ValueError, KeyError) as error:
        raise TrainError(
            f"{path}: cannot be read ({error}); run `trimodal evaluate` with --redo"
        ) from None
    return Predicted(run, test, decided, dev)


def _scores(arrays: dict[str, np.ndarray], prefix: str) -> Scores:
    ids, labels, scores = (arrays[prefix + name] for name in ("ids", "labels", "scores"))
    if ids.ndim != 1 or labels.shape != (len(ids), len(EMOTIONS)):
        raise ValueError(f"{len(ids)} segments and labels of {labels.shape}")
    check_answers(ids, labels, scores)
    return Scores(ids, _checked(labels, labels, bool), _checked(scores, labels, None))


def _checked(array: np.ndarray, like: np.ndarray, dtype: Any) -> np.ndarray:
    if array.shape != like.shape or (dtype is not None and array.dtype != dtype):
        raise ValueError(f"an array of {array.dtype} {array.shape} for {like.shape}")
    return array
