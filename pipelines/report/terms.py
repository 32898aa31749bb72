"""Terms of the tables: (term, definition, source), shown beside each table that uses them."""

from model.metrics import (
    Metric,
    Ranking,
    accuracy,
    average_precision,
    positive_f1,
    roc_auc,
    weighted_accuracy,
    weighted_f1,
)
from model.sentiment_metrics import DEFINITIONS as OF_SENTIMENT

Definition = tuple[str, str, str]
PAPER = "Khare, Parthasarathy, Sundaram, Interspeech 2020"

INTERVAL: Definition = (
    "Interval",
    "the small figures: 95% percentile bootstrap over test segments.",
    "Efron and Tibshirani 1993, chapter 13",
)
ABLATION: Definition = (
    "Ablation",
    "the missing modality has weight 0 in the weighted sum, at inference only; thresholds are "
    "chosen on dev under the same ablation (the paper does not say).",
    f"{PAPER}, section 5.3",
)
SUBSETS: Definition = (
    "Without audio",
    "the cross-modal transformers still ask with it: V, T and V+T tell what the sum holds without "
    "the audio's own stream. Late fusion is given nothing of a missing modality.",
    f"{PAPER}, section 5.3, leaves them out",
)


def _of(metric: Metric | Ranking) -> Definition:
    """A metric's name, definition and source, as ``model.metrics`` has them."""
    return metric.name, f"{metric.definition}.", metric.source


PROTOCOL: tuple[Definition, ...] = (
    _of(weighted_accuracy),
    _of(weighted_f1),
    (
        "Threshold",
        "chosen on dev alone, for each emotion and each metric. An emotion counts as present "
        "where its Likert score is above 0.",
        f"{PAPER}, sections 4.1 and 5",
    ),
    (
        "Best run",
        "of several random initialisations, the one with the highest mean of WA and F1 on dev. "
        "The line below it gives mean and standard deviation over all of them, on test.",
        f"{PAPER}, section 5",
    ),
    INTERVAL,
)
RANKING: tuple[Definition, ...] = (
    _of(average_precision),
    _of(roc_auc),
    _of(positive_f1),
    _of(accuracy),
    INTERVAL,
)
SENTIMENT = (
    *((one["name"], f"{one['definition']}.", one["source"]) for one in OF_SENTIMENT.values()),
    INTERVAL,
)
