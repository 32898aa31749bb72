"""A small corpus in CMU-MOSEI's layout: videos whole and cut, transcripts, labels, folds."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featurize.atomic import atomic_path, write_text
from pipelines.demo.broken_file import write_broken_video
from pipelines.demo.emotion_labels import EMOTIONS
from pipelines.demo.footage import footage
from pipelines.demo.looks import Expression
from pipelines.demo.mosei_plan import FOLD_SHARES, Video
from pipelines.demo.sound import spoken, with_room_noise
from pipelines.demo.video_file import FPS, SAMPLES_PER_FRAME, write_video

GAP_FRAMES = (5, 20)  # of silence before each segment
EARLY_START_S = -0.041  # as in the real labels, where 239 segments start below 0
LABELS_FILE = "CMU_MOSEI_Labels.csd"
ROOT_NAME = "All Labels"


@dataclass(frozen=True)
class Track:
    """A video's sound: alternately a gap and a segment, ending with a gap."""

    shots: list[np.ndarray]  # int16 each, whole video frames long

    def frames(self, segment: int) -> tuple[int, int]:
        """First frame of a segment and the first after it."""
        lengths = [len(shot) // SAMPLES_PER_FRAME for shot in self.shots]
        start = sum(lengths[: 2 * segment + 1])
        return start, start + lengths[2 * segment + 1]


def render_video(root: Path, video: Video) -> list[tuple[float, float]]:
    """Writes the video's files that are not there yet.

    Returns:
        (start_s, end_s) of each segment.
    """
    rng = np.random.default_rng(video.seed)
    track = _sound_track(video, rng)
    spans = [track.frames(n) for n in range(len(video.segments))]
    if any(not path.exists() for path in _paths(root, video)):
        _write_files(root, video, track, spans, rng)
    times_s = [(start / FPS, end / FPS) for start, end in spans]
    if video.starts_early:
        times_s[0] = (EARLY_START_S, times_s[0][1])
    return times_s


def write_tables(
    root: Path, videos: Sequence[Video], times_s: Sequence[list[tuple[float, float]]], seed: int
) -> None:
    """Transcripts, labels and folds; ``times_s`` holds render_video's result for each video."""
    for video, times in zip(videos, times_s, strict=True):
        lines = [
            f"{video.id}___{n}___{start:.3f}___{end:.3f}___{_as_written(segment.text)}"
            for n, (segment, (start, end)) in enumerate(zip(video.segments, times, strict=True))
        ]
        path = root / "Raw" / "Transcript" / "Segmented" / "Combined" / f"{video.id}.txt"
        write_text(path, "\n".join(lines) + "\n")
    folds = {fold: [v.id for v in videos if v.fold == fold] for fold in FOLD_SHARES}
    write_text(root / "folds.json", json.dumps(folds, indent=1) + "\n")
    _write_labels(root / LABELS_FILE, videos, times_s, seed)


def _sound_track(video: Video, rng: np.random.Generator) -> Track:
    shots = []
    for n, segment in enumerate(video.segments):
        shots.append(_gap(0 if n == 0 and video.starts_early else None, rng))
        shots.append(spoken(segment.text, segment.voice, rng))
    return Track([*shots, _gap(None, rng)])


def _gap(n_frames: int | None, rng: np.random.Generator) -> np.ndarray:
    length = int(rng.integers(*GAP_FRAMES)) if n_frames is None else n_frames
    return with_room_noise(np.zeros(length * SAMPLES_PER_FRAME, np.int16), rng)


def _full_path(root: Path, video: Video) -> Path:
    return root / "Raw" / "Videos" / "Full" / "Combined" / f"{video.id}.mp4"


def _segment_path(root: Path, video: Video, n: int) -> Path:
    return root / "Raw" / "Videos" / "Segmented" / "Combined" / f"{video.id}_{n}.mp4"


def _paths(root: Path, video: Video) -> list[Path]:
    cut = [_segment_path(root, video, n) for n in range(len(video.segments))]
    return (cut if video.is_cut else []) + ([] if video.fault else [_full_path(root, video)])


def _write_files(
    root: Path, video: Video, track: Track, spans: list[tuple[int, int]], rng: np.random.Generator
) -> None:
    shots = [(Expression(), sound) for sound in track.shots]
    for n, segment in enumerate(video.segments):
        shots[2 * n + 1] = (segment.expression, track.shots[2 * n + 1])
    pictures = footage(video.speaker.look, shots, rng)
    samples = np.concatenate(track.shots)
    for n, (start, end) in enumerate(spans if video.is_cut else []):
        sound = samples[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
        path = _segment_path(root, video, n)
        if video.fault:
            write_broken_video(path, video.fault, pictures[start:end], sound)
        else:
            write_video(path, pictures[start:end], sound)
    if not video.fault:
        write_video(_full_path(root, video), pictures, samples)


def _as_written(text: str) -> str:
    """With a capital and a full stop, as transcribers write."""
    words = ["I" if word == "i" else word for word in text.split()]
    sentence = " ".join(words)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _write_labels(
    path: Path, videos: Sequence[Video], times_s: Sequence[list[tuple[float, float]]], seed: int
) -> None:
    """The computational sequence of the CMU Multimodal SDK; rows in no particular order."""
    import h5py

    rng = np.random.default_rng((seed, len(videos)))
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for video, times in zip(videos, times_s, strict=True):
            order = rng.permutation(len(times))
            group = file.create_group(f"{ROOT_NAME}/data/{video.id}")
            labels = np.array([s.labels for s in video.segments], np.float32)
            group["features"] = labels[order]
            group["intervals"] = np.round(np.array(times, np.float64), 3)[order]
        for key, value in _metadata(seed).items():
            text = h5py.string_dtype()
            file.create_dataset(f"{ROOT_NAME}/metadata/{key}", data=[json.dumps(value)], dtype=text)


def _metadata(seed: int) -> dict[str, object]:
    """The SDK's keys, each stored as one JSON string."""
    identity = hashlib.sha256(f"trimodal demo {seed}".encode()).digest()
    return {
        "root name": ROOT_NAME,
        "computational sequence description": "Labels of the trimodal demo, drawn by a program",
        "dimension names": ["sentiment", *EMOTIONS],
        "computational sequence version": 1.0,
        "alignment compatible": True,
        "dataset name": "trimodal demo in the layout of CMU-MOSEI",
        "dataset version": 1.0,
        "creator": "trimodal demo",
        "contact": "",
        "featureset bib citation": "",
        "dataset bib citation": "",
        "uuid": str(uuid.UUID(bytes=identity[:16], version=4)),
    }
