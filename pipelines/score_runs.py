"""Runs fine-tuned models on dev and test by the protocol of the paper's section 5.

Dev alone decides: the threshold of each emotion and metric, and which of the random
initialisations is the best (mean of WA and F1). The cross-modal model that is best is scored again
with video, text or both at weight 0, at inference only (section 5.3). On which dev scores the
thresholds of these ablations were chosen the paper does not say; here they are chosen under the
same ablation: silencing a modality shifts all scores, and old thresholds would measure that shift
rather than what the other modalities tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bootstrap import resamples
from model.config import EMOTIONS
from pipelines.emotion_scores import Thresholds, averages, choose_thresholds, score, spread

if TYPE_CHECKING:
    from torch import nn

    from model.predict import Predictions

ALL = "A+V+T"
# Which of audio, video, text keep their weight. Audio carries the attention and always stays.
ABLATIONS = {ALL: (1, 1, 1), "A": (1, 0, 0), "A+V": (1, 1, 0), "A+T": (1, 0, 1)}
BOOTSTRAP_SEED = 0

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Initialisation:
    """What one seed reaches on dev and on test, with thresholds from dev."""

    seed: int
    dev: dict[str, float | None]
    test: dict[str, float | None]

    @property
    def rank(self) -> tuple[float, int]:
        """Orders by dev's mean of WA and F1; the lower seed wins a tie."""
        defined = [value for value in self.dev.values() if value is not None]
        return (sum(defined) / len(defined) if defined else -1.0, -self.seed)


def score_runs(
    features: Path,
    folders: Mapping[int, Path],
    kind: str,
    n_bootstrap: int,
    device: str,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluation as plain data, and the best run's scores and decisions on test.

    Args: ``folders`` seed -> finished run. Arrays: ids (n,), labels and "wa", "f1" (n, 6) bool,
    scores (n, 6) float32.
    """
    conditions = list(ABLATIONS) if kind == "crossmodal" else [ALL]
    tell = _teller(len(folders) + len(conditions), progress)
    runs = []
    for seed, folder in folders.items():
        tell(f"seed {seed}")
        runs.append(_initialisation(seed, folder, features, device))
    best = max(runs, key=lambda run: run.rank)
    model = _load(folders[best.seed], device)
    test, arrays = {}, {}
    for condition in conditions:
        tell(f"test with {condition}")
        thresholds, scored = _predict_both(model, features, condition, device)
        times = resamples(len(scored.ids), n_bootstrap, BOOTSTRAP_SEED)
        test[condition] = score(scored, thresholds, times)
        if condition == ALL:
            arrays = _arrays(scored, thresholds)
    tell("done")
    record = {
        "n_bootstrap": n_bootstrap,
        "emotions": list(EMOTIONS),
        "seeds": list(folders),
        "best_seed": best.seed,
        "dev": best.dev,
        "test": test,
        "runs": [{"seed": run.seed, "dev": run.dev, "test": run.test} for run in runs],
        "over_runs": _over(runs),
    }
    return record, arrays


def _initialisation(seed: int, folder: Path, features: Path, device: str) -> Initialisation:
    model = _load(folder, device)
    dev = _predict(model, features, "dev", ALL, device)
    thresholds = choose_thresholds(dev)
    test = _predict(model, features, "test", ALL, device)
    return Initialisation(seed, averages(dev, thresholds), averages(test, thresholds))


def _predict_both(
    model: nn.Module, features: Path, condition: str, device: str
) -> tuple[Thresholds, Predictions]:
    """Thresholds chosen on dev, and the scores on test, under one ablation."""
    thresholds = choose_thresholds(_predict(model, features, "dev", condition, device))
    return thresholds, _predict(model, features, "test", condition, device)


def _predict(
    model: nn.Module, features: Path, fold: str, condition: str, device: str
) -> Predictions:
    from model.predict import predict

    weights = None
    if condition != ALL:
        audio, video, text = model.modality_weights  # type: ignore[misc]
        _, keeps_video, keeps_text = ABLATIONS[condition]
        weights = (float(audio), float(video) * keeps_video, float(text) * keeps_text)
    return predict(model, features, fold, modality_weights=weights, device=device)


def _load(folder: Path, device: str) -> nn.Module:
    from model.build import load_model

    return load_model(folder, device)


def _over(runs: list[Initialisation]) -> dict[str, Any]:
    """Mean and standard deviation over the initialisations, on test."""
    over: dict[str, Any] = {"n": len(runs)}
    for name in ("wa", "f1"):
        over[f"{name}_mean"], over[f"{name}_std"] = spread([run.test[name] for run in runs])
    if len(runs) == 1:
        over["undefined"] = "one run has no spread"
    return over


def _arrays(test: Predictions, thresholds: Thresholds) -> dict[str, Any]:
    """What was predicted for each segment, so that two systems can be compared pairwise."""
    decided = {name: thresholds.decide(test, name) for name in thresholds.of}
    return {"ids": np.array(test.ids), "labels": test.labels, "scores": test.scores, **decided}


def _teller(n_steps: int, progress: Progress | None) -> Callable[[str], None]:
    n_done = iter(range(n_steps + 1))

    def tell(what: str) -> None:
        if progress:
            progress(next(n_done), n_steps, what)

    return tell
