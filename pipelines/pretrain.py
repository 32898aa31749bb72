"""Stage ``pretrain``: the multitask model (characters and speaker) on a workspace's features.

Reads WORK/features, writes RUN (see ``model.checkpoint`` for what a run holds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ALPHABET, ModelConfig, TrainConfig

if TYPE_CHECKING:
    import torch

    from model.world import World

Progress = Callable[[int, int, dict[str, Any]], None]

N_DECODED = 32  # utterances that are spelt out each epoch for the character error rate


def pretrain(
    work: Path,
    run: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    unseen: float = 0.0,
    redo: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains the multitask model, or goes on where a stopped run left off.

    Dev is a share of the utterances, of speakers that training knows. With ``unseen`` that share
    of the speakers is held out whole; then the character error rate is theirs, and all other
    scores are those of dev.

    ``progress`` is described at ``model.train.fit``; ``tell`` gets text for the screen: how many
    parameters there are, by part. Returns a summary: "status" ("made" or "unchanged"), "run",
    "n_train", "n_dev", "n_unseen" (utterances), "n_speakers", "n_left_out" and "best", the log
    line of the best epoch.

    Raises:
        TrainError: features are missing, incomplete or too few, or a loss is not finite.
        StaleError: ``run`` was made with other settings and ``redo`` is False.
        UsageError: a device that is not there.
        StoppedError: it was asked to stop, and has saved where it stands.
    """
    from model.world import choose_device, open_world

    chosen_device = choose_device(device)
    with open_world(chosen_device) as world:
        return _pretrain(
            work, run, model, train, unseen, redo, chosen_device, world, progress, tell
        )


def _pretrain(
    work: Path,
    run: Path,
    model: ModelConfig,
    train: TrainConfig,
    unseen: float,
    redo: bool,
    device: torch.device,
    world: World,
    progress: Progress | None,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """What each of the processes does."""
    import torch

    from model import checkpoint
    from model.build import build_multitask
    from model.data import Loader, pretraining_sets, subset
    from model.store import FeatureStore, feature_statistics
    from model.tasks import MultitaskTask
    from model.train import fit
    from pipelines.model_card import CARD, finish_run, parameter_table

    begun = [] if redo else [run]
    precision = world.first(lambda: checkpoint.run_precision(begun, train.precision, device))
    train = replace(train, precision=precision)
    with world.together():
        store = FeatureStore(
            work / "features", n_stacked_frames=model.n_stacked_frames, cmvn=model.cmvn
        )
        train_set, dev_set, unseen_set, held_out = pretraining_sets(
            store, train.dev_fraction, unseen
        )
        train_set = subset(store.ids, train_set, train.train_fraction, train.fraction_seed)
    speakers = [name for name in store.speakers if name not in held_out]
    config = {
        "kind": "multitask",
        "model": model.described(),
        "train": asdict(train),
        "seed": train.seed,
        "dims": asdict(store.dims),
        "n_speakers": len(speakers),
        "speakers": speakers,
        "alphabet": ALPHABET,
        "features": str(store.folder.resolve()),
        "features_fingerprint": store.fingerprint,
        "fold_sizes": {"train": len(train_set), "dev": len(dev_set)},
        "init": None,
        **({"unseen_speakers": held_out} if held_out else {}),
    }
    summary = {
        "run": str(run),
        "n_train": len(train_set),
        "n_dev": len(dev_set),
        "n_unseen": len(unseen_set),
        "n_speakers": len(speakers),
        "n_left_out": store.n_left_out,
    }
    if world.first(lambda: checkpoint.begin_run(run, config, redo=redo)):
        world.first(lambda: finish_run(run))
        best = checkpoint.read_json(run / checkpoint.DONE)["best"]
        return {"status": "unchanged", **summary, "best": best}
    if world.is_first:
        (run / CARD).unlink(missing_ok=True)  # of what is made anew now
    torch.manual_seed(train.seed)
    network = build_multitask(model, store.dims, len(speakers))
    tell(parameter_table(network))
    with world.together():
        network.set_statistics(feature_statistics(store, train_set))
    numbers = {speaker: number for number, speaker in enumerate(speakers)}
    train_loader, dev_loader, decoded_loader = (
        Loader(
            store,
            part,
            train.frames_per_batch,
            numbers,
            rank=world.rank,
            world_size=world.size,
            batches_per_step=train.batches_per_step,
            pins=device.type == "cuda",
        )
        for part in (train_set, dev_set, (unseen_set if held_out else dev_set)[:N_DECODED])
    )
    best = fit(
        run,
        network,
        MultitaskTask(train, dev_loader, decoded_loader, world),
        train_loader,
        train,
        d_model=model.d_model,
        device=device,
        world=world,
        progress=progress,
    )
    world.first(lambda: finish_run(run))
    return {"status": "made", **summary, "best": best}
