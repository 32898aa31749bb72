"""The known answer as Markdown: the ablations in order, and what pretraining gains with few labels.

Two kinds of chance are told apart. Over runs: Student's interval for the mean over random
initialisations. Over test: the bootstrap over the best run's segments, as ``trimodal evaluate``.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

ORDER = ("A", "A+V", "A+T", "A+V+T")  # of the paper's Table 3, worst first
SCORES = {"wa": "WA", "f1": "F1", "average_precision": "AP", "roc_auc": "AUC"}
Evaluation = Mapping[str, Any]


def answer(evaluations: Mapping[str, Evaluation]) -> str:
    """Both tables with their verdicts, of the runs that ``benchmarks.known_answer`` names."""
    lines = ["## Ablation: is A < A+V < A+T < A+V+T?", ""]
    for name in ("scratch", "embeddings"):
        lines += ablation(name, evaluations[name])
    lines += ["## 10% of the labels: does pretraining beat a start from scratch?", ""]
    few: dict[str, list[Evaluation]] = {"scratch": [], "embeddings": []}
    for name, evaluation in evaluations.items():
        if "-few-" in name:
            few[name.split("-")[0]].append(evaluation)
    lines += gain(few["scratch"], few["embeddings"])
    return "\n".join(lines) + "\n"


def ablation(name: str, evaluation: Evaluation) -> list[str]:
    """Of one kind of model: mean over runs, and the best run, in each condition."""
    n_runs = len(evaluation["runs"])
    lines = [
        f"**{name}**, {n_runs} runs; mean and 95% interval over runs, below it the best run and "
        "95% over test:",
        "",
        f"| | {' | '.join(ORDER)} | in order? |",
        f"|---|{'---|' * (len(ORDER) + 1)}",
    ]
    for score, title in SCORES.items():
        means = [over_runs([evaluation], condition, score) for condition in ORDER]
        best = [_best(evaluation, condition, score) for condition in ORDER]
        lines.append(_row(title, means))
        lines.append(_row(f"{title}, best run", best))
    return [*lines, ""]


def gain(scratch: Sequence[Evaluation], embeddings: Sequence[Evaluation]) -> list[str]:
    """Pretrained against from scratch, over all runs and all choices of the labels."""
    n = sum(len(evaluation["runs"]) for evaluation in scratch)
    lines = [
        f"{n} runs each, {len(scratch)} choices of the labels; mean and 95% interval over runs:",
        "",
        "| | scratch | pretrained | apart? |",
        "|---|---|---|---|",
    ]
    for score, title in SCORES.items():
        ours, theirs = (over_runs(group, "A+V+T", score) for group in (embeddings, scratch))
        apart = "yes" if ours[1] > theirs[2] else "reversed" if ours[2] < theirs[1] else "no"
        lines.append(f"| {title} | {_text(theirs)} | {_text(ours)} | {apart} |")
    return [*lines, ""]


def over_runs(
    evaluations: Sequence[Evaluation], condition: str, score: str
) -> tuple[float, float, float]:
    """Mean on test over the runs, and the ends of its 95% interval (Student's t)."""
    from scipy.stats import t

    runs = [run for evaluation in evaluations for run in evaluation["runs"]]
    values = np.array([_of_run(run, condition)[score] for run in runs])
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    half = t.ppf(0.975, max(1, len(values) - 1)) * error
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def _of_run(run: Mapping[str, Any], condition: str) -> Mapping[str, float]:
    return run["test"] if condition == "A+V+T" else run["ablation"][condition]


def _best(evaluation: Evaluation, condition: str, score: str) -> tuple[float, float, float]:
    average = evaluation["test"][condition]["average"]
    low, high = average[f"{score}_ci"]
    return average[score], low, high


def _row(title: str, values: Sequence[tuple[float, float, float]]) -> str:
    is_ordered = all(a[0] < b[0] for a, b in pairwise(values))
    cells = [_text(value) for value in values]
    return f"| {title} | {' | '.join(cells)} | {'yes' if is_ordered else 'no'} |"


def _text(value: tuple[float, float, float]) -> str:
    mean, low, high = (100 * number for number in value)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
