"""Stage ``finetune``: emotion models on a workspace's features, one run a seed.

Reads WORK/features and, with ``init``, a pretraining run; writes RUN/seed-00, RUN/seed-01 ...
(see ``model.checkpoint``), and RUN/run.json when all of them are finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import UsageError
from model.config import EMOTIONS, ModelConfig, TrainConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from model.data import Rows
    from model.store import FeatureStore, Statistics
    from model.world import World

Progress = Callable[[int, int, dict[str, Any]], None]


def finetune(
    work: Path,
    run: Path,
    *,
    kind: str = "crossmodal",
    init: Path | None = None,
    seeds: Sequence[int],
    model: ModelConfig,
    train: TrainConfig,
    redo: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains one emotion model a seed, each in RUN/seed-NN; finished ones are left alone.

    ``kind`` is "crossmodal" or "late-fusion"; ``init`` a finished pretraining run to start from.
    ``progress`` is described at ``model.train.fit``; its lines also hold "seed". Returns a
    summary: "status" ("made", or "unchanged" when all were finished), "run", "n_train", "n_dev",
    "n_left_out" and "runs": for each seed its "status" and "best", the line of its best epoch.

    Raises:
        TrainError: features are missing or incomplete, a fold is empty, a loss is not finite.
        StaleError: a run was made with other settings and ``redo`` is False.
        UsageError: ``init`` is no finished pretraining run, or its encoder differs; no seeds.
        StoppedError: it was asked to stop, and has saved where it stands.
    """
    from model.world import choose_device, open_world

    _check_request(kind, init, seeds)
    chosen_device = choose_device(device)
    with open_world(chosen_device) as world:
        place = _Place(chosen_device, world)
        return _finetune(work, run, kind, init, seeds, model, train, redo, place, progress)


@dataclass(frozen=True)
class _Place:
    """Where a process of the training runs, and with whom."""

    device: torch.device
    world: World


def _finetune(
    work: Path,
    run: Path,
    kind: str,
    init: Path | None,
    seeds: Sequence[int],
    model: ModelConfig,
    train: TrainConfig,
    redo: bool,
    place: _Place,
    progress: Progress | None,
) -> dict[str, Any]:
    """What each of the processes does."""
    from model import checkpoint
    from model.data import labelled_fold
    from model.store import FeatureStore

    world = place.world
    with world.together():
        store = FeatureStore(
            work / "features", n_stacked_frames=model.n_stacked_frames, cmvn=model.cmvn
        )
        train_set, dev_set = (labelled_fold(store, fold) for fold in ("train", "dev"))
        init_fingerprint = _pretraining_fingerprint(init, config_of=(model, store))
    inputs = _Inputs(store, train_set, dev_set)
    config = {
        "kind": kind,
        "model": model.described(),
        "dims": asdict(store.dims),
        "n_speakers": None,
        "speakers": None,
        "emotions": EMOTIONS,
        "features": str(store.folder.resolve()),
        "features_fingerprint": store.fingerprint,
        "fold_sizes": {"train": len(train_set), "dev": len(dev_set)},
        "init": str(init.resolve()) if init else None,
        "init_fingerprint": init_fingerprint,
    }
    described = {"kind": kind, "init": config["init"], "seeds": list(seeds)}
    described["work"] = str(work.resolve())
    world.first(lambda: checkpoint.write_json(run / "run.json", described))
    runs = {}
    for seed in seeds:
        folder = run / f"seed-{seed:02d}"
        settings = replace(train, seed=seed)
        seeded = {**config, "seed": seed, "train": asdict(settings)}
        if world.first(partial(checkpoint.begin_run, folder, seeded, redo=redo)):
            best = checkpoint.read_json(folder / checkpoint.DONE)["best"]
            runs[seed] = {"status": "unchanged", "best": best}
            continue
        for scored in ("evaluation.json", "predictions.npz"):  # of what is made anew now
            (run / scored).unlink(missing_ok=True)
        with world.together():
            network = _network(kind, init, seed, model, inputs)
        shown = _with_seed(progress, seed)
        best = _train_seed(folder, network, inputs, model, settings, place, shown)
        runs[seed] = {"status": "made", "best": best}
    is_old = all(one["status"] == "unchanged" for one in runs.values())
    return {
        "status": "unchanged" if is_old else "made",
        "run": str(run),
        "n_train": len(train_set),
        "n_dev": len(dev_set),
        "n_left_out": store.n_left_out,
        "runs": runs,
    }


@dataclass
class _Inputs:
    """The two folds, and what is computed once for all seeds."""

    store: FeatureStore
    train_set: Rows
    dev_set: Rows

    @cached_property
    def statistics(self) -> Statistics:
        from model.store import feature_statistics

        return feature_statistics(self.store, self.train_set)

    @cached_property
    def positive_weight(self) -> Tensor:
        from model.tasks import positive_weights

        return positive_weights(self.store.emotions[self.train_set])


def _network(
    kind: str, init: Path | None, seed: int, model: ModelConfig, inputs: _Inputs
) -> nn.Module:
    """A model initialised from the seed; from ``init`` it takes its input statistics as well."""
    import torch

    from model.build import build_emotion, initialise_from

    torch.manual_seed(seed)
    network = build_emotion(kind, model, inputs.store.dims)
    if init:
        initialise_from(network, init)
    else:
        network.set_statistics(inputs.statistics)
    return network


def _train_seed(
    folder: Path,
    network: nn.Module,
    inputs: _Inputs,
    model: ModelConfig,
    train: TrainConfig,
    place: _Place,
    progress: Progress | None,
) -> dict[str, Any]:
    from model.data import Loader
    from model.tasks import EmotionTask
    from model.train import fit

    train_loader, dev_loader = (
        Loader(
            inputs.store,
            part,
            train.frames_per_batch,
            speakers={},
            rank=place.world.rank,
            world_size=place.world.size,
            batches_per_step=train.batches_per_step,
            pins=place.device.type == "cuda",
        )
        for part in (inputs.train_set, inputs.dev_set)
    )
    task = EmotionTask(dev_loader, inputs.positive_weight, place.world)
    return fit(
        folder,
        network,
        task,
        train_loader,
        train,
        d_model=model.d_model,
        device=place.device,
        world=place.world,
        progress=progress,
    )


def _check_request(kind: str, init: Path | None, seeds: Sequence[int]) -> None:
    if kind not in ("crossmodal", "late-fusion"):
        raise UsageError(f'model kind {kind!r}: choose "crossmodal" or "late-fusion"')
    if kind == "late-fusion" and init:
        raise UsageError("late fusion has no encoder to initialise; leave out --init")
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds {list(seeds)}: give one or more different ones, 0 or above")


def _pretraining_fingerprint(
    init: Path | None, config_of: tuple[ModelConfig, FeatureStore]
) -> str | None:
    """Fingerprint of the pretraining run, once its encoder is known to fit; None without one."""
    from model import checkpoint

    if init is None:
        return None
    if not (init / checkpoint.DONE).is_file():
        raise UsageError(f"{init}: no finished pretraining run; run `trimodal pretrain` first")
    stored = checkpoint.read_json(init / checkpoint.CONFIG)
    if stored.get("kind") != "multitask":
        raise UsageError(f"{init}: a {stored.get('kind')} run; --init takes a pretraining run")
    model, store = config_of
    pairs = {
        "model": (ModelConfig.from_dict(stored["model"]).encoder_settings, model.encoder_settings),
        "dims": (stored["dims"], asdict(store.dims)),
    }
    for section, (pretraining, now) in pairs.items():
        for key, value in now.items():
            then = pretraining.get(key)
            if then != value:
                raise UsageError(
                    f"{init}: {section}.{key} is {then} in the pretraining and {value} now; "
                    "both have to be the same for --init"
                )
    return checkpoint.read_json(init / checkpoint.DONE)["fingerprint"]


def _with_seed(progress: Progress | None, seed: int) -> Progress | None:
    if progress is None:
        return None
    return lambda epoch, n_epochs, line: progress(epoch, n_epochs, {**line, "seed": seed})
