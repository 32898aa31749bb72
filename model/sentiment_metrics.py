"""Scores of sentiment, a number in [-3, 3], as the Multimodal Transformer counts them. Pure NumPy.

Sources and formulas are in ``DEFINITIONS``, to be printed beside the figures: with predictions y
and truths t of n segments.

Halves round to the even number, as NumPy rounds. Papers also count Acc-2 and F1-2 over all
segments, t = 0 being "not positive": the names that end in ``_with_zero``. F1 is the one score in
which that code differs: it weighs by the classes predicted, the arguments being swapped.
"""

import numpy as np

from featurize.errors import TrainError
from model.metrics import weighted_f1

_SOURCE = "Tsai et al. 2019, section 4.1; src/eval_metrics.py of its code"
_ALL = "the same over all segments, 0 counting as not positive"
DEFINITIONS = {
    name: {"name": title, "definition": definition, "source": _SOURCE}
    for name, title, definition in (
        ("mae", "MAE", "mean |y - t|; lower is better"),
        ("correlation", "Corr", "Pearson's correlation of y and t"),
        ("accuracy_7", "Acc-7", "share where y and t, held to [-3, 3], round to the same number"),
        ("accuracy_5", "Acc-5", "the same, held to [-2, 2]"),
        ("accuracy_2", "Acc-2", "share where y > 0 just where t > 0, of the segments with t not 0"),
        ("f1_2", "F1-2", "F1 of these decisions, weighted by class support"),
        ("accuracy_2_with_zero", "Acc-2, with 0", _ALL),
        ("f1_2_with_zero", "F1-2, with 0", _ALL),
    )
}


def sentiment_scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """All of them, by name; None where undefined (a constant has no correlation).

    Args: two (n,) arrays of floats, n at least 1. Raises TrainError where a prediction is not
    finite or there is no segment.
    """
    predicted, truth = (np.asarray(values, np.float64) for values in (predicted, truth))
    if not len(truth):
        raise TrainError("no segment with a sentiment to score")
    if not np.isfinite(predicted).all():
        raise TrainError("the model's scores are not finite: it diverged; lower the learning rate")
    is_clear = truth != 0
    return {
        "mae": float(np.abs(predicted - truth).mean()),
        "correlation": _correlation(predicted, truth),
        "accuracy_7": _same_class(predicted, truth, 3.0),
        "accuracy_5": _same_class(predicted, truth, 2.0),
        **_binary(predicted[is_clear], truth[is_clear], ""),
        **_binary(predicted, truth, "_with_zero"),
    }


def _correlation(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    if len(truth) < 2:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.corrcoef(predicted, truth)[0, 1])
    return value if np.isfinite(value) else None


def _same_class(predicted: np.ndarray, truth: np.ndarray, largest: float) -> float:
    classes = (np.round(np.clip(values, -largest, largest)) for values in (predicted, truth))
    return float(np.equal(*classes).mean())


def _binary(predicted: np.ndarray, truth: np.ndarray, suffix: str) -> dict[str, float | None]:
    decided, labels = predicted > 0, truth > 0
    accuracy = float((decided == labels).mean()) if len(labels) else None
    return {f"accuracy_2{suffix}": accuracy, f"f1_2{suffix}": weighted_f1(labels, decided)}
