"""Whether two evaluated runs differ: paired bootstrap over the same test segments.

Reads RUN/evaluation.json and RUN/predictions.npz of both; the systems compared are the best run of
each, as dev chose it, with its thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import UsageError
from pipelines.npz_file import check_answers, read_npz
from pipelines.run_records import is_number, read_evaluation

if TYPE_CHECKING:
    import numpy as np

    from model.predict import Predictions

N_RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Difference:
    """Ours less theirs of one emotion, or the "average" ("" of sentiment), in one score.

    ``interval`` is the 95% percentile interval; ``p_value`` that of "no difference", two-sided.
    Both are None where over half of the resamples are undefined.
    """

    emotion: str
    name: str  # "wa", "average_precision" ...
    ours: float
    theirs: float
    interval: tuple[float, float] | None
    p_value: float | None

    @property
    def value(self) -> float:
        return self.ours - self.theirs


@dataclass(frozen=True)
class Comparison:
    """All differences, and the definitions of their scores, by name."""

    differences: list[Difference]
    definitions: dict[str, dict[str, str]]


def compare(ours: Path, theirs: Path, condition: str = "A+V+T") -> Comparison:
    """Compares two runs that ``trimodal evaluate`` scored on the same test segments.

    ``condition``, "A+V" say, takes both without the other modalities. Scores that are undefined
    in either are left out.

    Raises:
        UsageError: one is not evaluated, or they differ in task, test segments or their labels.
    """
    from pipelines.initialisation import SCORING

    records = [evaluation(run, condition) for run in (ours, theirs)]
    tasks = [record["task"] for record in records]
    if tasks[0] != tasks[1]:
        raise UsageError(f"{ours} is of {tasks[0]}, {theirs} of {tasks[1]}: nothing to compare")
    scoring = SCORING[tasks[0]]
    mine, other = (answers_of(run, condition) for run in (ours, theirs))
    if sorted(mine.ids) != sorted(other.ids):
        raise UsageError(f"{ours} and {theirs} were scored on other test segments: not comparable")
    other = other.in_order_of(mine.ids)
    if (mine.labels != other.labels).any():
        raise UsageError(f"{ours} and {theirs} were scored by other labels: not comparable")
    values = [
        resampled(scoring, _figures(run, record, condition), answers)
        for run, record, answers in zip((ours, theirs), records, (mine, other), strict=True)
    ]
    found = [d for name in scoring.NAMES for d in _differences(name, *(v[name] for v in values))]
    return Comparison(found, scoring.DEFINITIONS)


def _figures(run: Path, record: dict[str, Any], condition: str) -> dict[str, Any]:
    """Those of a condition, checked to have the thresholds that answers are judged by."""
    from model.config import EMOTIONS
    from pipelines.emotion_scores import METRICS

    figures = record["test"][condition]
    if record["task"] == "emotion":
        own = figures.get("per_emotion", {})
        found = [own.get(e, {}).get(f"threshold_{name}") for e in EMOTIONS for name in METRICS]
        if not all(map(is_number, found)):
            raise UsageError(f"{run}: evaluated without thresholds; evaluate with --redo")
    return figures


def evaluation(run: Path, condition: str) -> dict[str, Any]:
    """RUN/evaluation.json, checked to hold ``condition``."""
    from model.config import TASKS

    path = run / "evaluation.json"
    if not path.is_file():
        raise UsageError(f"{run}: not evaluated; run `trimodal evaluate WORK {run}` first")
    record = read_evaluation(path)
    if record.get("task") not in TASKS:
        raise UsageError(f"{path}: of another version; run `trimodal evaluate` with --redo")
    if condition not in record["test"]:
        known = ", ".join(record["test"])
        raise UsageError(f"{run}: not evaluated with {condition}; known are {known}")
    return record


def answers_of(run: Path, condition: str) -> Predictions:
    """What the best run of a folder answered on test."""
    from model.predict import Predictions

    path = run / "predictions.npz"
    scores = "scores" if condition == "A+V+T" else f"{condition}/scores"
    try:
        stored = read_npz(path)
        ids, labels = stored["ids"], stored["labels"]
        check_answers(ids, labels, stored[scores])
        return Predictions(ids.tolist(), stored[scores], labels)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path}: {error}; run `trimodal evaluate` with --redo") from None


def resampled(scoring: Any, figures: dict[str, Any], answers: Predictions) -> dict[str, Any]:
    """Each score (1 + R, K): on the segments themselves, then on each resample."""
    import numpy as np

    from model.bootstrap import resamples

    n = len(answers.ids)
    once = np.ones((1, n), np.float32)
    times = np.concatenate([once, resamples(n, N_RESAMPLES, SEED)])
    return scoring.resample(answers, scoring.thresholds_of(figures), times)


def _differences(name: str, ours: np.ndarray, theirs: np.ndarray) -> list[Difference]:
    import numpy as np

    from model.bootstrap import interval, paired_p_value
    from model.config import EMOTIONS

    is_defined = ~np.isnan(ours[0] + theirs[0])
    columns = {"": (ours[:, 0], theirs[:, 0])} if ours.shape[1] == 1 else {}
    if not columns:
        columns = {e: (ours[:, k], theirs[:, k]) for k, e in enumerate(EMOTIONS)}
        if is_defined.any():
            means = [values[:, is_defined].mean(axis=1) for values in (ours, theirs)]
            columns["average"] = (means[0], means[1])
    return [
        Difference(
            emotion, name, float(a[0]), float(b[0]), interval(a[1:] - b[1:]),
            paired_p_value(a[1:], b[1:]),
        )
        for emotion, (a, b) in columns.items()
        if not np.isnan(a[0] + b[0])
    ]  # fmt: skip
