"""One initialisation of a fine-tuned model, run on dev and test with and without modalities.

All are scored with a weight of 0 on each set of modalities, at inference only (the paper's section
5.3). On which dev scores the thresholds of these ablations were chosen the paper does not say;
here they are chosen under the same ablation: silencing a modality shifts all scores, and old
thresholds would measure that shift rather than what the other modalities tell.

Audio of weight 0 is still what the cross-modal transformers are asked with: "V", "T" and "V+T",
which the paper leaves out, say what the sum holds without the audio's own stream, not what a model
makes of silence. Of late fusion weight 0 drops a modality altogether.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ModalityWeights
from pipelines import emotion_scores, sentiment_scores

if TYPE_CHECKING:
    from torch import nn

    from model.predict import Predictions

ALL = "A+V+T"
# Which of audio, video, text keep their weight.
ABLATIONS = {
    ALL: (1, 1, 1), "A": (1, 0, 0), "A+V": (1, 1, 0), "A+T": (1, 0, 1),
    "V": (0, 1, 0), "T": (0, 0, 1), "V+T": (0, 1, 1),
}  # fmt: skip
# A module a task, each with the same functions: thresholds, figures, intervals, rank.
SCORING: dict[str, Any] = {"emotion": emotion_scores, "sentiment": sentiment_scores}


@dataclass(frozen=True)
class Outcome:
    """One model under one ablation: scores on dev and test, and the thresholds dev chose."""

    dev: Predictions
    test: Predictions
    thresholds: Any


@dataclass(frozen=True)
class Initialisation:
    """What one seed reaches on dev and on test, by name, and by ablation."""

    seed: int
    dev: dict[str, float | None]
    test: dict[str, dict[str, Any]]  # as ``figures`` of a task's module gives it
    weights: ModalityWeights | None
    outcomes: dict[str, Outcome] = field(default_factory=dict, repr=False)

    def described(self) -> dict[str, Any]:
        """As the record holds it; ``ablation`` has the averages without some modality."""
        ablation = {name: of["average"] for name, of in self.test.items() if name != ALL}
        return {
            "seed": self.seed, "dev": self.dev, "test": self.test[ALL]["average"],
            "per_emotion": self.test[ALL].get("per_emotion"), "ablation": ablation,
            "modality_weights": self.weights,
        }  # fmt: skip


def run_initialisation(
    seed: int, folder: Path, features: Path, kind: str, task: str, device: str
) -> Initialisation:
    """Scores the finished run of a seed on dev and test, thresholds from dev alone."""
    from model.build import load_model
    from model.predict import predict

    model, scoring = load_model(folder, device), SCORING[task]
    outcomes = {}
    for condition, weights in conditions(model, kind).items():
        dev, test = (
            predict(model, features, fold, task=task, modality_weights=weights, device=device)
            for fold in ("dev", "test")
        )
        outcomes[condition] = Outcome(dev, test, scoring.choose_thresholds(dev))
    dev_figures = scoring.figures(outcomes[ALL].dev, outcomes[ALL].thresholds)
    on_test = {c: scoring.figures(of.test, of.thresholds) for c, of in outcomes.items()}
    own_weights: Any = model.modality_weights if kind == "crossmodal" else None
    return Initialisation(seed, dev_figures["average"], on_test, own_weights, outcomes)


def conditions(model: nn.Module, kind: str) -> dict[str, ModalityWeights | None]:
    """Each ablation's weights; None leaves the model's own. Without those that leave nothing."""
    own: Any = model.modality_weights if kind == "crossmodal" else (1.0, 1.0, 1.0)
    found: dict[str, ModalityWeights | None] = {ALL: None}
    for name, kept in ABLATIONS.items():
        audio, video, text = (float(w) * is_kept for w, is_kept in zip(own, kept, strict=True))
        if name != ALL and audio + video + text > 0:
            found[name] = (audio, video, text)
    return found
