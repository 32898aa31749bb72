"""From a small list of known languages to a score of English: logistic regression.

Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, section 4.4.1:
Newton's method, with a ridge of weight 1 on the standardised scores, so that groups which part
completely have a finite answer. Whether it is any good is told by utterances that it was not fitted
to: five folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featurize.errors import UsageError

N_FOLDS = 5
FEWEST = 10  # of either kind
RIDGE = 1.0
N_STEPS, TOLERANCE = 100, 1e-10
N_RESAMPLES, SEED = 1000, 0


@dataclass(frozen=True)
class Calibration:
    """A logistic regression over scores, and how well it does on utterances it has not seen.

    ``weights`` are of the standardised scores, in the order of ``names``; ``auc`` has its 95%
    interval by bootstrap over the labelled utterances; precision and recall are those at
    ``threshold``, a probability. All four are of held-out folds.
    """

    names: tuple[str, ...]
    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    bias: float
    auc: float
    auc_interval: tuple[float, float]
    threshold: float
    precision: float
    recall: float
    n_english: int
    n_other: int

    def probabilities(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """(N,) of English; NaN where one of the scores is."""
        columns = np.stack([scores[name] for name in self.names], axis=1)
        return _sigmoid((columns - self.means) / self.deviations @ self.weights + self.bias)


def calibrate(
    scores: Mapping[str, np.ndarray], is_english: np.ndarray, precision: float | None = None
) -> Calibration:
    """Fits ``is_english``, (N,) bool, from scores, each (N,).

    The threshold is the one with the best F1 on the held-out folds or, where a ``precision`` is
    wished, the lowest that reaches it there. Scores that not every utterance has, or that are the
    same for all, are left out.

    Raises:
        UsageError: fewer than ``FEWEST`` of either kind, no score to go by, or a precision that
            is not reached.
    """
    n_english, n_other = int(is_english.sum()), int((~is_english).sum())
    if min(n_english, n_other) < FEWEST:
        raise UsageError(
            f"--calibrate: {n_english} of the labelled utterances with words are English and "
            f"{n_other} are not; label at least {FEWEST} of either"
        )
    names = tuple(n for n, s in scores.items() if np.isfinite(s).all() and np.ptp(s) > 0)
    if not names:
        raise UsageError("--calibrate: no score is known of every labelled utterance")
    columns = np.stack([scores[name] for name in names], axis=1)
    means, deviations = columns.mean(axis=0), columns.std(axis=0)
    standard = (columns - means) / deviations
    weights, bias = fit(standard, is_english)
    held_out = _held_out(standard, is_english)
    threshold, reached, recall = _point(held_out, is_english, precision)
    auc = roc_auc(held_out[is_english], held_out[~is_english])
    return Calibration(
        names, means, deviations, weights, bias, auc, _auc_interval(held_out, is_english),
        threshold, reached, recall, n_english, n_other,
    )  # fmt: skip


def fit(columns: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (D,) and bias of the penalised logistic regression of columns (N, D)."""
    rows = np.hstack([columns, np.ones((len(columns), 1))])
    penalty = np.full(rows.shape[1], RIDGE)
    penalty[-1] = 0.0  # none on the bias
    found = np.zeros(rows.shape[1])
    for _ in range(N_STEPS):
        p = _sigmoid(rows @ found)
        gradient = rows.T @ (is_positive - p) - penalty * found
        curvature = (rows * (p * (1 - p))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        found = found + step
        if np.abs(step).max() < TOLERANCE:
            break
    return found[:-1], float(found[-1])


def roc_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive's score is above a negative's, equal ones counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def _held_out(standard: np.ndarray, is_english: np.ndarray) -> np.ndarray:
    """Each utterance's probability by the fit to the folds without it; both kinds dealt out."""
    fold = np.zeros(len(is_english), dtype=int)
    shuffled = np.random.default_rng(SEED).permutation(len(is_english))
    for kind in (True, False):
        members = shuffled[is_english[shuffled] == kind]
        fold[members] = np.arange(len(members)) % N_FOLDS
    found = np.zeros(len(is_english))
    for number in range(N_FOLDS):
        inside = fold == number
        weights, bias = fit(standard[~inside], is_english[~inside])
        found[inside] = _sigmoid(standard[inside] @ weights + bias)
    return found


def _point(
    probabilities: np.ndarray, is_english: np.ndarray, wished: float | None
) -> tuple[float, float, float]:
    """Threshold, and its precision and recall."""
    order = np.argsort(-probabilities, kind="stable")
    n_right = np.cumsum(is_english[order])
    precision = n_right / np.arange(1, len(order) + 1)
    recall = n_right / is_english.sum()
    ends = np.append(np.diff(probabilities[order]) != 0, True)  # equal ones are not parted
    if wished is None:
        best = int(
            np.argmax(np.where(ends, 2 * precision * recall / (precision + recall + 1e-300), -1))
        )
    else:
        reached: Sequence[int] = np.flatnonzero(ends & (precision >= wished)).tolist()
        if not reached:
            raise UsageError(
                f"--precision {wished:g} is not reached on held-out utterances; the best is "
                f"{precision[ends].max():.3f}"
            )
        best = reached[-1]
    return float(probabilities[order][best]), float(precision[best]), float(recall[best])


def _auc_interval(probabilities: np.ndarray, is_english: np.ndarray) -> tuple[float, float]:
    """95%, by bootstrap within both kinds."""
    rng = np.random.default_rng(SEED)
    kinds = probabilities[is_english], probabilities[~is_english]
    found = [roc_auc(*(rng.choice(kind, len(kind)) for kind in kinds)) for _ in range(N_RESAMPLES)]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # does not overflow
