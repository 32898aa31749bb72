"""What the CMU-MOSEI-like corpus will hold: videos, folds, labels, words, voices and faces."""

from dataclasses import dataclass

import numpy as np

from pipelines.demo.broken_file import FAULTS
from pipelines.demo.emotion_labels import EMOTIONS, random_labels, scores_of
from pipelines.demo.emotion_traces import expression_for, voice_for, words_for
from pipelines.demo.looks import Expression
from pipelines.demo.speakers import Speaker, random_speaker, random_youtube_ids
from pipelines.demo.speech import Voice

FOLD_SHARES = {"train": 0.60, "valid": 0.15, "test": 0.25}
# Awkward ids of the kinds the real corpus has: all digits, a leading dash, an underscore.
AWKWARD_IDS = ("81406", "-3g5yACwYnB", "GdFP_p4eQX1", "_0efYOjQYRd")
FULL_ONLY = (4, 24, 44)  # these videos come uncut
NEGATIVE_START = 3  # this video's first segment is said to start before the video does
_PLAN, _RENDER = 3, 4  # which of the seed's streams


@dataclass(frozen=True)
class Segment:
    """One stretch of speech; ``labels`` are the sentiment and the scores of EMOTIONS."""

    text: str
    labels: tuple[float, ...]
    voice: Voice
    expression: Expression


@dataclass(frozen=True)
class Video:
    """One speaker's video, before it is rendered."""

    id: str
    fold: str  # "train", "valid" or "test"
    speaker: Speaker
    segments: tuple[Segment, ...]
    seed: tuple[int, ...]
    is_cut: bool = True  # segments have files of their own
    starts_early: bool = False
    fault: str | None = None


def plan_mosei(n_videos: int, segments_per_video: int, seed: int) -> list[Video]:
    """The good videos, then one with a broken file for each of FAULTS."""
    rng = np.random.default_rng((seed, _PLAN))
    ids = random_youtube_ids(n_videos + len(FAULTS), rng, first=AWKWARD_IDS)
    folds = _folds(n_videos, rng)
    labels = np.zeros((n_videos, segments_per_video, 1 + len(EMOTIONS)), np.float32)
    for fold in FOLD_SHARES:
        members = [k for k in range(n_videos) if folds[k] == fold]
        labels[members] = random_labels(len(members), segments_per_video, rng)
    videos = []
    for k in range(n_videos):
        speaker = random_speaker(k, "en", rng)
        segments = tuple(_segment(row, speaker, rng) for row in labels[k])
        video_seed = (seed, _RENDER, k)
        is_cut, early = k not in FULL_ONLY, k == NEGATIVE_START
        videos.append(Video(ids[k], folds[k], speaker, segments, video_seed, is_cut, early))
    for n, fault in enumerate(FAULTS):
        speaker = random_speaker(n, "en", rng)
        segment = _segment(np.zeros(1 + len(EMOTIONS), np.float32), speaker, rng)
        video_seed = (seed, _RENDER, n_videos + n)
        name = ids[n_videos + n]
        videos.append(Video(name, "train", speaker, (segment,), video_seed, fault=fault))
    return videos


def _folds(n_videos: int, rng: np.random.Generator) -> list[str]:
    """A fold for each video: at least one video in each, the shares as near as can be."""
    n_valid = max(1, round(FOLD_SHARES["valid"] * n_videos))
    n_test = max(1, round(FOLD_SHARES["test"] * n_videos))
    folds = ["valid"] * n_valid + ["test"] * n_test
    folds += ["train"] * (n_videos - len(folds))
    return [folds[k] for k in rng.permutation(n_videos)]


def _segment(labels: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> Segment:
    scores = scores_of(labels)
    return Segment(
        text=words_for(scores, rng),
        labels=tuple(labels.tolist()),
        voice=voice_for(scores, speaker.voice, rng),
        expression=expression_for(scores, rng),
    )
