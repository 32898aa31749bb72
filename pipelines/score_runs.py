"""Scores fine-tuned models by the protocol of the paper's section 5.

Dev alone decides: the threshold of each emotion and metric, and which of the random
initialisations is the best (mean of WA and F1; of sentiment, the mean absolute error). How they
are run, and run without some modality, is told in ``pipelines.initialisation``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.bootstrap import resamples
from model.config import EMOTIONS
from pipelines.emotion_scores import spread
from pipelines.initialisation import ALL, SCORING, Initialisation, Outcome, run_initialisation

BOOTSTRAP_SEED = 0

Progress = Callable[[int, int, str], None]


def score_runs(
    features: Path,
    folders: Mapping[int, Path],
    kind: str,
    task: str,
    n_bootstrap: int,
    device: str,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluation as plain data, and the best run's answers, as ``evaluate`` describes them.

    Args: ``folders`` seed -> finished run.
    """
    scoring = SCORING[task]
    tell = _teller(len(folders) + 1, progress)
    runs = []
    for seed, folder in folders.items():
        tell(f"seed {seed}")
        runs.append(run_initialisation(seed, folder, features, kind, task, device))
    tell("intervals")
    best = best_on_dev(runs, task)
    test = {}
    for condition, outcome in best.outcomes.items():
        times = resamples(len(outcome.test.ids), n_bootstrap, BOOTSTRAP_SEED)
        test[condition] = scoring.score(outcome.test, outcome.thresholds, times)
    record = {
        "n_bootstrap": n_bootstrap,
        "definitions": scoring.DEFINITIONS,
        "seeds": list(folders),
        "best_seed": best.seed,
        "dev": best.dev,
        "test": test,
        "runs": [run.described() for run in runs],
        "over_runs": over_runs(runs, scoring.NAMES),
    }
    if task == "emotion":
        record["emotions"] = list(EMOTIONS)
    tell("done")
    return record, _arrays(best.outcomes, scoring)


def best_on_dev(runs: Sequence[Initialisation], task: str) -> Initialisation:
    """The best by what it reaches on dev; the lower seed of equals."""
    return max(runs, key=lambda run: (SCORING[task].rank(run.dev), -run.seed))


def over_runs(runs: Sequence[Initialisation], names: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation over the initialisations, on test: "wa_mean", "wa_std" ...

    Of the averages with all modalities, and below "per_emotion" and "ablation" of the others.
    """
    over: dict[str, Any] = {"n": len(runs)}
    if len(runs) == 1:
        over["undefined"] = "one run has no spread"
    full = [run.test[ALL] for run in runs]
    over |= _spreads([of["average"] for of in full], names)
    over["ablation"] = {
        condition: _spreads([run.test[condition]["average"] for run in runs], names)
        for condition in runs[0].test
        if condition != ALL
    }
    over["per_emotion"] = {
        emotion: _spreads([of["per_emotion"][emotion] for of in full], names)
        for emotion in full[0].get("per_emotion", {})
    }
    return over


def _spreads(values: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        found[f"{name}_mean"], found[f"{name}_std"] = spread([one[name] for one in values])
    return found


def _arrays(outcomes: Mapping[str, Outcome], scoring: Any) -> dict[str, Any]:
    """What was answered for each segment: systems are compared pairwise, and curves drawn."""
    dev, test = outcomes[ALL].dev, outcomes[ALL].test
    kept = {"ids": np.array(test.ids), "labels": test.labels}
    kept |= {"dev_ids": np.array(dev.ids), "dev_labels": dev.labels, "dev_scores": dev.scores}
    for condition, outcome in outcomes.items():
        prefix = "" if condition == ALL else f"{condition}/"
        answers = scoring.arrays(outcome.test, outcome.thresholds)
        kept |= {f"{prefix}{name}": array for name, array in answers.items()}
    return kept


def _teller(n_steps: int, progress: Progress | None) -> Callable[[str], None]:
    n_done = iter(range(n_steps + 1))

    def tell(what: str) -> None:
        if progress:
            progress(next(n_done), n_steps, what)

    return tell
