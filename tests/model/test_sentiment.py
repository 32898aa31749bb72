"""The task of sentiment against the definitions of its loss and scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from featurize.errors import TrainError
from model.config import InputDims
from model.data import Batch
from model.sentiment import SentimentTask


class Listed(nn.Module):
    """Says of each utterance what a table says."""

    def __init__(self, said: dict[str, float]) -> None:
        super().__init__()
        self.said = nn.ParameterDict({k: torch.tensor(v) for k, v in said.items()})

    def forward(self, batch: Batch, modality_weights=None) -> torch.Tensor:
        return torch.stack([self.said[name] for name in batch.ids])[:, None]


class Batches:
    """A loader of batches that are there already."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def in_order(self):
        return iter(self.batches)


def batch_of(truths: dict[str, float], make_batch, in_float32) -> Batch:
    n = len(truths)
    batch = in_float32(make_batch(InputDims(3, 3, 3), [2] * n, [1] * n, [1] * n))
    labels = torch.tensor([[truth] for truth in truths.values()])
    return replace(batch, ids=tuple(truths), labels=labels)


TRUTHS = {"a": 1.0, "b": -2.0, "c": 0.0, "d": 3.0}
SAID = {"a": 0.5, "b": -1.0, "c": 0.25, "d": 3.5}


def test_the_loss_is_the_mean_absolute_difference(make_batch, in_float32) -> None:
    task = SentimentTask(Batches([]))
    batch = batch_of(TRUTHS, make_batch, in_float32)
    model = Listed(SAID)
    loss = task.losses(model, batch)["sentiment"]
    assert loss.item() == pytest.approx((0.5 + 1.0 + 0.25 + 0.5) / 4)
    loss.backward()  # the sign of the difference, over n
    assert model.said["b"].grad == pytest.approx(1 / 4)
    assert model.said["a"].grad == pytest.approx(-1 / 4)
    assert task.counts(batch) == {"sentiment": 4} and task.weights == {"sentiment": 1.0}


def test_scores_on_dev_are_those_of_all_batches(make_batch, in_float32) -> None:
    parts = [dict(list(TRUTHS.items())[:1]), dict(list(TRUTHS.items())[1:])]
    task = SentimentTask(Batches([batch_of(part, make_batch, in_float32) for part in parts]))
    line = task.evaluate(Listed(SAID), torch.device("cpu"))
    assert line["dev_loss"] == pytest.approx(2.25 / 4)
    expected = np.corrcoef(list(SAID.values()), list(TRUTHS.values()))[0, 1]
    assert line["dev_correlation"] == pytest.approx(expected)
    assert task.score(line) > task.score({"dev_loss": 0.6})


def test_what_is_not_finite_names_the_segment(make_batch, in_float32) -> None:
    task = SentimentTask(Batches([batch_of(TRUTHS, make_batch, in_float32)]))
    with pytest.raises(TrainError, match="not finite for c$"):
        task.evaluate(Listed({**SAID, "c": float("nan")}), torch.device("cpu"))
