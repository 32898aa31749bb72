"""Cepstral mean and variance normalisation, with Kaldi's statistics and Kaldi's formula."""

import numpy as np

VARIANCE_FLOOR = 1e-20  # Kaldi's, transform/cmvn.cc


def cmvn_statistics(features: np.ndarray) -> np.ndarray:
    """What Kaldi's ``compute-cmvn-stats`` writes: sums of the features and of their squares.

    Statistics add up: those of a speaker are the sum of those of the speaker's utterances.

    >>> cmvn_statistics(np.array([[1.0, 10.0], [3.0, 10.0]]))
    array([[  4.,  20.,   2.],
           [ 10., 200.,   0.]])

    Args:
        features: (n_frames, n_bins).

    Returns:
        float64 (2, n_bins + 1): row 0 the sums and, in the last column, n_frames; row 1 the sums
        of squares and 0.
    """
    values = np.asarray(features, np.float64)
    statistics = np.zeros((2, values.shape[1] + 1))
    statistics[0, :-1] = values.sum(axis=0)
    statistics[0, -1] = len(values)
    statistics[1, :-1] = np.einsum("td,td->d", values, values)
    return statistics


def apply_cmvn(features: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """What Kaldi's ``apply-cmvn --norm-means --norm-vars`` gives: mean 0 and variance 1.

    A variance below 1e-20 is raised to that. Computed in double precision, so that a bin which
    never changes, whose scale is 1e10, gives zeros.

    >>> features = np.array([[1.0, 10.0], [3.0, 10.0]])
    >>> apply_cmvn(features, cmvn_statistics(features))
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)

    Args:
        features: (n_frames, n_bins).
        statistics: (2, n_bins + 1), see ``cmvn_statistics``, of at least one frame.

    Returns:
        float32 (n_frames, n_bins).
    """
    count = statistics[0, -1]
    mean = statistics[0, :-1] / count
    variance = statistics[1, :-1] / count - mean**2
    scale = 1 / np.sqrt(np.maximum(variance, VARIANCE_FLOOR))
    return ((np.asarray(features, np.float64) - mean) * scale).astype(np.float32)
