"""The demo's labels against the real corpus's figures, and the order of the three traces."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipelines.demo.emotion_labels import EMOTIONS, PREVALENCE, random_labels, scores_of
from pipelines.demo.emotion_traces import expression_for, voice_for, words_for
from pipelines.demo.mosei_plan import plan_mosei
from pipelines.demo.sentences import vocabulary
from pipelines.demo.speech import Voice


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8))
def test_prevalence_is_exact_and_scores_come_in_thirds(seed, n_videos, n_segments):
    labels = random_labels(n_videos, n_segments, np.random.default_rng(seed))
    n = n_videos * n_segments
    assert labels.shape == (n_videos, n_segments, 7) and labels.dtype == np.float32
    np.testing.assert_allclose(3 * labels, np.round(3 * labels), atol=1e-5)
    assert np.abs(labels[..., 0]).max() <= 3
    assert labels[..., 1:].min() >= 0 and labels[..., 1:].max() <= 3
    n_positive = (labels[..., 1:] > 0).sum(axis=(0, 1))
    assert n_positive.tolist() == [max(1, round(p * n)) for p in PREVALENCE]


def test_labels_resemble_the_real_ones(shared_data):
    with open(shared_data / "mosei" / "mosei_segments_emotions.csv") as file:
        rows = list(csv.DictReader(file))
    columns = ("sentiment", *EMOTIONS)
    real = np.array([[float(row[column]) for column in columns] for row in rows])
    ours = random_labels(800, 6, np.random.default_rng(0)).reshape(-1, 7)
    present, ours_present = real[:, 1:] > 0, ours[:, 1:] > 0
    assert np.abs(present.mean(0) - ours_present.mean(0)).max() < 0.02
    assert np.abs(np.corrcoef(present.T) - np.corrcoef(ours_present.T)).max() < 0.08
    assert np.abs(np.corrcoef(real.T)[0] - np.corrcoef(ours.T)[0]).max() < 0.12
    assert abs(present.sum(1).mean() - ours_present.sum(1).mean()) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_each_fold_of_the_full_plan_has_both_classes_of_every_emotion(seed):
    videos = [video for video in plan_mosei(60, 6, seed) if not video.fault]
    for fold, n_videos in {"train": 36, "valid": 9, "test": 15}.items():
        members = [video for video in videos if video.fold == fold]
        assert len(members) == n_videos
        labels = np.array([segment.labels for video in members for segment in video.segments])
        n_positive = (labels[:, 1:] > 0).sum(axis=0)
        assert n_positive.min() >= 4
        np.testing.assert_allclose(n_positive / len(labels), PREVALENCE, atol=0.02)


def _average_auc(inputs: np.ndarray, present: np.ndarray) -> float:
    """Mean over the emotions of a linear classifier's ROC AUC on the second half."""
    half = len(inputs) // 2
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-9)
    scores = []
    for emotion in range(present.shape[1]):
        model = LogisticRegression(C=0.1, max_iter=200)
        model.fit(inputs[:half], present[:half, emotion])
        guess = model.decision_function(inputs[half:])
        scores.append(roc_auc_score(present[half:, emotion], guess))
    return float(np.mean(scores))


def test_words_tell_most_then_the_face_then_the_voice():
    rng = np.random.default_rng(0)
    labels = random_labels(250, 6, rng).reshape(-1, 7)
    place = {word: n for n, word in enumerate(vocabulary())}
    words, faces, voices = np.zeros((len(labels), len(place))), [], []
    for n, row in enumerate(labels):
        scores = scores_of(row)
        words[n, [place[word] for word in words_for(scores, rng).split()]] = 1
        faces.append(list(vars(expression_for(scores, rng)).values()))
        speaker = Voice(pitch=int(rng.integers(32, 69)), rate_wpm=int(rng.integers(150, 186)))
        voice = voice_for(scores, speaker, rng)
        voices.append([voice.rate_wpm, voice.pitch, voice.pitch_range, voice.volume])
    present = labels[:, 1:] > 0
    text = _average_auc(words, present)
    face = _average_auc(np.array(faces), present)
    voice_alone = _average_auc(np.array(voices), present)
    print(f"AUC: text {text:.3f}, face {face:.3f}, voice {voice_alone:.3f}")
    assert 0.98 > text > face + 0.02 and face > voice_alone + 0.05 and voice_alone > 0.58
