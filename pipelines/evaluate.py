"""Stage ``evaluate``: scores the fine-tuned runs of one folder by the paper's protocol.

Reads RUN/run.json, RUN/seed-NN and WORK/features; writes RUN/evaluation.json and
RUN/predictions.npz. How the figures come about is told in ``pipelines.score_runs``.

evaluation.json, of either task; NAME is one of NAMES in ``emotion_scores`` or ``sentiment_scores``:

    task, kind, init, work, train_fraction, version, fingerprint, n_bootstrap
    definitions.NAME          name, definition and source: to be printed beside the figures
    seeds, unfinished_seeds, best_seed
    dev.NAME                  the best run's averages on dev
    test.CONDITION            the best run's on test; CONDITION is "A", "A+V" ... or "A+V+T"
      .average                NAME, NAME_ci (95%), undefined: why some emotion does not count
      .per_emotion.EMOTION    NAME, NAME_ci, threshold_METRIC, n, n_positive, undefined, note
    runs                      of each: seed, dev.NAME, test.NAME, per_emotion.EMOTION.NAME,
                              ablation.CONDITION.NAME, modality_weights (null: late fusion)
    over_runs                 n, NAME_mean, NAME_std; so per_emotion.EMOTION, ablation.CONDITION

An undefined figure is null. predictions.npz, of the best run; K is 6 emotions or 1 sentiment:

    ids (n,), labels (n, K) bool or float32, scores (n, K) float32     on test
    wa, f1, f1_positive, accuracy (n, K) bool                          decisions, of emotions
    A+V/scores, A+V/wa ...                                             the same, of each ablation
    dev_ids, dev_labels, dev_scores                                    by which dev chose
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featurize.atomic import atomic_path, write_text
from featurize.errors import StaleError, TrainError, UsageError
from pipelines.manifest import existing_folder, fingerprint, read_object
from pipelines.run_records import FINETUNED, read_record

VERSION = 2  # other metrics, the ablations of all runs, dev's scores
EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.npz"


def evaluate(
    work: Path,
    run: Path,
    *,
    device: str = "auto",
    n_bootstrap: int = 1000,
    redo: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Writes RUN/evaluation.json (and predictions.npz) and returns its content.

    An evaluation of the very same runs, features and settings is returned as it is.
    ``progress(n_done, n_steps, what)`` is called before each step and once at the end.

    Raises:
        UsageError: no such workspace or run, or fewer than one resample.
        TrainError: no initialisation is finished, or dev or test holds no labelled segment.
        StaleError: the features of WORK are no longer those the runs were trained on.
    """
    existing_folder(work, "a workspace made by `trimodal prepare`")
    features = existing_folder(work / "features", "features made by `trimodal extract`")
    if n_bootstrap < 1:
        raise UsageError(f"n_bootstrap = {n_bootstrap}: must be at least 1")
    described = _described(run)
    folders = finished_seeds(run, described["seeds"])
    made_from = {
        "done": {seed: read_object(folder / "done.json") for seed, folder in folders.items()},
        "features": _features_fingerprint(features, folders, described),
    }
    settings = {"version": VERSION, "n_bootstrap": n_bootstrap, **described}
    key = fingerprint("evaluate", settings, made_from)
    known = None if redo else _known(run, key)
    if known is not None:
        return known
    record = _score(features, folders, described, n_bootstrap, device, progress, run)
    record |= {"version": VERSION, "fingerprint": key, "work": str(work.resolve())}
    record |= {name: described[name] for name in ("kind", "task", "init", "train_fraction")}
    record["unfinished_seeds"] = [s for s in described["seeds"] if s not in folders]
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(run / EVALUATION, text + "\n")
    return json.loads(text)  # as a later call reads it: lists, not tuples


def finished_seeds(run: Path, seeds: list[int]) -> dict[int, Path]:
    """Seed -> folder of each finished initialisation. Raises TrainError when there is none."""
    folders = {seed: run / f"seed-{seed:02d}" for seed in seeds}
    finished = {s: folder for s, folder in folders.items() if (folder / "done.json").is_file()}
    if not finished:
        raise TrainError(f"{run}: no finished initialisation; let `trimodal finetune` end first")
    return finished


def _score(
    features: Path,
    folders: Mapping[int, Path],
    described: Mapping[str, Any],
    n_bootstrap: int,
    device: str,
    progress: Callable[[int, int, str], None] | None,
    run: Path,
) -> dict[str, Any]:
    import numpy as np

    from model.world import choose_device
    from pipelines.score_runs import score_runs

    chosen = str(choose_device(device))
    kind, task = described["kind"], described["task"]
    record, arrays = score_runs(features, folders, kind, task, n_bootstrap, chosen, progress)
    with atomic_path(run / PREDICTIONS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return record


def _features_fingerprint(
    features: Path, folders: Mapping[int, Path], described: Mapping[str, Any]
) -> str:
    from model.store import FeatureStore

    config = read_object(next(iter(folders.values())) / "config.json")
    store = FeatureStore(features, n_stacked_frames=config["model"]["n_stacked_frames"])
    is_same_work = features.parent.resolve() == Path(described["work"]).resolve()
    if is_same_work and store.fingerprint != config["features_fingerprint"]:
        raise StaleError(
            f"{features} has changed since the runs were trained on it; "
            "run `trimodal finetune` again with --redo"
        )
    return store.fingerprint


def _described(run: Path) -> dict[str, Any]:
    path = existing_folder(run, "a fine-tuned run") / "run.json"
    if not path.is_file():
        raise UsageError(f"{path}: no such file; run `trimodal finetune` first")
    described = read_record(path, FINETUNED)
    if "task" not in described:
        raise UsageError(f"{path}: of an older version; run `trimodal finetune` again with --redo")
    return described


def _known(run: Path, key: str) -> dict[str, Any] | None:
    if not (run / EVALUATION).is_file() or not (run / PREDICTIONS).is_file():
        return None
    known = read_object(run / EVALUATION)
    return known if known.get("fingerprint") == key else None
