"""Whether the pretrained embeddings differ from the baseline on the same test segments."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report_predictions import Predicted
from pipelines.report_runs import BASELINE, EMBEDDINGS
from pipelines.report_tables import EMOTIONS

N_RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Difference:
    """Embeddings less baseline of one emotion, or of the "average", in one metric ("WA", "F1")."""

    emotion: str
    metric: str
    value: float
    interval: tuple[float, float] | None
    p_value: float | None


def compare(systems: Sequence[Predicted]) -> list[Difference]:
    """Paired bootstrap of the first embeddings run against the first baseline.

    Empty when one of them is missing, not evaluated, or scored on other test segments.
    """
    first = {system.run.role: system for system in reversed(systems)}
    ours, theirs = first.get(EMBEDDINGS), first.get(BASELINE)
    if ours is None or theirs is None or list(ours.test.ids) != list(theirs.test.ids):
        return []
    return [found for metric in ("wa", "f1") for found in _differences(ours, theirs, metric)]


def _differences(ours: Predicted, theirs: Predicted, name: str) -> list[Difference]:
    import numpy as np

    from model.bootstrap import bootstrap, interval, paired_p_value, resamples
    from model.metrics import weighted_accuracy, weighted_f1

    metric = {"wa": weighted_accuracy, "f1": weighted_f1}[name]
    labels = ours.test.labels
    once = np.ones((1, len(labels)), np.float32)  # every segment drawn once: the figure itself
    times = np.concatenate([once, resamples(len(labels), N_RESAMPLES, SEED)])
    values = [bootstrap(labels, system.decided[name], metric, times) for system in (ours, theirs)]
    defined = ~np.isnan(values[0][0])
    if not defined.any():
        return []
    columns = {e: [v[:, k] for v in values] for k, e in enumerate(EMOTIONS) if defined[k]}
    columns["average"] = [v[:, defined].mean(axis=1) for v in values]
    return [
        Difference(
            emotion,
            metric.name,
            float(a[0] - b[0]),
            interval(a[1:] - b[1:]),
            paired_p_value(a[1:], b[1:]),
        )
        for emotion, (a, b) in columns.items()
    ]
