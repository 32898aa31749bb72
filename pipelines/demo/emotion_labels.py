"""Draws labels that look like CMU-MOSEI's: as unbalanced, as correlated, as coarse.

The figures were counted over the 23,259 labelled segments of the real corpus.
"""

import numpy as np

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")  # the csd's order
PREVALENCE = (0.52, 0.25, 0.21, 0.09, 0.17, 0.08)  # share of segments with a score above 0
# Correlation of the Gaussians behind the labels; chosen to give the real labels' phi coefficients
# (happy-sad -0.29, happy-disgust -0.27, happy-anger -0.25, anger-disgust 0.39, ...).
_CORRELATION = np.array(
    [
        [1.00, -0.46, -0.42, 0.04, -0.50, -0.08],
        [-0.46, 1.00, 0.17, 0.08, 0.39, 0.28],
        [-0.42, 0.17, 1.00, 0.10, 0.62, 0.04],
        [0.04, 0.08, 0.10, 1.00, 0.30, 0.08],
        [-0.50, 0.39, 0.62, 0.30, 1.00, 0.00],
        [-0.08, 0.28, 0.04, 0.08, 0.00, 1.00],
    ]
)
_SHARED_WITHIN_VIDEO = (
    0.3  # share of the Gaussians' variance that a video's segments have in common
)
_SCORES = np.arange(1, 10) / 3
_SCORE_SHARES = np.array([0.42, 0.24, 0.13, 0.09, 0.06, 0.035, 0.015, 0.007, 0.003])
# Least squares of the real sentiment on the six real scores, and its residual's deviation.
_SENTIMENT_BASE, _SENTIMENT_RESIDUAL = 0.08, 0.73
_SENTIMENT_WEIGHTS = np.array([0.77, -0.52, -0.44, -0.10, -1.26, 0.14])


def random_labels(n_videos: int, n_segments: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of one fold.

    Each emotion is present in its PREVALENCE of the fold's segments, as nearly as whole numbers
    allow, and in one segment at least.

    Returns:
        float32 (n_videos, n_segments, 7): sentiment in thirds in [-3, 3], then the score of each of
        EMOTIONS in thirds in [0, 3].
    """
    present = _present(_gaussians(n_videos, n_segments, rng))
    scores = present * rng.choice(_SCORES, present.shape, p=_SCORE_SHARES / _SCORE_SHARES.sum())
    residual = rng.normal(0, _SENTIMENT_RESIDUAL, present.shape[:2])
    sentiment = _SENTIMENT_BASE + scores @ _SENTIMENT_WEIGHTS + residual
    sentiment = np.clip(np.round(3 * sentiment) / 3, -3, 3) + 0.0  # no minus zero
    return np.concatenate([sentiment[:, :, None], scores], axis=2).astype(np.float32)


def scores_of(labels: np.ndarray) -> dict[str, float]:
    """Emotion -> score, of one segment's row (7,) of ``random_labels``."""
    return dict(zip(EMOTIONS, labels[1:].tolist(), strict=True))


def _gaussians(n_videos: int, n_segments: int, rng: np.random.Generator) -> np.ndarray:
    """Correlated standard normals: (n_videos, n_segments, 6)."""
    of_video = rng.normal(size=(n_videos, 1, len(EMOTIONS)))
    of_segment = rng.normal(size=(n_videos, n_segments, len(EMOTIONS)))
    share = _SHARED_WITHIN_VIDEO
    mixed = np.sqrt(share) * of_video + np.sqrt(1 - share) * of_segment
    return mixed @ np.linalg.cholesky(_CORRELATION).T


def _present(gaussians: np.ndarray) -> np.ndarray:
    """The highest of each emotion's values, as many as its prevalence asks for."""
    values = gaussians.reshape(-1, len(EMOTIONS))
    present = np.zeros(values.shape, dtype=bool)
    for e, prevalence in enumerate(PREVALENCE):
        n_positive = max(1, round(prevalence * len(values)))
        present[np.argsort(-values[:, e], kind="stable")[:n_positive], e] = True
    return present.reshape(gaussians.shape)
