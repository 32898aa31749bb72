"""Stage ``finetune``: models of emotions or sentiment on a workspace's features, one run a seed.

Reads WORK/features and, with ``init``, a pretraining run; writes RUN/seed-00, RUN/seed-01 ...
(see ``model.checkpoint`` for what one holds; ``pipelines.finetune_seed`` trains it) and
RUN/run.json, which says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import UsageError
from model.config import TASKS, ModelConfig, TrainConfig

if TYPE_CHECKING:
    from model.store import FeatureStore
    from pipelines.finetune_seed import Inputs, Place, Progress


@dataclass(frozen=True)
class _Request:
    """What is asked for."""

    work: Path
    run: Path
    kind: str
    task: str
    init: Path | None
    seeds: tuple[int, ...]
    model: ModelConfig
    train: TrainConfig
    redo: bool
    progress: Progress | None
    tell: Callable[[str], None]


def finetune(
    work: Path,
    run: Path,
    *,
    kind: str = "crossmodal",
    task: str = "emotion",
    init: Path | None = None,
    seeds: Sequence[int],
    model: ModelConfig,
    train: TrainConfig,
    redo: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains one model a seed, each in RUN/seed-NN; finished ones are left alone.

    All layers are trained. ``kind`` is "crossmodal" or "late-fusion", ``task`` "emotion" or
    "sentiment"; ``init`` a finished pretraining run to start from: the seed then sets the head,
    the order of the batches and dropout. ``progress`` is described at ``model.train.fit``; its
    lines also hold "seed". ``tell`` gets text for the screen: how many parameters there are.
    Returns a summary: "status" ("made", or "unchanged" when all were finished), "run", "n_train",
    "n_dev", "n_left_out" and "runs": for each seed its "status" and "best", the line of its best
    epoch.

    Raises:
        TrainError: features are missing or incomplete, a fold is empty, a loss is not finite.
        StaleError: a run was made with other settings and ``redo`` is False.
        UsageError: ``init`` is no finished pretraining run, or its encoder differs; no seeds.
        StoppedError: it was asked to stop, and has saved where it stands.
    """
    from model.checkpoint import run_precision
    from model.world import choose_device, open_world
    from pipelines.finetune_seed import Place

    _check_request(kind, task, init, seeds)
    chosen_device = choose_device(device)
    begun = [] if redo else [_folder(run, seed) for seed in seeds]
    with open_world(chosen_device) as world:
        precision = world.first(partial(run_precision, begun, train.precision, chosen_device))
        asked = _Request(
            work, run, kind, task, init, tuple(seeds), model, replace(train, precision=precision),
            redo, progress, tell,
        )  # fmt: skip
        return _finetune(asked, Place(chosen_device, world))


def _finetune(asked: _Request, place: Place) -> dict[str, Any]:
    """What each of the processes does."""
    from model.data import labelled_fold, subset
    from model.store import FeatureStore
    from pipelines.finetune_seed import Inputs

    model, train = asked.model, asked.train
    with place.world.together():
        store = FeatureStore(
            asked.work / "features", n_stacked_frames=model.n_stacked_frames, cmvn=model.cmvn
        )
        train_set, dev_set = (labelled_fold(store, fold) for fold in ("train", "dev"))
        train_set = subset(store.ids, train_set, train.train_fraction, train.fraction_seed)
        init_fingerprint = _pretraining_fingerprint(asked.init, config_of=(model, store))
    inputs = Inputs(store, train_set, dev_set, asked.task)
    config = _config(asked, inputs, init_fingerprint)
    runs: dict[int, dict[str, Any]] = {}
    for seed in asked.seeds:
        runs[seed] = _run_of_seed(seed, asked, config, inputs, place)
        if runs[seed]["status"] == "made":  # what is told of the first that is trained
            asked = replace(asked, tell=lambda text: None)
    is_new = any(one["status"] == "made" for one in runs.values())
    return {
        "status": "made" if is_new else "unchanged",
        "run": str(asked.run),
        "n_train": len(train_set),
        "n_dev": len(dev_set),
        "n_left_out": store.n_left_out,
        "runs": runs,
    }


def _config(asked: _Request, inputs: Inputs, init_fingerprint: str | None) -> dict[str, Any]:
    """The settings of all seeds, as each keeps them."""
    store = inputs.store
    return {
        "kind": asked.kind,
        "task": asked.task,
        "model": asked.model.described(),
        "dims": asdict(store.dims),
        "n_speakers": None,
        "speakers": None,
        **({"emotions": TASKS[asked.task]} if asked.task == "emotion" else {}),
        "features": str(store.folder.resolve()),
        "features_fingerprint": store.fingerprint,
        "fold_sizes": {"train": len(inputs.train_set), "dev": len(inputs.dev_set)},
        "init": str(asked.init.resolve()) if asked.init else None,
        "init_fingerprint": init_fingerprint,
    }


def _run_of_seed(
    seed: int, asked: _Request, config: dict[str, Any], inputs: Inputs, place: Place
) -> dict[str, Any]:
    """Trains the seed's run, or goes on with it; its "status" and "best"."""
    from model import checkpoint
    from pipelines.finetune_seed import new_network, train_seed
    from pipelines.model_card import CARD, finish_run, parameter_table

    world, folder = place.world, _folder(asked.run, seed)
    settings = replace(asked.train, seed=seed)
    seeded = {**config, "seed": seed, "train": asdict(settings)}
    is_done = world.first(partial(checkpoint.begin_run, folder, seeded, redo=asked.redo))
    # Not before: settings that are refused must not change what a folder says it holds.
    world.first(partial(checkpoint.write_json, asked.run / "run.json", _description(asked)))
    if is_done:
        world.first(partial(finish_run, folder))
        best = checkpoint.read_json(folder / checkpoint.DONE)["best"]
        return {"status": "unchanged", "best": best}
    made_anew = asked.run / "evaluation.json", asked.run / "predictions.npz", folder / CARD
    for path in made_anew:
        path.unlink(missing_ok=True)
    with world.together():
        network = new_network(seed, asked.kind, asked.init, asked.model, inputs)
    asked.tell(parameter_table(network))
    shown = _with_seed(asked.progress, seed)
    best = train_seed(folder, network, inputs, asked.model, settings, place, shown)
    world.first(partial(finish_run, folder))
    return {"status": "made", "best": best}


def _folder(run: Path, seed: int) -> Path:
    return run / f"seed-{seed:02d}"


def _description(asked: _Request) -> dict[str, Any]:
    """RUN/run.json: what ``evaluate`` and ``report`` have to know."""
    return {
        "kind": asked.kind,
        "task": asked.task,
        "seeds": list(asked.seeds),
        "init": str(asked.init.resolve()) if asked.init else None,
        "work": str(asked.work.resolve()),
        "train_fraction": asked.train.train_fraction,
    }


def _check_request(kind: str, task: str, init: Path | None, seeds: Sequence[int]) -> None:
    if kind not in ("crossmodal", "late-fusion"):
        raise UsageError(f'model kind {kind!r}: choose "crossmodal" or "late-fusion"')
    if task not in TASKS:
        raise UsageError(f"task {task!r}: choose one of {', '.join(TASKS)}")
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
