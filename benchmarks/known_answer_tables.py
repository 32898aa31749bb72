"""The known answer as Markdown: the ablations in order, and what pretraining gains with few labels.

Two kinds of chance are told apart, each with 95% intervals. Over runs: Student's, for the mean over
random initialisations, or over choices of the labels. Over test: the bootstrap over its segments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from model.bootstrap import interval, paired_p_value

ORDER = ("A", "A+V", "A+T", "A+V+T")  # of the paper's Table 3, worst first
SCORES = {"wa": "WA", "f1": "F1", "average_precision": "AP", "roc_auc": "AUC"}
Interval = tuple[float, float, float]  # a figure and the ends of its interval


@dataclass(frozen=True)
class Evaluated:
    """A run's evaluation, and its best run's averages on each resample of test, by score (R,)."""

    record: Mapping[str, Any]
    drawn: Mapping[str, np.ndarray]


def read_run(run: Path) -> Evaluated:
    """What ``trimodal evaluate`` left in the run's folder."""
    from pipelines.compare import answers_of, evaluation, resampled
    from pipelines.initialisation import SCORING

    record, answers = evaluation(run, "A+V+T"), answers_of(run, "A+V+T")
    answers = answers.in_order_of(sorted(answers.ids))  # so that all runs' resamples are paired
    values = resampled(SCORING["emotion"], record["test"]["A+V+T"], answers)
    drawn = {}
    for name in SCORES:
        is_defined = ~np.isnan(values[name][0])
        drawn[name] = values[name][1:, is_defined].mean(axis=1)
    return Evaluated(record, drawn)


def answer(runs: Mapping[str, Evaluated]) -> str:
    """Both tables with their verdicts, of the runs that ``benchmarks.known_answer`` names."""
    lines = ["## Ablation: is A < A+V < A+T < A+V+T?", ""]
    for name in ("scratch", "embeddings"):
        lines += ablation(name, runs[name])
    lines += ["## 10% of the labels: does pretraining beat a start from scratch?", ""]
    scratch, embeddings = (
        [run for name, run in runs.items() if name.startswith(f"{model}-few-")]
        for model in ("scratch", "embeddings")
    )
    return "\n".join(lines + gain(scratch, embeddings)) + "\n"


def ablation(name: str, run: Evaluated) -> list[str]:
    """Of one kind of model: mean over runs, and the best run, in each condition."""
    n_runs = len(run.record["runs"])
    lines = [
        f"**{name}**, {n_runs} runs: mean with its interval over runs; best run with its interval "
        "over test.",
        "",
        f"| | {' | '.join(ORDER)} | in order? |",
        f"|---|{'---|' * (len(ORDER) + 1)}",
    ]
    for score, title in SCORES.items():
        means = [over_runs([run], condition, score) for condition in ORDER]
        best = [_best(run, condition, score) for condition in ORDER]
        lines += [_row(f"{title}, mean", means), _row(f"{title}, best run", best)]
    return [*lines, ""]


def gain(scratch: Sequence[Evaluated], embeddings: Sequence[Evaluated]) -> list[str]:
    """Pretrained against from scratch: each pair of runs has the same labels, no other pair has."""
    lines = [
        f"{len(scratch)} choices of the labels, one run each of either kind; means over them.",
        "",
        "| | interval over | scratch | pretrained | apart? | gain | p |",
        "|---|---|---|---|---|---|---|",
    ]
    for score, title in SCORES.items():
        by_runs = [over_runs(group, "A+V+T", score) for group in (scratch, embeddings)]
        lines.append(f"| {title} | labels | {_pair(*by_runs)} | | |")
        drawn = [np.mean([run.drawn[score] for run in group], axis=0)
                 for group in (scratch, embeddings)]  # fmt: skip
        by_test = [
            _with_ends(mean, values) for (mean, _, _), values in zip(by_runs, drawn, strict=True)
        ]
        difference = _with_ends(by_runs[1][0] - by_runs[0][0], drawn[1] - drawn[0])
        p_value = paired_p_value(drawn[1], drawn[0])
        lines.append(
            f"| {title} | test | {_pair(*by_test)} | {_text(difference)} | {p_value:.4f} |"
        )
    return [*lines, ""]


def over_runs(runs: Sequence[Evaluated], condition: str, score: str) -> Interval:
    """Mean on test over all initialisations, and the ends of its 95% interval (Student's t)."""
    from scipy.stats import t

    each = [one for run in runs for one in run.record["runs"]]
    values = np.array([_of_run(one, condition)[score] for one in each])
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    half = t.ppf(0.975, max(1, len(values) - 1)) * error
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def _of_run(one: Mapping[str, Any], condition: str) -> Mapping[str, float]:
    return one["test"] if condition == "A+V+T" else one["ablation"][condition]


def _best(run: Evaluated, condition: str, score: str) -> Interval:
    average = run.record["test"][condition]["average"]
    low, high = average[f"{score}_ci"]
    return average[score], low, high


def _with_ends(figure: float, drawn: np.ndarray) -> Interval:
    low, high = interval(drawn) or (np.nan, np.nan)
    return figure, low, high


def _row(title: str, values: Sequence[Interval]) -> str:
    is_ordered = all(a[0] < b[0] for a, b in pairwise(values))
    cells = [_text(value) for value in values]
    return f"| {title} | {' | '.join(cells)} | {'yes' if is_ordered else 'no'} |"


def _pair(scratch: Interval, embeddings: Interval) -> str:
    is_apart = embeddings[1] > scratch[2]
    verdict = "yes" if is_apart else "reversed" if embeddings[2] < scratch[1] else "no"
    return f"{_text(scratch)} | {_text(embeddings)} | {verdict}"


def _text(value: Interval) -> str:
    mean, low, high = (100 * number for number in value)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
