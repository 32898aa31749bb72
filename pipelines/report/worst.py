"""The segments of test that a system gets most wrong, with a frame and the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import TrimodalError
from model.config import EMOTIONS
from pipelines.aside import aside
from pipelines.manifest import Utterance
from pipelines.report.frames import jpeg, middle_frame
from pipelines.report.predictions import Predicted
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION
from pipelines.workspace import Workspace

N_WORST = 10


@dataclass(frozen=True)
class Mistake:
    """An emotion that was decided wrongly: its score, and the threshold for WA."""

    emotion: str
    is_present: bool
    score: float
    threshold: float

    @property
    def distance(self) -> float:
        """Of the score from what is true, in [0, 1]."""
        return 1 - self.score if self.is_present else self.score


@dataclass(frozen=True)
class WorstSegment:
    """``mistakes``, the gravest first; ``true`` are the emotions labelled.

    ``words`` and ``frame``, a data: address, are empty where the corpus is gone or has none.
    """

    id: str
    mistakes: tuple[Mistake, ...]
    true: tuple[str, ...]
    words: str = ""
    frame: str = ""


def system_to_show(systems: Sequence[Predicted]) -> Predicted | None:
    """The pretrained one, else the baseline, else late fusion."""
    by_role = {system.run.role: system for system in reversed(systems)}
    return next((by_role[r] for r in (EMBEDDINGS, BASELINE, LATE_FUSION) if r in by_role), None)


def worst_segments(system: Predicted, n_worst: int = N_WORST) -> list[WorstSegment]:
    """By the gravest mistake: of the wrong decisions for WA, the score furthest from the truth."""
    found = []
    for row, segment_id in enumerate(system.test.ids.tolist()):
        mistakes = sorted(_mistakes(system, row), key=lambda one: (-one.distance, one.emotion))
        if mistakes:
            labels = system.test.labels[row]
            true = tuple(e for k, e in enumerate(EMOTIONS) if labels[k])
            found.append(WorstSegment(segment_id, tuple(mistakes), true))
    found.sort(key=lambda segment: (-segment.mistakes[0].distance, segment.id))
    return _with_media(found[:n_worst], system.run.work)


def _mistakes(system: Predicted, row: int) -> list[Mistake]:
    figures = (system.run.evaluation or {})["test"]["A+V+T"]["per_emotion"]
    truth, decided = system.test.labels[row], system.decided["wa"][row]
    scores = system.test.scores[row]
    return [
        Mistake(emotion, bool(truth[k]), float(scores[k]), own["threshold_wa"])
        for k, emotion in enumerate(EMOTIONS)
        if truth[k] != decided[k] and (own := figures.get(emotion, {})).get("wa") is not None
    ]


def _with_media(segments: Sequence[WorstSegment], work: Path) -> list[WorstSegment]:
    try:
        workspace = Workspace(work)
        by_id = {utterance.id: utterance for utterance in workspace.utterances}
        root = workspace.corpus_root
    except TrimodalError:  # the run may have been copied from another machine
        return list(segments)
    return [_filled(segment, by_id, root) for segment in segments]


def _filled(segment: WorstSegment, by_id: Mapping[str, Utterance], root: Path) -> WorstSegment:
    utterance = by_id.get(segment.id)
    if utterance is None:
        return segment
    words = utterance.text or ""
    return WorstSegment(segment.id, segment.mistakes, segment.true, words, _frame(root, utterance))


def _frame(root: Path, utterance: Utterance) -> str:
    try:
        return jpeg(aside(middle_frame, root, utterance)) if utterance.video else ""
    except TrimodalError:
        return ""
