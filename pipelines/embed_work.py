"""Stage ``embed``, done: what a worker process does with one shard.

Batches are cut within the shard and computed on one thread, so that a shard has the same bytes
whatever the number of processes, and after a kill.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import TextError
from featurize.threads import one_thread
from pipelines.manifest import Utterance
from pipelines.runner import Outcome, Unit
from pipelines.shard_work import Content, each, write_shard
from pipelines.workspace import EMBEDDINGS

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from model.store import FeatureStore


@dataclass(frozen=True)
class Job:
    """What a worker process has to know; ``made_from`` tells one state of files from another."""

    features: Path
    run: Path
    modalities: tuple[str, ...]
    pool: str
    encoding: str
    n_stacked_frames: int
    cmvn: str
    device: str
    made_from: str


def embed_work(job: Job, unit: Unit) -> Outcome:
    """Writes (T, D) embeddings of each utterance, or their mean (1, D).

    The column ``modalities`` names those that the utterance had, of the chosen ones: "audio,text".
    Memory: the embeddings of one shard, as stored, beside the network and a batch.
    """
    from pipelines import __version__

    network, store = _opened(job)
    with one_thread():
        embeddings = _embed(job, network, store, unit.utterances)

    def content(utterance: Utterance) -> Content:
        if utterance.id not in embeddings:
            raise TextError("no audio or no targets among the features")
        features, present = embeddings[utterance.id]
        if not present:
            raise TextError(f"none of {', '.join(job.modalities)} among the features")
        return {"features": features, "modalities": ",".join(present)}

    d_model = unit.config["encoder"]["d_model"]
    fields = {"features": ((d_model,), job.encoding)}
    tools = {"trimodal": __version__, "torch": version("torch"), "device": job.device}
    found = each(unit.utterances, content)
    columns = {"modalities": "text"}
    return write_shard(unit, EMBEDDINGS, fields, tools, found, columns=columns)


def _embed(
    job: Job, network: nn.Module, store: FeatureStore, utterances: list[Utterance]
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """id -> embeddings and the modalities that they are made of, of those in the store."""
    import numpy as np

    from model.embedding import embed_rows, weights_for
    from model.heads import masked_mean

    rows = np.array([row for u in utterances if (row := _row(store, u.id)) is not None], int)
    weights = weights_for(network, job.modalities)
    kept_as = np.float16 if job.encoding == "float16" else np.float32
    found: dict[str, tuple[np.ndarray, list[str]]] = {}
    for batch, embeddings in embed_rows(network, store, rows, weights, job.device):
        if job.pool == "mean":
            embeddings = masked_mean(embeddings, batch.audio_mask)[:, None]
        there = {m: getattr(batch, f"{m}_mask").any(dim=1).tolist() for m in job.modalities}
        lengths = batch.audio_mask.sum(dim=1).tolist()
        for i, (name, rows_of_one) in enumerate(zip(batch.ids, embeddings.cpu(), strict=True)):
            n_rows = 1 if job.pool == "mean" else lengths[i]
            present = [modality for modality in job.modalities if there[modality][i]]
            found[name] = rows_of_one[:n_rows].numpy().astype(kept_as), present
    return found


def _row(store: FeatureStore, utterance_id: str) -> int | None:
    try:
        return store.row(utterance_id)
    except KeyError:
        return None


@functools.lru_cache(maxsize=1)
def _opened(job: Job) -> tuple[nn.Module, FeatureStore]:
    """Network and features, opened once a worker process."""
    from model.build import load_model
    from model.store import FeatureStore

    store = FeatureStore(job.features, n_stacked_frames=job.n_stacked_frames, cmvn=job.cmvn)
    return load_model(job.run, job.device), store
