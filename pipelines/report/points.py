"""Embeddings of some utterances for the report's map: the encoder's, averaged over time.

Kept in OUT/cache, so that a second report of the same runs and features runs no network.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import atomic_path
from featurize.errors import StaleError
from pipelines.manifest import fingerprint
from pipelines.report.runs import PRETRAINING, Run

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from model.store import FeatureStore

N_SPEAKERS, N_PER_SPEAKER = 8, 50
N_SEGMENTS = 600


@dataclass(frozen=True)
class Points:
    """n utterances: ``vectors`` (n, D) float32, ``speakers``, and ``emotions`` (n, 6) bool."""

    run: Run
    vectors: np.ndarray
    speakers: list[str]
    emotions: np.ndarray


def points(run: Run, cache: Path) -> Points:
    """Of a pretraining run up to 50 utterances of each of the 8 speakers who have most; of a
    fine-tuned one up to 600 segments of test, by the initialisation that ``evaluate`` chose.

    Raises:
        ModelError, TrainError, ShardError: weights or features are gone or do not fit.
        UsageError: the run has no encoder. StaleError: the features are others than it was
            trained on.
    """
    from model.build import load_model
    from model.checkpoint import CONFIG, read_json
    from model.config import ModelConfig
    from model.store import FeatureStore

    folder = _folder(run)
    network = load_model(folder)
    config = read_json(folder / CONFIG)
    settings = ModelConfig.from_dict(config["model"])
    store = FeatureStore(
        run.work / "features", n_stacked_frames=settings.n_stacked_frames, cmvn=settings.cmvn
    )
    if config.get("features_fingerprint") != store.fingerprint:
        raise StaleError(f"{store.folder} has changed since {run.name} was trained on it")
    rows = _rows_by_speaker(store) if run.role == PRETRAINING else _rows_of_test(store)
    speakers = [store.speakers[number] for number in store.speaker[rows]]
    vectors = _vectors(folder, network, store, rows, cache)
    return Points(run, vectors, speakers, store.emotions[rows])


def _folder(run: Run) -> Path:
    best = (run.evaluation or {}).get("best_seed")
    return run.path if best is None else run.path / f"seed-{int(best):02d}"


def _rows_by_speaker(store: FeatureStore) -> np.ndarray:
    """Rows of the speakers with most utterances; a tie goes to the first by name."""
    import numpy as np

    counts = Counter(store.speaker.tolist())
    chosen = sorted(counts, key=lambda number: (-counts[number], number))[:N_SPEAKERS]
    parts = [np.flatnonzero(store.speaker == number)[:N_PER_SPEAKER] for number in sorted(chosen)]
    return np.concatenate(parts)


def _rows_of_test(store: FeatureStore) -> np.ndarray:
    import numpy as np

    from model.data import labelled_fold

    rows = labelled_fold(store, "test")
    evenly = np.linspace(0, len(rows) - 1, min(N_SEGMENTS, len(rows)))
    return rows[evenly.round().astype(int)]


def _vectors(
    folder: Path, network: nn.Module, store: FeatureStore, rows: np.ndarray, cache: Path
) -> np.ndarray:
    """(n, D), from the cache where the very same were computed before."""
    import numpy as np

    from model.checkpoint import BEST
    from pipelines.file_digest import file_digest

    made_from: dict[str, Any] = {
        "weights": file_digest(folder / BEST),
        "features": store.fingerprint,
        "ids": [store.id(row) for row in rows],
    }
    path = cache / f"embeddings-{fingerprint('report', {}, made_from)}.npy"
    if path.is_file():
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            path.unlink()  # damaged: compute them again
    vectors = _embed(network, store, rows)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    return vectors


def _embed(network: nn.Module, store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    from model.config import MODALITIES
    from model.embedding import embed_rows, weights_for
    from model.heads import masked_mean
    from model.world import choose_device

    device = choose_device("auto")
    weights = weights_for(network, MODALITIES)
    found: dict[str, np.ndarray] = {}
    for batch, embeddings in embed_rows(network.to(device), store, rows, weights, device):
        means = masked_mean(embeddings, batch.audio_mask)
        found |= dict(zip(batch.ids, means.float().cpu().numpy(), strict=True))
    return np.stack([found[store.id(row)] for row in rows])
