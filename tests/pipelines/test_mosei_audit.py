"""What the importer tells of the folds: counts, hours, emotions and reasons, by hand."""

import pytest

from pipelines.manifest import Utterance
from pipelines.mosei_audit import audit_folds, fold_lines, hours
from pipelines.mosei_labels import LabelRow

SAD = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
NEUTRAL = (0.0,) * 7


def utterance(video: str, number: int, fold: str | None, labels: tuple[float, ...]) -> Utterance:
    return Utterance(
        id=f"{video}/{number}", speaker=video, audio="a", video="v", labels=labels, fold=fold,
        recording=video, recording_start_s=10.0 * number, recording_end_s=10.0 * number + 9,
    )  # fmt: skip


def audit() -> dict:
    """Three of train, one of them dropped; two of test on another machine; one in no fold."""
    rows = {"a": 3, "b": 2, "c": 1}
    found = [utterance("a", 0, "train", SAD), utterance("a", 1, "train", NEUTRAL)]
    found.append(utterance("c", 0, None, NEUTRAL))
    dropped = {("train", "no media file"): 1, ("test", "video not on disk"): 2}
    return audit_folds(
        found,
        dropped,
        {video: [LabelRow(0, 1, NEUTRAL)] * n for video, n in rows.items()},
        {"a": "train", "b": "test", "d": "dev"},
    )


def test_counts_hours_and_emotions_of_each_fold() -> None:
    folds = audit()["folds"]
    for name, (segments, labelled) in {"train": (2, 3), "dev": (0, 0), "test": (0, 2)}.items():
        fold = folds[name]
        assert (fold["segments"], fold["labelled"]) == (segments, labelled)
        assert fold["segments"] + sum(fold["dropped"].values()) == fold["labelled"]
    assert folds["train"]["hours"] == pytest.approx(18 / 3600)
    assert folds["train"]["prevalence"]["sad"] == 0.5
    assert folds["dev"]["prevalence"]["sad"] is None
    assert audit()["fold_videos_without_labels"] == {"train": 0, "dev": 1, "test": 0}
    assert audit()["labelled_videos_in_no_fold"] == 1


def test_lines_stand_beside_the_published_counts_and_say_why_they_differ() -> None:
    lines = fold_lines(audit()["folds"])
    assert lines[0].split() == [
        "fold", "segments", "published", "difference", "hours",
        "happy", "sad", "anger", "surprise", "disgust", "fear",
    ]  # fmt: skip
    assert lines[1].split()[:7] == ["train", "2", "16,327", "-16,325", "0.01", "0.0", "50.0"]
    assert lines[2].split()[:6] == ["dev", "0", "1,871", "-1,871", "0.00", "-"]
    assert lines[4].split()[:4] == ["none", "1", "-", "-"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[6:] == [
        "  train: 1 dropped: no media file",
        "  train: 16,324 labels fewer than published in this fold",
        "  dev: 1,871 labels fewer than published in this fold",
        "  test: 2 dropped: video not on disk",
        "  test: 4,660 labels fewer than published in this fold",
        "  none: of videos that no fold names; not used for training or scores",
    ]


def test_hours_of_utterances_without_times_are_none() -> None:
    assert hours([Utterance("a", "s", "x", None)]) == 0
