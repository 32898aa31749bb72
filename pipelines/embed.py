"""Stage ``embed``: a trained encoder's embeddings of all utterances of a workspace.

Reads WORK/features and the weights of a run; writes OUT (see ``pipelines.embedded``), a shard a
shard. Batches are cut within a shard and each process computes on one thread, so that a shard has
the same bytes whatever the number of processes, and after a kill.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import write_bytes
from featurize.errors import StaleError, TextError, TrainError
from model.config import MODALITIES, ModelConfig
from pipelines.embedded import DESCRIPTION, Embedded, Source, refuse_other_folder
from pipelines.manifest import Utterance, deciding, fingerprint
from pipelines.runner import Outcome, Unit
from pipelines.shard_work import Content, each, write_shard
from pipelines.workspace import EMBEDDINGS, Workspace, remove_orphans

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from model.store import FeatureStore

POOLS = ("sequence", "mean")
ENCODINGS = ("float16", "float32", "bfloat16")
FRAMES_PER_BATCH = 4000  # stacked audio frames, padding included: 25 utterances of 8 s


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


def prepare_embedding(
    work: Path,
    run: Path,
    out: Path,
    *,
    modalities: tuple[str, ...] = MODALITIES,
    pool: str = "sequence",
    encoding: str = "float16",
    device: str = "auto",
    redo: bool = False,
) -> tuple[Embedded, Job]:
    """Writes all of OUT but its shards.

    Raises:
        UsageError: OUT is a workspace of another kind; a run without an encoder; modalities that
            are none; a device that is not there.
        ModelError: no finished run, or a damaged one.
        TrainError: the features are not those that the network takes.
        StaleError: OUT was made otherwise, and ``redo`` is off.
    """
    from model.build import load_model, weights_folder
    from model.checkpoint import CONFIG, read_json
    from model.embedding import weights_for
    from model.store import FeatureStore
    from model.world import choose_device

    refuse_other_folder(out, work)
    chosen = str(choose_device(device))
    folder = weights_folder(run)
    network = load_model(folder)
    settings = ModelConfig.from_dict(read_json(folder / CONFIG)["model"])
    weights = weights_for(network, modalities)
    store = FeatureStore(
        work / "features", n_stacked_frames=settings.n_stacked_frames, cmvn=settings.cmvn
    )
    _refuse_other_widths(store, network)
    config: dict[str, Any] = {
        "weights_xxh3": _digest(network),
        "encoder": settings.encoder_settings,
        "modalities": [m for m in MODALITIES if m in modalities],
        "modality_weights": weights,
        "pool": pool,
        "encoding": encoding,
        "run_name": "/".join(folder.resolve().parts[-2:]),
        **_hop_s(Workspace(work), settings.n_stacked_frames),
    }
    embedded = _describe(work, run, out, config, redo)
    job = Job(
        features=work / "features",
        run=folder,
        modalities=tuple(config["modalities"]),
        pool=pool,
        encoding=encoding,
        n_stacked_frames=settings.n_stacked_frames,
        cmvn=settings.cmvn,
        device=chosen,
        made_from=fingerprint("embed", config, store.fingerprint),
    )
    return embedded, job


def plan(embedded: Embedded, shards: Iterable[int]) -> list[Unit]:
    """One unit a shard."""
    config = embedded.description["config"]
    return [
        Unit(
            shard=number,
            output=embedded.feature_path(number, EMBEDDINGS),
            fingerprint=fingerprint(EMBEDDINGS, config, embedded.source.inputs(number)),
            config=config,
            root=embedded.corpus_root,
            utterances=embedded.selected_shard(number),
        )
        for number in shards
    ]


def embed_work(job: Job, unit: Unit) -> Outcome:
    """Writes (T, D) embeddings of each utterance, or their mean (1, D).

    The column ``modalities`` names those that the utterance had, of the chosen ones: "audio,text".
    Memory: the embeddings of one shard, as stored, beside the network and a batch.
    """
    from pipelines import __version__

    network, store = _opened(job)
    with _one_thread():
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
    import torch

    from model.data import Loader
    from model.embedding import encoder_of, weights_for
    from model.heads import masked_mean

    rows = np.array([row for u in utterances if (row := _row(store, u.id)) is not None], int)
    encoder, weights = encoder_of(network), weights_for(network, job.modalities)
    kept_as = np.float16 if job.encoding == "float16" else np.float32
    found: dict[str, tuple[np.ndarray, list[str]]] = {}
    batches = Loader(store, rows, FRAMES_PER_BATCH, speakers={}).in_order() if len(rows) else ()
    for batch in batches:
        with torch.no_grad():
            embeddings = encoder(batch.to(job.device), weights)
            if job.pool == "mean":
                mask = batch.audio_mask.to(job.device)
                embeddings = masked_mean(embeddings, mask)[:, None]
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of matrix products depend on the number of threads; the other cores have processes."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _describe(work: Path, run: Path, out: Path, config: Mapping[str, Any], redo: bool) -> Embedded:
    """Writes OUT/embed.json and copies the tables of WORK, which must not be others than before."""
    from model.checkpoint import write_json

    source = Workspace(work)
    tables = {out / "manifest.jsonl": source.manifest_path}
    if not source.is_transcribed:
        tables[out / "select" / "selected.jsonl"] = source.selected_path
    copies = {copy: path.read_bytes() for copy, path in tables.items()}
    Source(work, config).inputs(0)  # before anything is written: it can be read
    if not redo and (out / DESCRIPTION).is_file():
        _refuse_other_settings(out, config)
        changed = [c for c, content in copies.items() if c.is_file() and c.read_bytes() != content]
        if changed:
            raise StaleError(f"{changed[0]} is not that of {work} any more; add --redo")
    described = {"work": str(work.resolve()), "run": str(run.resolve()), "config": config}
    write_json(out / DESCRIPTION, described)
    for copy, content in copies.items():
        write_bytes(copy, content)
    remove_orphans(out, source.n_shards)
    return Embedded(out)


def _refuse_other_settings(out: Path, config: Mapping[str, Any]) -> None:
    import json

    before = deciding(Embedded(out).description["config"])
    now = deciding(json.loads(json.dumps(config)))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise StaleError(
                f"{out} was made with {key}={before.get(key)!r}, now {now.get(key)!r}; choose "
                "another folder, or add --redo to make it again"
            )


def _refuse_other_widths(store: FeatureStore, network: nn.Module) -> None:
    from model.config import InputDims
    from model.embedding import encoder_of

    inputs = encoder_of(network).inputs
    dims = InputDims(*(inputs[m].mean.numel() for m in MODALITIES))  # type: ignore
    if store.dims != dims:
        raise TrainError(f"{store.folder}: features are {store.dims}, the network takes {dims}")


def _digest(network: nn.Module) -> str:
    """xxh3_128 of the encoder's weights and statistics: of their names, types, shapes and bytes."""
    import xxhash

    from model.embedding import encoder_of

    digest = xxhash.xxh3_128()
    for name, tensor in sorted(encoder_of(network).state_dict().items()):
        array = tensor.cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _hop_s(source: Workspace, n_stacked_frames: int) -> dict[str, float]:
    """Seconds from one embedding of a sequence to the next, where the audio's hop is known."""
    from pipelines.runner import made_with

    made = made_with(source.feature_path(0, "audio"))
    hop_s = made.config.get("hop_s") if made else None
    return {"hop_s": hop_s * n_stacked_frames} if hop_s else {}
