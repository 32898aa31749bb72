"""What a run is trained for: the sentiment of CMU-MOSEI, a number in [-3, 3] for each segment.

Source: Tsai et al. 2019, the paper's [18], whose code minimises the mean absolute difference
(``L1Loss``), which is also the first of the scores (``model.sentiment_metrics``).
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.data import Batch, Loader
from model.sentiment_metrics import sentiment_scores
from model.tasks import outputs_on_dev
from model.world import World


@dataclass
class SentimentTask:
    """One number a segment. The best epoch is that of the lowest error on dev."""

    dev: Loader
    world: World = field(default_factory=World)

    weights = {"sentiment": 1.0}

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"sentiment": len(batch)}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"sentiment": F.l1_loss(model(batch), batch.labels)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """dev_loss, which is the mean absolute error, and dev_correlation (Pearson's)."""
        _, outputs, labels = outputs_on_dev(model, self.dev, self.world, device)
        scores = sentiment_scores(outputs[:, 0].numpy(), labels[:, 0].numpy())
        return {"dev_loss": scores["mae"], "dev_correlation": scores["correlation"]}

    def score(self, line: dict[str, Any]) -> float:
        return -line["dev_loss"]
