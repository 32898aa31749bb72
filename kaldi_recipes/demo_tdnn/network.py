"""The TDNN in PyTorch, its training, and its weights as the affine layers Kaldi runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kaldi_recipes.demo_tdnn.corpus import N_MFCC, Example

SUBSAMPLING = 3  # one output in three frames, as libvosk's word times assume
# Frames a layer splices: all that Kaldi needs to know of the architecture.
SPLICES: tuple[tuple[int, ...], ...] = (
    (-2, -1, 0, 1, 2),
    (-1, 0, 1),
    (-3, 0, 3),
    (-3, 0, 3),
    (-3, 0, 3),
    (0,),
)
CONTEXT = sum(max(splice) for splice in SPLICES)
IGNORE = -100  # the target that nll_loss leaves out


@dataclass(frozen=True)
class TrainConfig:
    width: int = 208
    n_epochs: int = 7
    batch_windows: int = 32
    window_outputs: int = 64
    peak_learning_rate: float = 4e-3
    seed: int = 1


class Tdnn(nn.Module):
    """MFCC (B, T, 40) -> log posteriors (B, (T - 2 CONTEXT - 1) // 3 + 1, n_phones).

    From the second layer on only every third frame is computed, at which the splice (-3, 0, 3)
    is a convolution of three neighbours.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_phones: int, width: int) -> None:
        super().__init__()
        dims = [N_MFCC, *[width] * (len(SPLICES) - 1), n_phones]
        self.register_buffer("mean", torch.zeros(N_MFCC))
        self.register_buffer("std", torch.ones(N_MFCC))
        self.convolutions = [
            nn.Conv1d(dims[i], dims[i + 1], len(splice), stride=SUBSAMPLING if i == 1 else 1)
            for i, splice in enumerate(SPLICES)
        ]
        self.norms = [nn.BatchNorm1d(width, affine=False) for _ in SPLICES[:-1]]
        self.parts = nn.ModuleList([*self.convolutions, *self.norms])

    def forward(self, features: Tensor) -> Tensor:
        hidden = ((features - self.mean) / self.std).transpose(1, 2)
        for layer, norm in zip(self.convolutions, self.norms, strict=False):
            hidden = norm(torch.relu(layer(hidden)))
        return self.convolutions[-1](hidden).transpose(1, 2).log_softmax(-1)

    @torch.no_grad()
    def affines(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(matrix (out, n_splice * in), bias (out,)) per layer, normalisations folded in."""
        folded = []
        mean, scale = self.mean, 1 / self.std  # what the layer's input is normalised by
        for i, layer in enumerate(self.convolutions):
            weight = layer.weight  # (out, in, n_splice)
            bias = _bias(layer) - torch.einsum("ois,i->o", weight, mean * scale)
            matrix = (weight * scale[None, :, None]).transpose(1, 2).flatten(1)
            folded.append((matrix.numpy(), bias.numpy()))
            if i < len(self.norms):
                mean, scale = _mean_and_scale(self.norms[i])
        return folded


def _bias(layer: nn.Conv1d) -> Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias


def _mean_and_scale(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    return mean, 1 / torch.sqrt(variance + norm.eps)


def pad_edges(features: np.ndarray) -> np.ndarray:
    """CONTEXT copies of the first and last frame around (T, 40), as Kaldi does."""
    return np.pad(features, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")


def train(examples: Sequence[Example], n_phones: int, config: TrainConfig) -> Tdnn:
    """Frame-wise cross entropy with Adam on windows cut at random from the joined corpus."""
    torch.manual_seed(config.seed)
    features, targets = _joined(examples)
    model = Tdnn(n_phones, config.width)
    model.mean.copy_(features.mean(0))
    model.std.copy_(features.std(0))
    n_outputs = config.batch_windows * config.window_outputs
    n_steps = config.n_epochs * (len(features) // (SUBSAMPLING * n_outputs))
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.peak_learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.peak_learning_rate, total_steps=n_steps, pct_start=0.2
    )
    batches = _batches(features, targets, config)
    for step in range(1, n_steps + 1):
        windows, labels = next(batches)
        loss = nn.functional.nll_loss(model(windows).flatten(0, 1), labels.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == n_steps:
            print(f"step {step}/{n_steps}: cross entropy {loss.item():.3f}", flush=True)
    return model.eval()


def _joined(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """All features end to end, edges repeated, and their targets, IGNORE at the edges."""
    features = np.concatenate([pad_edges(example.features) for example in examples])
    targets = np.concatenate(
        [np.pad(example.targets, CONTEXT, constant_values=IGNORE) for example in examples]
    )
    return torch.from_numpy(features), torch.from_numpy(targets)


def _batches(
    features: Tensor, targets: Tensor, config: TrainConfig
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (windows (B, T, 40), labels (B, window_outputs)), drawn at random."""
    rng = np.random.default_rng(config.seed)
    outputs = CONTEXT + SUBSAMPLING * torch.arange(config.window_outputs)
    window = torch.arange(int(outputs[-1]) + CONTEXT + 1)
    while True:
        starts = rng.integers(0, len(features) - len(window), config.batch_windows)
        first = torch.from_numpy(starts)[:, None]
        yield features[first + window], targets[first + outputs]
