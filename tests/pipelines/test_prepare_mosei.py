"""CMU-MOSEI's importer: each known trap in a small fixture, then the real labels and folds."""

import csv
import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from featurize.errors import CorpusError, UsageError
from pipelines.mosei_audit import fold_lines
from pipelines.mosei_folds import STANDARD_FOLDS, read_folds
from pipelines.prepare_mosei import scan_mosei

NEUTRAL = (0.0,) * 7
Rows = dict[str, list[tuple[float, float, tuple[float, ...]]]]


def write_csd(path: Path, rows: Rows) -> None:
    """Labels in the form of CMU_MOSEI_Labels.csd."""
    with h5py.File(path, "w") as file:
        data = file.create_group("All Labels/data")
        for video, labelled in rows.items():
            scores = [row[2] for row in labelled]
            data[f"{video}/features"] = np.array(scores, np.float32).reshape(-1, 7)
            data[f"{video}/intervals"] = np.array([row[:2] for row in labelled]).reshape(-1, 2)


class Corpus:
    """A tree of one-byte media files, with transcripts, labels and folds."""

    def __init__(self, root: Path, prefix: str = "Raw/", transcripts: str = "Segmented/Combined"):
        self.root, self.prefix = root, prefix
        self.transcripts = root / f"{prefix}Transcript/{transcripts}"
        self.transcripts.mkdir(parents=True)
        (root / f"{prefix}Videos/Full/Combined").mkdir(parents=True)

    def full(self, video: str, content: bytes = b"x") -> None:
        (self.root / f"{self.prefix}Videos/Full/Combined/{video}.mp4").write_bytes(content)

    def clip(self, name: str, content: bytes = b"x") -> None:
        folder = self.root / f"{self.prefix}Videos/Segmented/Combined"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.mp4").write_bytes(content)

    def transcript(self, video: str, *lines: str) -> None:
        (self.transcripts / f"{video}.txt").write_text("\n".join(lines) + "\n")

    def facts(self, rows: Rows, **folds: list[str]) -> None:
        write_csd(self.root / "CMU_MOSEI_Labels.csd", rows)
        content = {"train": [], "valid": [], "test": []} | folds
        (self.root / "folds.json").write_text(json.dumps(content))


def one_segment(root: Path, **kwargs: str) -> Corpus:
    corpus = Corpus(root, **kwargs)
    corpus.full("abc")
    corpus.transcript("abc", "abc___0___1.5___3.5___Hello there.")
    corpus.facts({"abc": [(1.5, 3.5, (-1.0, 0, 0.5, 0, 0, 0, 0))]}, train=["abc"])
    return corpus


@pytest.mark.parametrize(
    ("prefix", "transcripts"),
    [("Raw/", "Segmented/Combined"), ("", "Combined"), ("", "Segmented/Combined")],
)
def test_both_unpackings(tmp_path: Path, prefix: str, transcripts: str) -> None:
    one_segment(tmp_path, prefix=prefix, transcripts=transcripts)
    [u], rejects, audit = scan_mosei(tmp_path)
    full = f"{prefix}Videos/Full/Combined/abc.mp4"
    assert (u.id, u.speaker, u.audio, u.video) == ("abc/0", "abc", full, full)
    assert (u.start_s, u.end_s, u.text, u.fold) == (1.5, 3.5, "Hello there.", "train")
    assert u.labels == (-1.0, 0, 0.5, 0, 0, 0, 0)
    assert rejects == []
    assert audit["hours"] == pytest.approx(2 / 3600)
    assert audit["folds"]["train"]["prevalence"]["sad"] == 1.0
    assert audit["folds"]["train"]["prevalence"]["happy"] == 0.0
    assert audit["folds"]["test"]["prevalence"]["sad"] is None


def test_the_clip_is_preferred_unless_it_is_empty(tmp_path: Path) -> None:
    corpus = one_segment(tmp_path)
    corpus.clip("abc_0")
    [u], _, _ = scan_mosei(tmp_path)
    clip = "Raw/Videos/Segmented/Combined/abc_0.mp4"
    assert (u.audio, u.video, u.start_s, u.end_s) == (clip, clip, 0.0, None)
    corpus.clip("abc_0", b"")
    [u], _, _ = scan_mosei(tmp_path)
    assert (u.video, u.start_s) == ("Raw/Videos/Full/Combined/abc.mp4", 1.5)


def test_full_sound_is_used_with_the_full_video_only(tmp_path: Path) -> None:
    corpus = one_segment(tmp_path, prefix="", transcripts="Combined")
    (tmp_path / "Audio/WAV_16000").mkdir(parents=True)
    (tmp_path / "Audio/WAV_16000/abc.wav").write_bytes(b"x")
    [u], _, _ = scan_mosei(tmp_path)
    assert (u.audio, u.video) == ("Audio/WAV_16000/abc.wav", "Videos/Full/Combined/abc.mp4")
    corpus.full("abc", b"")
    [u], _, _ = scan_mosei(tmp_path)
    assert (u.audio, u.video) == ("Audio/WAV_16000/abc.wav", None)
    corpus.clip("abc_0")
    [u], _, _ = scan_mosei(tmp_path)
    assert u.audio == u.video == "Videos/Segmented/Combined/abc_0.mp4"


def test_rows_out_of_time_order_are_joined_by_interval(tmp_path: Path) -> None:
    """Row 0 of the labels is segment 2; joining on the row number would swap the scores."""
    corpus = Corpus(tmp_path)
    corpus.full("v")
    corpus.transcript("v", *(f"v___{i}___{10 * i}___{10 * i + 9}___word" for i in range(3)))
    rows = [(10.0 * i, 10.0 * i + 9, (i - 1.0, *NEUTRAL[1:])) for i in (2, 0, 1)]
    corpus.facts({"v": rows}, train=["v"])
    utterances, _, _ = scan_mosei(tmp_path)
    assert [(u.id, u.labels[0]) for u in utterances] == [("v/0", -1), ("v/1", 0), ("v/2", 1)]


def test_odd_ids_stay_apart(tmp_path: Path) -> None:
    """All digits, a prefix of another, a leading ``-``, ``_`` inside, at the end, and ``___``."""
    videos = ["25522", "255224", "-3g5yACwYnA", "a_1", "a", "a_1_", "x___1", "x"]
    corpus = Corpus(tmp_path)
    for i, video in enumerate(videos):
        corpus.clip(f"{video}_1")
        corpus.transcript(video, f"{video}___1___{i}.0___{i}.9___text of {video}")
    rows = {v: [(float(i), i + 0.9, (0.1 * i, *NEUTRAL[1:]))] for i, v in enumerate(videos)}
    corpus.facts(rows, test=videos)
    utterances, rejects, _ = scan_mosei(tmp_path)
    assert rejects == []
    assert {u.id for u in utterances} == {f"{video}/1" for video in videos}
    for u in utterances:
        assert u.text == f"text of {u.speaker}"
        assert u.video.endswith(f"/{u.speaker}_1.mp4")
        assert u.labels[0] == pytest.approx(0.1 * videos.index(u.speaker), abs=1e-6)


def test_negative_starts_are_joined_as_they_are_and_cut_at_zero(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.full("v")
    corpus.transcript("v", "v___0___-0.457596371882___1.7796___early", "v___1___-2___-1___before")
    rows = [(-0.457596371882, 1.77959183673, NEUTRAL), (-2.0, -1.0, NEUTRAL)]
    corpus.facts({"v": rows}, train=["v"])
    [u], [reject], _ = scan_mosei(tmp_path)
    assert (u.id, u.start_s, u.end_s) == ("v/0", 0.0, 1.7796)
    assert (reject.id, reject.reason) == ("v/1", "segment ends before it starts")


def test_scores_are_clamped_and_nan_is_rejected(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.full("v")
    corpus.transcript("v", "v___0___0___1___a", "v___1___1___2___b", "v___2___2___3___c")
    rows = [(0.0, 1.0, (-4, 3.5, -0.1, 0, 0, 0, 3)), (1.0, 2.0, (3.5, 0, 0, 0, 0, 0, 0))]
    rows.append((2.0, 3.0, (0, float("nan"), 0, 0, 0, 0, 0)))
    corpus.facts({"v": rows}, train=["v"])
    utterances, [reject], audit = scan_mosei(tmp_path)
    assert [u.labels for u in utterances] == [(-3, 3, 0, 0, 0, 0, 3), (3, 0, 0, 0, 0, 0, 0)]
    assert audit["scores_clamped"] == 4
    assert (reject.id, reject.reason) == ("v/2", "label is not a number")


def test_bad_transcript_lines_and_segments_without_text(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.full("v")
    corpus.transcript(
        "v",
        "v___0___0___1___one ___ two_____three",
        "v___1___1___2___",
        "not a segment",
        "../w___2___2___3___of another video",
        "v___0___4___5___again",
        "v___x___5___6___no number",
        "v___7___1e400___nan___no time",
    )
    corpus.facts({"v": [(float(i), i + 1.0, NEUTRAL) for i in range(3)]}, train=["v"])
    [u], rejects, audit = scan_mosei(tmp_path)
    assert (u.id, u.text) == ("v/0", "one ___ two_____three")
    assert {(r.id, r.stage, r.reason) for r in rejects} == {
        ("v/1", "prepare", "segment without transcript"),
        ("v/line-3", "prepare", "transcript line cannot be parsed"),
        ("v/line-4", "prepare", "transcript line cannot be parsed"),
        ("v/line-5", "prepare", "segment number occurs twice in the transcript"),
        ("v/line-6", "prepare", "transcript line cannot be parsed"),
        ("v/line-7", "prepare", "transcript line cannot be parsed"),
        ("v/2.000-3.000s", "prepare", "labelled interval without transcript line"),
    }
    train = audit["folds"]["train"]
    assert train["labelled"] == train["segments"] + sum(train["dropped"].values()) == 3


def test_transcripts_in_another_encoding_and_line_ends(tmp_path: Path) -> None:
    corpus = one_segment(tmp_path)
    path = corpus.transcripts / "abc.txt"
    path.write_bytes(b"abc___0___1.5___3.5___don\x92t \x97 stop\r\n")
    assert scan_mosei(tmp_path)[0][0].text == "don\u2019t \u2014 stop"
    path.write_bytes("\ufeffabc___0___1.5___3.5___na\u00efve\u2028line\r\n".encode())
    assert scan_mosei(tmp_path)[0][0].text == "na\u00efve\u2028line"


def test_media_that_are_missing_empty_or_elsewhere(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    for video in ("gone", "void", "link"):
        corpus.transcript(video, f"{video}___0___0___1___text")
    corpus.full("void", b"")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (corpus.root / "Raw/Videos/Full/Combined/link.mp4").symlink_to(tmp_path / "secret.mp4")
    (corpus.transcripts / "out.txt").symlink_to(tmp_path / "secret.mp4")
    corpus.full("mute")
    rows = {v: [(0.0, 1.0, NEUTRAL)] for v in ("gone", "void", "link", "mute", "absent")}
    corpus.facts(rows, train=list(rows))
    utterances, rejects, audit = scan_mosei(corpus.root)
    assert utterances == []
    assert {r.id: r.reason for r in rejects} == {
        "gone/0": "no media file",
        "void/0": "empty file (0 bytes)",
        "link/0": "broken link, or link that leads out of the corpus folder",
        "mute/0.000-1.000s": "video without transcript",
        "out": "transcript is a link that leads out of the corpus folder",
    }
    # A labelled video that is not on disk at all is counted, not rejected.
    assert audit["folds"]["train"]["dropped"]["video not on disk"] == 1
    assert audit["folds"]["train"]["labelled"] == 5


def test_unlabelled_segments_and_videos_without_fold(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for video in ("labelled", "plain"):
        corpus.full(video)
        corpus.transcript(video, f"{video}___0___0___1___a", f"{video}___1___1___2___b")
    corpus.facts({"labelled": [(1.0, 2.0, NEUTRAL)]}, test=["plain"])
    [u], rejects, audit = scan_mosei(tmp_path)
    assert (u.id, u.fold, rejects) == ("labelled/1", None, [])
    assert audit["segments_without_label"] == 3
    assert audit["labelled_videos_in_no_fold"] == 1
    assert audit["fold_videos_without_labels"] == {"train": 0, "dev": 0, "test": 1}
    assert audit["folds"]["none"]["segments"] == 1


def test_mistimed_videos_are_dropped_or_kept(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.full("hh04W3xXa5s")
    corpus.transcript("hh04W3xXa5s", "hh04W3xXa5s___0___0___1___a")
    corpus.facts({"hh04W3xXa5s": [(0.0, 1.0, NEUTRAL)]}, train=["hh04W3xXa5s"])
    utterances, [reject], _ = scan_mosei(tmp_path, drop_mistimed=True)
    assert (utterances, reject.reason) == ([], "video is known to be mistimed")
    utterances, rejects, _ = scan_mosei(tmp_path)
    assert ([u.id for u in utterances], rejects) == (["hh04W3xXa5s/0"], [])


def test_raw_ratings_are_joined_by_the_number_of_the_segment(tmp_path: Path) -> None:
    """Segment 2 comes first in time, and segment 1 has no rating."""
    corpus = one_segment(tmp_path)
    (tmp_path / "CMU_MOSEI_Labels.csd").unlink()
    lines = [f"abc___{n}___{s}.5___{s + 2}.5___text" for n, s in ((2, 1), (0, 4), (1, 8))]
    corpus.transcript("abc", *lines)
    answers = ("sentiment", "happiness", "sadness", "anger", "surprise", "disgust", "fear")
    head = "Input.VIDEO_ID,Input.CLIP," + ",".join(f"Answer.{answer}" for answer in answers)
    labels = tmp_path / "Raw" / "Labels"
    labels.mkdir()
    ratings = (
        "abc,0,3,0,0,0,0,0,0",
        "abc,2,-1,0,0,0,0,0,0",
        "abc,2,0,3,0,0,0,0,0",
        "abc,7" + 7 * ",0",
    )
    (labels / "batch.csv").write_text("\n".join((head, *ratings)) + "\n")
    utterances, [reject], audit = scan_mosei(tmp_path, labels=labels)
    assert {u.id: u.labels[:2] for u in utterances} == {"abc/0": (3, 0), "abc/2": (-0.5, 1.5)}
    assert (reject.id, reject.reason) == ("abc/7", "labelled interval without transcript line")
    assert audit["segments_without_label"] == 1
    assert audit["labels_from"] == str(labels)
    train = audit["folds"]["train"]
    assert train["labelled"] == train["segments"] + sum(train["dropped"].values()) == 3


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        scan_mosei(tmp_path / "missing")
    with pytest.raises(CorpusError, match="Transcript/Segmented/Combined"):
        scan_mosei(tmp_path)
    corpus = Corpus(tmp_path)
    with pytest.raises(CorpusError, match="no transcripts"):
        scan_mosei(tmp_path)
    corpus.transcript("v", "v___0___0___1___a")
    with pytest.raises(UsageError, match="--labels"):
        scan_mosei(tmp_path)
    with pytest.raises(UsageError, match="tolerance"):
        scan_mosei(tmp_path, tolerance_s=-1)
    corpus.facts({})
    with pytest.raises(CorpusError, match="no video here has labels"):
        scan_mosei(tmp_path)


def write_real_corpus(root: Path, mosei: Path) -> int:
    """The real labels as a .csd; transcripts of made-up text in time order; one-byte videos.

    Returns the number of labels.
    """
    rows: Rows = {}
    with (mosei / "mosei_segments_emotions.csv").open() as lines:
        for row in csv.DictReader(lines):
            values = [float(value) for value in list(row.values())[3:]]
            rows.setdefault(row["id"], []).append((*values[:2], tuple(values[2:])))
    corpus = Corpus(root)
    write_csd(root / "CMU_MOSEI_Labels.csd", rows)
    for video, labelled in rows.items():
        corpus.full(video)
        times = sorted(row[:2] for row in labelled)
        lines = (f"{video}___{i}___{a!r}___{b!r}___text {i}" for i, (a, b) in enumerate(times))
        corpus.transcript(video, *lines)
    return sum(map(len, rows.values()))


@pytest.mark.slow
def test_the_real_labels_give_the_published_counts(tmp_path: Path, shared_data: Path) -> None:
    mosei = shared_data / "mosei"
    assert write_real_corpus(tmp_path, mosei) == 23_259
    utterances, rejects, audit = scan_mosei(tmp_path)
    assert audit["folds_from"] == "standard"
    assert read_folds(STANDARD_FOLDS) == read_folds(mosei / "standard_folds.json")
    counts = {fold: audit["folds"][fold]["segments"] for fold in ("train", "dev", "test", "none")}
    assert counts == {"train": 16_327, "dev": 1_871, "test": 4_662, "none": 399}
    shown = fold_lines(audit["folds"])
    assert [re.split(r"  +", line.strip())[1:4] for line in shown[1:5]] == [
        ["16,327", "16,327", "+0"], ["1,871", "1,871", "+0"], ["4,662", "4,662", "+0"],
        ["399", "-", "-"],
    ]  # fmt: skip
    assert rejects == []
    assert audit["labelled_videos_in_no_fold"] == 68
    assert audit["fold_videos_without_labels"] == {"train": 0, "dev": 0, "test": 2}

    want = {}
    with (mosei / "mosei_segments_emotions.csv").open() as lines:
        for row in csv.DictReader(lines):
            start_s, end_s, *scores = (float(value) for value in list(row.values())[3:])
            want[row["id"], max(start_s, 0.0), end_s] = scores
    got = {(u.speaker, u.start_s, u.end_s): u.labels for u in utterances}
    assert got.keys() == want.keys()
    np.testing.assert_allclose([got[key] for key in want], list(want.values()), atol=1e-6)


@pytest.mark.slow
def test_the_demo_corpus_is_accounted_for(tmp_path: Path) -> None:
    from pipelines.demo.corpora import TINY, make_mosei
    from pipelines.demo.mosei_plan import plan_mosei

    make_mosei(tmp_path, TINY, 3, lambda done, n: None, n_processes=1)
    utterances, rejects, audit = scan_mosei(tmp_path)
    videos = {v.id: v for v in plan_mosei(TINY.n_mosei_videos, TINY.segments_per_video, 3)}
    empty = [f"{v.id}/0" for v in videos.values() if v.fault == "empty"]
    assert [r.id for r in rejects] == empty
    planned = {f"{v.id}/{n}" for v in videos.values() for n in range(len(v.segments))}
    assert [u.id for u in utterances] == sorted(planned - set(empty))
    for u in utterances:
        segment = videos[u.speaker].segments[int(u.id.rpartition("/")[2])]
        assert u.labels == pytest.approx(segment.labels, abs=1e-6)
        assert u.text.lower().rstrip(".") == segment.text.lower()
    assert audit["from_full_videos"] > 0 and audit["from_clips"] > 0


def test_pipes_in_the_corpus_are_not_waited_for(tmp_path: Path) -> None:
    corpus = one_segment(tmp_path)
    os.mkfifo(corpus.transcripts / "pipe.txt")
    with pytest.raises(CorpusError, match=r"pipe\.txt: is no regular file"):
        scan_mosei(corpus.root)
    (corpus.transcripts / "pipe.txt").unlink()
    (tmp_path / "labels").mkdir()
    os.mkfifo(tmp_path / "labels/pipe.csv")
    with pytest.raises(CorpusError, match="no regular file"):
        scan_mosei(corpus.root, labels=tmp_path / "labels")
    (tmp_path / "CMU_MOSEI_Labels.csd").unlink()
    os.mkfifo(tmp_path / "CMU_MOSEI_Labels.csd")
    with pytest.raises(UsageError, match="not there"):
        scan_mosei(corpus.root)
