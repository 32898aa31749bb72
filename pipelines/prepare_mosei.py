"""Lists the labelled segments of CMU-MOSEI from its transcripts, labels, folds and file names.

Both usual unpackings are read: folders below ``Raw/`` or directly below ROOT, and segmented
clips or full videos, which are then cut by time. No media file is opened.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from featurize.errors import CorpusError, UsageError
from pipelines.manifest import Reject, Utterance, check_id, existing_folder
from pipelines.mosei_audit import audit_folds, hours
from pipelines.mosei_files import MoseiCorpus, Segment, find_corpus, read_transcript
from pipelines.mosei_folds import STANDARD_FOLDS, read_folds
from pipelines.mosei_label_files import read_labels
from pipelines.mosei_labels import LabelRow, join_by_interval, join_by_number

LABELS_NAME = "CMU_MOSEI_Labels.csd"
FOLDS_NAME = "folds.json"
TOLERANCE_S = 0.1
# Their labels' times do not fit the videos as distributed. Both are in the train fold.
MISTIMED_VIDEOS = frozenset({"ZZzdvUdOTww", "hh04W3xXa5s"})


@dataclass(frozen=True)
class _Video:
    id: str
    fold: str | None
    rows: list[LabelRow]
    mistimed: bool


@dataclass
class _Found:
    """What the scan collects; ``dropped`` counts labelled segments by (fold, reason)."""

    utterances: list[Utterance] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    dropped: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def reject(self, utterance_id: str, reason: str) -> None:
        readable_id = utterance_id.encode("utf-8", "backslashreplace").decode()
        self.rejects.append(Reject(readable_id, "prepare", reason))

    def drop(self, utterance_id: str, fold: str | None, reason: str) -> None:
        self.reject(utterance_id, reason)
        self.dropped[fold, reason] += 1


def scan_mosei(
    root: Path,
    folds: Path | None = None,
    labels: Path | None = None,
    *,
    tolerance_s: float = TOLERANCE_S,
    drop_mistimed: bool = False,
    progress: Callable[[int], None] = lambda n_segments: None,
) -> tuple[list[Utterance], list[Reject], dict]:
    """Lists the labelled segments, in the order of their ids ``VIDEO/SEGMENT``.

    ``labels`` is as in ``pipelines.mosei_label_files`` (default ``ROOT/CMU_MOSEI_Labels.csd``),
    ``folds`` a JSON file or the SDK's cmu_mosei_std_folds.py (default ``ROOT/folds.json`` where
    there is one, else STANDARD_FOLDS). A label belongs to the transcript line whose start and end
    differ from its own by at most ``tolerance_s``, or, of raw ratings, whose number it names. A
    segment is its clip if there is one that is not empty, else a cut of the full video and, where
    there is one, of its 16 kHz sound; starts before 0 become 0. Scores are clamped to their ranges.
    Segments without a label are left out and counted; ``drop_mistimed`` rejects MISTIMED_VIDEOS.

    ``progress`` is called with the number of segments just seen, once a video. Returns
    utterances, rejects and an audit of counts; in the audit, a fold's segments and those dropped
    add up to those labelled. Raises UsageError when folds or labels are missing or the tolerance
    is negative, CorpusError when a file or the layout cannot be read or nothing is labelled.
    """
    existing_folder(root, "the folder of CMU-MOSEI, with Raw/ or Videos/ and Transcript/ in it")
    if not tolerance_s >= 0:
        raise UsageError(f"tolerance {tolerance_s} s must be 0 or more")
    corpus = find_corpus(root)
    folds = _folds_path(root, folds)
    fold_of_video = read_folds(folds)
    labels_path = _labels_path(root, labels)
    rows_of_video = read_labels(labels_path)
    found = _Found()
    for name in sorted(corpus.sizes["transcript"].keys() | rows_of_video.keys()):
        rows = rows_of_video.get(name, [])
        mistimed = drop_mistimed and name in MISTIMED_VIDEOS
        video = _Video(name, fold_of_video.get(name), rows, mistimed)
        progress(_add_video(corpus, video, tolerance_s, found))
    if not found.utterances and not found.rejects:
        raise CorpusError(f"{root}: no video here has labels; check that --labels fits it")
    found.utterances.sort(key=lambda u: u.id)
    named = "standard" if folds == STANDARD_FOLDS else str(folds)
    audit = _audit(corpus, found) | {"labels_from": str(labels_path), "folds_from": named}
    audit |= audit_folds(found.utterances, found.dropped, rows_of_video, fold_of_video)
    return found.utterances, found.rejects, audit


def _folds_path(root: Path, folds: Path | None) -> Path:
    own = root / FOLDS_NAME
    return folds or (own if own.is_file() else STANDARD_FOLDS)


def _labels_path(root: Path, labels: Path | None) -> Path:
    path = labels or root / LABELS_NAME
    if not path.is_file() and not path.is_dir():
        raise UsageError(
            f"{path}: not there; give {LABELS_NAME}, a CSV or the folder Raw/Labels with --labels"
        )
    return path


def _add_video(corpus: MoseiCorpus, video: _Video, tolerance_s: float, found: _Found) -> int:
    """Adds one video: each of its label rows ends as an utterance or is counted as dropped.

    Returns the number of segments in its transcript.
    """
    if video.id not in corpus.sizes["transcript"]:
        _drop_untranscribed(corpus, video, found)
        return 0
    segments, wrong_lines = read_transcript(corpus, video.id)
    for line_id, reason in wrong_lines.items():
        found.reject(line_id, reason)
    row_of_segment = _join(video.rows, segments, tolerance_s)
    for i, k in row_of_segment.items():
        _add_segment(corpus, video, segments[i], video.rows[k], found)
    found.counts["segments_without_label"] += len(segments) - len(row_of_segment)
    for k in sorted(set(range(len(video.rows))) - set(row_of_segment.values())):
        reason = "labelled interval without transcript line"
        found.drop(_interval_id(video, k), video.fold, reason)
    return len(segments)


def _join(rows: list[LabelRow], segments: list[Segment], tolerance_s: float) -> dict[int, int]:
    """Index of a segment -> index of its row."""
    if any(row.segment is not None for row in rows):
        return join_by_number(rows, [segment.number for segment in segments])
    intervals = [(segment.start_s, segment.end_s) for segment in segments]
    return join_by_interval(rows, intervals, tolerance_s)


def _drop_untranscribed(corpus: MoseiCorpus, video: _Video, found: _Found) -> None:
    """A video that is not on disk at all is only counted: part of a corpus is no fault of it."""
    if not corpus.has_full(video.id):
        found.dropped[video.fold, "video not on disk"] += len(video.rows)
        return
    for k in range(len(video.rows)):
        found.drop(_interval_id(video, k), video.fold, "video without transcript")


def _interval_id(video: _Video, k: int) -> str:
    """Id of a label that has no transcript line: row numbers are not segment numbers."""
    return f"{video.id}/{video.rows[k].name}"


def _add_segment(
    corpus: MoseiCorpus, video: _Video, segment: Segment, row: LabelRow, found: _Found
) -> None:
    utterance = _utterance(corpus, video, segment, row)
    reason = _unusable(corpus, video, segment, row, utterance)
    if reason:
        found.drop(utterance.id, video.fold, reason)
        return
    found.utterances.append(utterance)
    pairs = zip(row.scores, row.clamped, strict=True)
    found.counts["scores_clamped"] += sum(before != after for before, after in pairs)
    found.counts["from_clips" if utterance.end_s is None else "from_full_videos"] += 1


def _utterance(corpus: MoseiCorpus, video: _Video, segment: Segment, row: LabelRow) -> Utterance:
    clip = corpus.file("segmented", f"{video.id}_{segment.number}")
    full = corpus.file("full", video.id)
    picture, picture_bytes = clip or full or (None, None)
    sound, sound_bytes = clip or corpus.file("audio", video.id) or full or (None, None)
    return Utterance(
        id=f"{video.id}/{segment.number}",
        speaker=video.id,
        audio=sound,
        video=picture,
        start_s=0.0 if clip else max(segment.start_s, 0.0),
        end_s=None if clip else segment.end_s,
        text=segment.text,
        labels=row.clamped,
        fold=video.fold,
        audio_bytes=sound_bytes,
        video_bytes=picture_bytes,
        recording=video.id,
        recording_start_s=max(segment.start_s, 0.0),
        recording_end_s=segment.end_s,
    )


def _unusable(
    corpus: MoseiCorpus, video: _Video, segment: Segment, row: LabelRow, utterance: Utterance
) -> str | None:
    """Why a labelled segment cannot be used, or None when it can."""
    try:
        check_id(utterance.id)
    except CorpusError:
        return "file name is not allowed as an id (control or undecodable characters)"
    if video.mistimed:
        return "video is known to be mistimed"
    if not segment.text:
        return "segment without transcript"
    if not segment.end_s > max(segment.start_s, 0.0):
        return "segment ends before it starts"
    if not all(math.isfinite(score) for score in row.scores):
        return "label is not a number"
    if utterance.audio is None:
        return corpus.why_no_media(video.id, f"{video.id}_{segment.number}")
    return None


def _audit(corpus: MoseiCorpus, found: _Found) -> dict:
    names = ("segments_without_label", "scores_clamped", "from_clips", "from_full_videos")
    return {
        "folders": {kind: folder for kind, folder in corpus.folders.items() if folder},
        "utterances": len(found.utterances),
        "videos": len({utterance.speaker for utterance in found.utterances}),
        "hours": hours(found.utterances),
        **{name: found.counts[name] for name in names},
        "rejects": dict(Counter(reject.reason for reject in found.rejects)),
    }
