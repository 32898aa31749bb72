"""Stage ``embed``, planned: a trained encoder's embeddings of all utterances of a workspace.

Reads WORK/features and the weights of a run; writes OUT (see ``pipelines.embedded``), a shard a
shard. ``pipelines.embed_work`` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import write_bytes
from featurize.errors import StaleError, TrainError
from model.config import MODALITIES, ModelConfig
from pipelines.embed_work import Job
from pipelines.embedded import DESCRIPTION, Embedded, Source, refuse_other_folder
from pipelines.manifest import deciding, fingerprint, read_object
from pipelines.runner import Unit, made_with
from pipelines.workspace import EMBEDDINGS, Workspace, remove_orphans

if TYPE_CHECKING:
    from torch import nn

    from model.store import FeatureStore


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
        "encoder": {
            k: v for k, v in settings.described().items() if k in settings.encoder_settings
        },
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
    # Not by way of ``Embedded``: a kill may have come between the description and the manifest.
    before = deciding(read_object(out / DESCRIPTION)["config"])
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
    made = made_with(source.feature_path(0, "audio"))
    hop_s = made.config.get("hop_s") if made else None
    return {"hop_s": hop_s * n_stacked_frames} if hop_s else {}
