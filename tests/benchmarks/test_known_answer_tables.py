"""The known answer's tables from evaluations written by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks.known_answer_tables import (
    ORDER,
    SCORES,
    Evaluated,
    ablation,
    answer,
    gain,
    over_runs,
)


def evaluation(base: float, step: float = 0.05, seed: int = 0, n_runs: int = 10) -> Evaluated:
    """Runs about ``base`` with all modalities, a ``step`` worse with each condition before."""
    rng = np.random.default_rng(seed)
    levels = {c: base - step * (3 - k) for k, c in enumerate(ORDER)}

    def figures(level: float) -> dict:
        return {name: level for name in SCORES} | {f"{name}_ci": [0, 1] for name in SCORES}

    runs = []
    for _ in range(n_runs):
        noisy = {c: figures(level + rng.normal(0, 0.001)) for c, level in levels.items()}
        runs.append({"test": noisy.pop("A+V+T"), "ablation": noisy})
    record = {"runs": runs, "test": {c: {"average": figures(v)} for c, v in levels.items()}}
    return Evaluated(record, {name: base + rng.normal(0, 0.001, 200) for name in SCORES})


def test_interval_over_runs_is_student_s() -> None:
    one = evaluation(0.7)
    values = [run["test"]["wa"] for run in one.record["runs"]]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert over_runs([one], "A+V+T", "wa") == pytest.approx((np.mean(values), *expected))
    values += [run["test"]["wa"] for run in evaluation(0.6, seed=1).record["runs"]]
    two = over_runs([one, evaluation(0.6, seed=1)], "A+V+T", "wa")
    assert two == pytest.approx((np.mean(values), *ttest_1samp(values, 0).confidence_interval()))


def test_the_order_is_judged() -> None:
    said = "\n".join(ablation("scratch", evaluation(0.7)))
    assert said.count("| yes |") == 2 * len(SCORES) and "| no |" not in said
    said = "\n".join(ablation("scratch", evaluation(0.7, step=-0.05)))
    assert said.count("| no |") == 2 * len(SCORES)


def test_intervals_that_overlap_are_not_apart() -> None:
    worse, better = evaluation(0.6), evaluation(0.7, seed=1)
    assert "\n".join(gain([worse], [better])).count("| yes |") == 2 * len(SCORES)
    assert "\n".join(gain([better], [worse])).count("| reversed |") == 2 * len(SCORES)
    said = "\n".join(gain([worse], [evaluation(0.6, seed=1)]))
    assert said.count("| no |") == 2 * len(SCORES)
    same = "\n".join(gain([worse], [worse]))
    assert same.count("| 0.0 (0.0 to 0.0) | 1.0000 |") == len(SCORES)


def test_few_labels_are_told_by_the_run_s_name() -> None:
    runs = {"scratch": 0.7, "embeddings": 0.75, "scratch-few-0": 0.5, "scratch-few-1": 0.5}
    runs |= {"embeddings-few-0": 0.6, "embeddings-few-1": 0.6}
    said = answer({name: evaluation(base, seed=k) for k, (name, base) in enumerate(runs.items())})
    assert "2 choices of the labels" in said
    assert "| WA | labels | 50.0 (" in said and "| 60.0 (" in said
    assert "| 10.0 (" in said  # the gain
