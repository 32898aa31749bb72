"""Fuzzed readers of workspaces: tables, shards, exports, features to import."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import xxhash

from benchmarks.fuzz.mutations import as_json, bytes_gone_wrong, json_gone_wrong
from benchmarks.fuzz.target import Target
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardReader, ShardWriter
from pipelines.manifest import Table, Utterance, fingerprint, write_table
from pipelines.runner import Unit
from pipelines.workspace import Workspace, create

WORDS = [["hello", 0.0, 0.3, 0.9], ["world", 0.3, 0.5, None]]
SCORES = {"log_likelihood_per_frame": 1.5, "word_confidence": 0.5}


def workspace_targets() -> list[Target]:
    return [*_tables(), *_shards(), *_imports()]


def make_workspace(folder: Path) -> Workspace:
    """Four utterances in two shards: decoded, selected, with words and targets."""
    utterances = [
        Utterance(f"s{k}/v/{k}", f"s{k}", f"{k}.wav", None, 0.0, 1.0, recording=f"r{k}",
                  recording_start_s=0.0, recording_end_s=1.0)
        for k in range(4)
    ]  # fmt: skip
    work = folder / "work"
    corpus = folder / "corpus"
    corpus.mkdir()
    create(work, "x", corpus, utterances, [], shard_size=2, seed=0, settings={})
    workspace = Workspace(work)
    for number in range(2):
        rows = [
            {"id": u.id, "text": "hello world", "words": WORDS, "n_frames": 30, "scores": SCORES}
            for u in workspace.shard(number)
        ]
        config = {"model_digest": "x", "likelihood": "of all; per speech frame: of speech"}
        made = fingerprint("decode", config, workspace.inputs("decode", number))
        write_table(workspace.decode_path(number), Table("decode", config, made, rows))
    from pipelines.select import Wish, select

    select(work, Wish(keep_fraction=1.0))
    workspace = Workspace(work)
    for number in range(2):
        _write_targets(workspace, number)
    return workspace


def _write_targets(workspace: Workspace, number: int) -> None:
    with ShardWriter(
        workspace.feature_path(number, "targets"), modality="targets", fields=TARGET_FIELDS,
        columns=TARGET_COLUMNS, config={"a": 1}, tools={},
        fingerprint=fingerprint("targets", {"a": 1}, workspace.inputs("targets", number)),
    ) as writer:  # fmt: skip
        for utterance in workspace.selected_shard(number):
            facts = {"speaker": utterance.speaker, "fold": "", "labels": np.full(7, np.nan)}
            writer.add(utterance.id, {"characters": np.frombuffer(b"hello", np.uint8)}, facts)
        writer.reject("gone", "made to be missing")


def resealed(rng: Random, seed: bytes) -> bytes:
    """A table of wrong content under right digests, as one who means harm writes it."""
    header, *rows = [json.loads(line) for line in seed.splitlines()]
    if rng.random() < 0.5 and rows:
        k = rng.randrange(len(rows))
        rows[k] = json_gone_wrong(rng, rows[k])
    else:
        header = json_gone_wrong(rng, header)
    body = b"".join(as_json(row) + b"\n" for row in rows)
    if isinstance(header, dict):
        header["digest"] = xxhash.xxh3_128_hexdigest(body)
        header.pop("header_digest", None)
        try:
            line = json.dumps(header, sort_keys=True, ensure_ascii=False) + "\n"
            header["header_digest"] = xxhash.xxh3_128_hexdigest(line.encode())
        except (ValueError, UnicodeEncodeError):
            pass
    try:
        first = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, UnicodeEncodeError):
        first = as_json(header)
    return first + b"\n" + body


def _tables() -> list[Target]:
    from pipelines.extract_work import _words
    from pipelines.selection.decoded_scores import read_scores
    from pipelines.status import status_lines, survey

    def use(folder: Path) -> Any:
        """All that a manifest, a decoded shard or a selection is read by."""
        workspace = Workspace(folder / "work")
        shutil.rmtree(folder / "other", ignore_errors=True)
        found = [workspace.selected_shard(k) for k in range(min(workspace.n_shards, 10))]
        found += [workspace.inputs(s, 0) for s in ("decode", "audio", "text", "targets")]
        _ = workspace.corpus_root, workspace.is_transcribed
        return found, status_lines(survey(folder / "work").counts)

    def use_decoded(folder: Path) -> Any:
        workspace = Workspace(folder / "work")
        (folder / "work" / "select" / "scores.cache").unlink(missing_ok=True)
        words = _words(Unit(0, Path(), "", {}, Path(), [], workspace.decode_path(0)))
        counts = survey(folder / "work").counts
        scores = read_scores(workspace, folder / "work" / "select" / "scores.cache")
        return [words(u) for u in workspace.shard(0)], counts, scores

    targets = []
    places = {
        "manifest.jsonl": use, "select/selected.jsonl": use,
        "decode/shard-00000.jsonl": use_decoded, "select/scores.cache": use_scores,
    }  # fmt: skip
    for name, read in places.items():
        mutations = (bytes_gone_wrong,) if name.endswith("cache") else (bytes_gone_wrong, resealed)
        targets.append(
            Target(f"table {name}", f"work/{name}", (), read, make_workspace, mutations,
                   names_file=False)
        )  # fmt: skip
    return targets


def use_scores(folder: Path) -> Any:
    from pipelines.selection.decoded_scores import read_scores

    return read_scores(Workspace(folder / "work"), folder / "work" / "select" / "scores.cache")


def _shards() -> list[Target]:
    from pipelines.inspect.shard import shard_facts

    def read(folder: Path) -> Any:
        path = folder / "shard-00000.audio.h5"
        with ShardReader(path) as shard:
            damaged = list(shard.damaged())
            arrays = [shard[k] for k in range(len(shard)) if shard.ids[k] not in damaged]
        return arrays, shard_facts(path)

    seeds = [_shard(encoding, "none") for encoding in ("float16", "int8_scaled")]
    mutations = (bytes_gone_wrong, header_gone_wrong)
    return [Target("shard", "shard-00000.audio.h5", seeds, read, mutations=mutations)]


def _shard(encoding: str, compression: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard-00000.audio.h5"
        with ShardWriter(
            path, modality="audio", fields={"features": ((4,), encoding)}, config={"hop_s": 0.01},
            fingerprint="f", tools={"t": "1"}, columns={"speaker": "text"}, compression=compression,
        ) as writer:  # fmt: skip
            for k in range(3):
                rows = np.random.default_rng(k).normal(size=(5 + k, 4)).astype(np.float32)
                writer.add(f"u/{k}", {"features": rows}, {"speaker": "s"})
            writer.reject("gone", "no sound")
        return path.read_bytes()


def header_gone_wrong(rng: Random, seed: bytes) -> bytes:
    """A shard whose header says other things; HDF5 itself is sound."""
    import h5py

    content = io.BytesIO(seed)
    with h5py.File(content, "r+") as file:
        header = json_gone_wrong(rng, json.loads(file.attrs["header"]))
        text = as_json(header)[: 30 * 1024]
        del file.attrs["header"]
        file.attrs.create("header", np.bytes_(text or b" "))
    return content.getvalue()


def _imports() -> list[Target]:
    from pipelines.exchange.import_csd import find_csd
    from pipelines.exchange.import_npz import find_npz
    from pipelines.mosei_label_files import read_labels

    def read_csd(folder: Path) -> Any:
        workspace = Workspace(folder / "work")
        found, _ = find_csd(folder / "x.csd", workspace, "audio", lambda n: None)
        return _rejected(found, workspace)

    def read_npz(folder: Path) -> Any:
        workspace = Workspace(folder / "work")
        found, _ = find_npz(folder / "npz", workspace, "audio", 0.01, lambda n: None)
        return _rejected(found, workspace)

    def beside(folder: Path) -> None:
        workspace = make_workspace(folder)
        for utterance in workspace.utterances:
            path = folder / "npz" / f"{utterance.id}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, features=np.zeros((3, 2), np.float32))

    arrays = io.BytesIO()
    np.savez(arrays, features=np.ones((3, 2), np.float32), times_s=np.arange(3.0))
    packed = io.BytesIO()
    np.savez_compressed(packed, features=np.ones((3, 2), np.float32))
    only_bytes = (bytes_gone_wrong,)
    return [
        Target("csd", "x.csd", [_csd("r", 2)], read_csd, make_workspace, only_bytes, False),
        Target("npz", "npz/s0/v/0.npz", [arrays.getvalue(), packed.getvalue()], read_npz, beside,
               only_bytes, False),
        Target("labels, csd", "l.csd", [_csd("v", 7)], lambda f: read_labels(f / "l.csd"),
               mutations=only_bytes),
    ]  # fmt: skip


def _rejected(found: Any, workspace: Workspace) -> list[str]:
    from featurize.errors import TrimodalError

    reasons = []
    with found.source.opened() as read:
        for utterance in workspace.utterances:
            try:
                read(utterance)
            except TrimodalError as error:
                reasons.append(str(error))
    return reasons


def _csd(prefix: str, width: int) -> bytes:
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        data = file.create_group("All Labels/data")
        for k in range(4):
            group = data.create_group(f"{prefix}{k}")
            group["features"] = np.ones((5, width), np.float32)
            group["intervals"] = np.array([(0.2 * n, 0.2 * n + 0.2) for n in range(5)])
        file["All Labels/metadata/creator"] = ["x"]
    return content.getvalue()


Reads = Callable[[Path], Any]
