"""The most wrong segments, by hand."""

from pathlib import Path

import numpy as np
import pytest

from model.config import EMOTIONS
from pipelines.report.predictions import Predicted, Scores
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION, Run
from pipelines.report.worst import system_to_show, worst_segments

THRESHOLD = 0.4


def system(
    role: str, labels: np.ndarray, scores: np.ndarray, work: Path = Path("gone")
) -> Predicted:
    figures = {emotion: {"threshold_wa": THRESHOLD, "wa": 0.5} for emotion in EMOTIONS}
    figures["fear"]["wa"] = None  # undefined: its decisions say nothing
    evaluation = {"test": {"A+V+T": {"per_emotion": figures}}}
    run = Run(Path(role), role, {}, work, evaluation=evaluation)
    test = Scores(np.array([f"v/{i}" for i in range(len(labels))]), labels, scores)
    decided = scores >= THRESHOLD
    return Predicted(run, test, {"wa": decided, "f1": decided}, None)


def test_order_is_by_the_gravest_wrong_decision() -> None:
    labels, scores = np.zeros((4, 6), bool), np.full((4, 6), 0.1, np.float32)
    scores[0, 1] = 0.7  # sad, wrongly: 0.7 off
    labels[1, 0] = True  # happy, missed: 0.9 off
    labels[1, 2], scores[1, 2] = True, 0.45  # anger is right, though 0.55 off
    scores[2, 5] = 0.99  # fear, which is undefined
    found = worst_segments(system(BASELINE, labels, scores))
    assert [segment.id for segment in found] == ["v/1", "v/0"]
    assert found[0].true == ("happy", "anger")
    [missed] = found[0].mistakes
    assert (missed.emotion, missed.is_present, missed.threshold) == ("happy", True, THRESHOLD)
    assert missed.distance == pytest.approx(0.9)
    [wrong] = found[1].mistakes
    assert (wrong.emotion, wrong.is_present) == ("sad", False)
    assert wrong.distance == pytest.approx(0.7)


def test_ten_are_shown_and_of_equals_the_first_by_id() -> None:
    labels, scores = np.zeros((30, 6), bool), np.full((30, 6), 0.9, np.float32)
    found = worst_segments(system(BASELINE, labels, scores))
    assert [s.id for s in found] == sorted(f"v/{i}" for i in range(30))[:10]
    assert [one.emotion for one in found[0].mistakes] == sorted(EMOTIONS[:5])


def test_frame_and_words_come_from_the_corpus(tiny_corpora: Path, tmp_path: Path) -> None:
    from pipelines.prepare_mosei import scan_mosei
    from pipelines.workspace import create

    utterances, rejects, _ = scan_mosei(tiny_corpora / "mosei")
    cut = {"shard_size": 4, "seed": 0, "settings": {}}
    create(tmp_path, "mosei", tiny_corpora / "mosei", utterances, rejects, **cut)
    one = system(BASELINE, np.zeros((2, 6), bool), np.full((2, 6), 0.9, np.float32), tmp_path)
    chosen = next(u for u in utterances if u.video)
    ids = np.array([chosen.id, "not/there"])
    known = Predicted(one.run, Scores(ids, one.test.labels, one.test.scores), one.decided, None)
    found = {segment.id: segment for segment in worst_segments(known)}
    assert found[chosen.id].words == chosen.text
    assert found["not/there"].words == found["not/there"].frame == ""
    assert found[chosen.id].frame.startswith("data:image/jpeg;base64,")


def test_the_pretrained_system_is_shown_before_the_baseline() -> None:
    nothing = np.zeros((1, 6), bool), np.zeros((1, 6), np.float32)
    systems = {role: system(role, *nothing) for role in (LATE_FUSION, BASELINE, EMBEDDINGS)}
    assert system_to_show(list(systems.values())) is systems[EMBEDDINGS]
    assert system_to_show([systems[LATE_FUSION], systems[BASELINE]]) is systems[BASELINE]
    assert system_to_show([]) is None
