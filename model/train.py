"""The training loop, shared by pretraining and fine-tuning, and prediction with a trained model.

What differs between the two is a ``Task``: the loss of a batch and the scores on dev. A run that
was stopped at any instant goes on from its last checkpoint (one an epoch and, in longer epochs, one
every ten minutes) with the same batches and random numbers; on the CPU in float32 it ends with the
same weights, bit for bit, as an unbroken one.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from featurize.atomic import write_text
from featurize.errors import TrainError, UsageError
from model import checkpoint
from model.config import MODALITIES, InputDims, TrainConfig
from model.data import Batch, Loader, labelled_fold
from model.encoder import StandardisedInputs
from model.schedule import inverse_square_root
from model.store import FeatureStore, audio_frame_width
from model.tasks import Predictions, predict_batches

PROGRESS_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 600.0
PREDICT_FRAMES_PER_BATCH = 4000

Line = dict[str, Any]
Progress = Callable[[int, int, Line], None]


class Task(Protocol):
    """What a run is trained for."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, a scalar, and its parts by name, for the log."""

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float | None]:
        """Scores on dev, each named ``dev_...``, among them ``dev_loss``."""

    def score(self, line: Line) -> float:
        """How good an epoch was, from its log line; higher is better."""


@dataclass
class State:
    """Where a run stands: all of it is stored in the checkpoint beside weights and optimiser."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    lines: list[Line] = field(default_factory=list)
    # Of the epoch under way, not counted in ``epoch`` yet:
    n_batches: int = 0
    n_seen: int = 0
    sums: dict[str, float] = field(default_factory=dict)


def fit(
    run: Path,
    model: nn.Module,
    task: Task,
    loader: Loader,
    config: TrainConfig,
    *,
    d_model: int,
    device: torch.device,
    progress: Progress | None = None,
) -> Line:
    """Trains ``model`` in the run folder, going on from its checkpoint; returns the best epoch.

    ``checkpoint.begin_run`` has readied the folder; ``done.json`` is written at the end. Stops
    after ``config.max_epochs``, or ``config.patience`` epochs without a better score.
    ``progress(epoch, n_epochs, line)`` is called with the log line of each finished epoch, and
    every second in between with a line that has ``"partial": True`` and no dev scores.

    Raises:
        TrainError: a loss or gradient is not finite (names the utterances of the batch), or the
            checkpoint is damaged.
    """
    model.to(device)
    betas = (config.adam_beta1, config.adam_beta2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0, betas=betas, eps=config.adam_eps)
    state = _resume(run, model, optimiser)
    while state.epoch < config.max_epochs and not _has_stalled(state, config):
        trainer = _Epoch(
            run, model, task, loader, config, optimiser, state, d_model, device, progress
        )
        line = trainer.run()
        model.eval()
        with _autocast(device, config):
            line |= task.evaluate(model, device)
        if not math.isfinite(line["dev_loss"]):
            raise TrainError(f"epoch {state.epoch}: the loss on dev is not finite; {_ADVICE}")
        _keep(run, model, optimiser, state, line, task.score(line))
        if progress:
            progress(state.epoch, config.max_epochs, line)
    best = state.lines[state.best_epoch - 1]
    settings = checkpoint.read_json(run / checkpoint.CONFIG)
    done = {"fingerprint": checkpoint.fingerprint(settings), "n_epochs": state.epoch}
    checkpoint.write_json(
        run / checkpoint.DONE, {**done, "best_epoch": state.best_epoch, "best": best}
    )
    return best


def predict(
    model: nn.Module,
    features_dir: Path,
    fold: str,
    *,
    modality_weights: tuple[float, float, float] | None = None,
    device: torch.device | str = "cpu",
) -> Predictions:
    """Emotion scores of every labelled utterance of a fold, in the order of the shards.

    ``modality_weights`` (audio, video, text) replace the model's own: 0 ablates a modality.

    Raises:
        TrainError: no labelled utterance in the fold, or no features. ShardError: damaged shards.
    """
    inputs = _inputs(model)
    dims = InputDims(*(inputs[modality].mean.numel() for modality in MODALITIES))
    n_stacked_frames = max(1, dims.audio // audio_frame_width(features_dir))
    store = FeatureStore(features_dir, n_stacked_frames=n_stacked_frames, cmvn=inputs.cmvn)
    if store.dims != dims:
        raise TrainError(f"{features_dir}: features are {store.dims}, the model takes {dims}")
    rows = labelled_fold(store, fold)
    loader = Loader(store, rows, PREDICT_FRAMES_PER_BATCH, speakers={})
    model.to(device).eval()
    _, predictions = predict_batches(model, loader.in_order(), device, modality_weights)
    return predictions.in_order_of([store.id(row) for row in rows])


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one. Raises UsageError for a GPU that is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {name!r}: must be auto, cpu or cuda")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise UsageError("device cuda: PyTorch sees no GPU here; use auto or cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


@dataclass
class _Epoch:
    """One pass over the training utterances, or the rest of one."""

    folder: Path
    model: nn.Module
    task: Task
    loader: Loader
    config: TrainConfig
    optimiser: torch.optim.Optimizer
    state: State
    d_model: int
    device: torch.device
    progress: Progress | None

    def run(self) -> Line:
        """Trains one epoch and returns its log line, without the dev scores."""
        self.epoch = self.state.epoch + 1
        self.n_seen_before = self.state.n_seen
        self.model.train()
        self.started_s = shown_s = kept_s = time.perf_counter()
        for batch in self.loader.shuffled(self.config.seed, self.epoch, self.state.n_batches):
            self.step(batch)
            now_s = time.perf_counter()
            if self.progress and now_s - shown_s > PROGRESS_EVERY_S:
                shown_s = now_s
                partial = self.line() | {"partial": True}
                self.progress(self.epoch, self.config.max_epochs, partial)
            if now_s - kept_s > CHECKPOINT_EVERY_S:
                kept_s = now_s
                _save(self.folder, self.model, self.optimiser, self.state)
        line = self.line()
        self.state.epoch = self.epoch
        self.state.n_batches = self.state.n_seen = 0
        self.state.sums = {}
        return line

    def step(self, batch: Batch) -> None:
        """One update of the weights."""
        self.state.step += 1
        rate = inverse_square_root(
            self.state.step,
            d_model=self.d_model,
            warmup_steps=self.config.warmup_steps,
            scale=self.config.lr_scale,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with _autocast(self.device, self.config):
            loss, parts = self.task.loss(self.model, batch.to(self.device))
        value = float(loss.detach())
        self._check_finite(value, "loss", batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self._check_finite(float(norm), "gradient", batch)
        self.optimiser.step()
        self.state.n_batches += 1
        self.state.n_seen += len(batch)
        sums = self.state.sums
        for name, part in {"loss": loss.detach(), **parts}.items():
            key = f"train_{name}"
            sums[key] = sums.get(key, 0.0) + float(part) * len(batch)

    def line(self) -> Line:
        """The epoch so far, as a line of the log."""
        seconds = time.perf_counter() - self.started_s
        n_seen = self.state.n_seen
        return {
            "epoch": self.epoch,
            "step": self.state.step,
            **{name: total / n_seen for name, total in self.state.sums.items()},
            "lr": self.optimiser.param_groups[0]["lr"],
            "seconds": seconds,
            "utterances_per_s": (n_seen - self.n_seen_before) / seconds,
            "epoch_share": n_seen / len(self.loader.rows),
            "data_wait_share": self.loader.wait_s / seconds,
        }

    def _check_finite(self, value: float, what: str, batch: Batch) -> None:
        if not math.isfinite(value):
            raise TrainError(
                f"the {what} is not finite at step {self.state.step}, in the batch of "
                f"{', '.join(batch.ids)}; {_ADVICE}"
            )


_ADVICE = "look at these features, or lower lr_scale"


def _inputs(model: nn.Module) -> Any:
    return next(part for part in model.modules() if isinstance(part, StandardisedInputs))


def _autocast(device: torch.device, config: TrainConfig) -> AbstractContextManager:
    is_half = config.precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)


def _has_stalled(state: State, config: TrainConfig) -> bool:
    return state.epoch - state.best_epoch >= config.patience


def _keep(
    run: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: State,
    line: Line,
    score: float,
) -> None:
    """Writes what the epoch left, in an order that a kill at any instant cannot spoil.

    The best weights come before the checkpoint that calls them best; the log is made from the
    checkpoint, so it is the last.
    """
    if score > state.best_score:
        state.best_score, state.best_epoch = score, state.epoch
        checkpoint.save_weights(run / checkpoint.BEST, model)
    state.lines.append(line)
    _save(run, model, optimiser, state)
    _write_log(run, state)


def _save(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: State) -> None:
    device = next(model.parameters()).device
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    everything = {
        "state": asdict(state),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rng": {"cpu": torch.get_rng_state(), "cuda": on_gpu},
    }
    checkpoint.save_checkpoint(run / checkpoint.CHECKPOINT, everything)


def _resume(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> State:
    path = run / checkpoint.CHECKPOINT
    if not path.is_file():
        return State()
    stored = checkpoint.load_checkpoint(path)
    model.load_state_dict(stored["model"])
    optimiser.load_state_dict(stored["optimiser"])
    torch.set_rng_state(stored["rng"]["cpu"])
    device = next(model.parameters()).device
    if device.type == "cuda" and stored["rng"]["cuda"] is not None:
        torch.cuda.set_rng_state(stored["rng"]["cuda"], device)
    state = State(**stored["state"])
    _write_log(run, state)
    return state


def _write_log(run: Path, state: State) -> None:
    lines = "".join(json.dumps(line, sort_keys=True) + "\n" for line in state.lines)
    write_text(run / checkpoint.LOG, lines)
