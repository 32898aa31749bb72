"""The scores of all decoded utterances as arrays, read once: to select again takes seconds.

Reading a million rows with all their words takes a minute. So what was read is kept in
``WORK/select/scores.cache``, with a digest, and sizes and times of the tables it was read from.
"""

import gc
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from featurize.atomic import write_bytes
from featurize.errors import ShardError, UsageError
from pipelines.manifest import Table, deciding, read_header, read_table
from pipelines.workspace import Workspace

_VERSION = 1  # of what is in the file
_DIGEST = 16  # bytes at its beginning: XXH3-128 of the rest


@dataclass(frozen=True)
class DecodedScores:
    """All decoded utterances, N of them, in shard order.

    ``shards`` and ``n_words`` are (N,) int32; each of ``scores`` is (N,) float64, NaN where that
    score is not known. ``config`` is of the decoding, ``fingerprints`` are those of its shards.
    """

    ids: list[str]
    shards: np.ndarray
    n_words: np.ndarray
    scores: dict[str, np.ndarray]
    config: dict[str, Any]
    fingerprints: list[str]

    def of(self, name: str) -> np.ndarray:
        """One score of all. Raises UsageError where the decoding has none of that name."""
        if name not in self.scores:
            known = ", ".join(sorted(self.scores)) or "no score at all"
            raise UsageError(f"no utterance has a {name}; this decoding has {known}: --score NAME")
        return self.scores[name]


def read_scores(
    workspace: Workspace, kept: Path, progress: Callable[[int], None] = lambda _: None
) -> DecodedScores:
    """Reads WORK/decode, or ``kept`` if that was read from the same tables.

    Args:
        progress: is told of each shard that is read.

    Raises:
        UsageError: a shard is not decoded, is of another manifest or of another decoder; or the
            corpus has transcripts.
    """
    source = _source(workspace)
    found = _load(kept, source)
    if found is None:
        found = _read(workspace, progress)
        _save(kept, source, found)
    return found


def _source(workspace: Workspace) -> str:
    """What is kept is good as long as this is the same; the manifest's rows are not read for it."""
    manifest = read_header(workspace.manifest_path)
    n_shards = -(-manifest.n // manifest.config["shard_size"])
    tables = [workspace.decode_path(number) for number in range(n_shards)]
    missing = [number for number, path in enumerate(tables) if not path.is_file()]
    if missing:
        raise _not_decoded(workspace, missing)
    stats = [path.stat() for path in tables]
    files = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
    return json.dumps([_VERSION, manifest.fingerprint, files])


def _read(workspace: Workspace, progress: Callable[[int], None]) -> DecodedScores:
    ids: list[str] = []
    lengths: list[int] = []
    n_words: list[int] = []
    parts: list[dict[str, np.ndarray]] = []
    config: dict[str, Any] | None = None
    fingerprints, missing = [], []
    for number in range(workspace.n_shards):
        try:
            table = _read_table(workspace.decode_path(number))
        except ShardError:
            missing.append(number)
            continue
        _check_belongs(workspace, number, table)
        config = table.config if config is None else config
        _check_alike(workspace, config, table)
        ids += [row["id"] for row in table.rows]
        lengths.append(len(table.rows))
        n_words += [len(row["words"]) for row in table.rows]
        parts.append(_columns(table))
        fingerprints.append(table.fingerprint)
        progress(1)
    if missing:
        raise _not_decoded(workspace, missing)
    shards = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    columns = _joined(parts, lengths)
    return DecodedScores(
        ids, shards, np.array(n_words, np.int32), columns, config or {}, fingerprints
    )


def _read_table(path: Path) -> Table:
    """Without looking for garbage meanwhile, of which a table makes none: in half the time."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        return read_table(path)
    finally:
        if is_on:
            gc.enable()


def _columns(table: Table) -> dict[str, np.ndarray]:
    """Each score of one table, (n,)."""
    scores = [row.get("scores") or {} for row in table.rows]
    names = {name for row in scores for name in row}
    return {name: np.array([row.get(name, np.nan) for row in scores]) for name in names}


def _joined(parts: list[dict[str, np.ndarray]], lengths: list[int]) -> dict[str, np.ndarray]:
    """Each score of all tables, (N,); NaN for a table that has none of that name."""
    names = sorted({name for part in parts for name in part})
    return {
        name: np.concatenate(
            [part.get(name, np.full(n, np.nan)) for part, n in zip(parts, lengths, strict=True)]
        )
        for name in names
    }


def _not_decoded(workspace: Workspace, missing: list[int]) -> UsageError:
    if workspace.is_transcribed:
        return UsageError(f"{workspace.root}: this corpus has transcripts; nothing to select")
    return UsageError(
        f"{len(missing)} of {workspace.n_shards} shards are not decoded (the first is "
        f"{missing[0]}); run `trimodal decode {workspace.root}` first"
    )


def _check_belongs(workspace: Workspace, number: int, table: Table) -> None:
    found = {row["id"] for row in table.rows} | {reject.id for reject in table.rejects}
    size = workspace.manifest.config["shard_size"]
    rows = workspace.manifest.rows[number * size : (number + 1) * size]
    if found != {row["id"] for row in rows}:  # a million Utterances would take half a minute
        raise UsageError(
            f"{workspace.decode_path(number)} belongs to another manifest; run `trimodal decode "
            f"{workspace.root}` again with --redo"
        )


def _check_alike(workspace: Workspace, config: dict[str, Any], table: Table) -> None:
    if deciding(config) != deciding(table.config):
        raise UsageError(
            f"{workspace.root / 'decode'}: shards decoded with different models, whose scores "
            "cannot be compared; run `trimodal decode` again with --redo"
        )


def _save(path: Path, source: str, found: DecodedScores) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        "source": source,
        "ids": "\n".join(found.ids),
        "config": json.dumps([found.config, found.fingerprints, list(found.scores)]),
    }
    arrays: dict[str, Any] = {
        name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()
    }
    columns = list(found.scores.values())
    arrays["scores"] = np.stack(columns) if columns else np.zeros((0, len(found.ids)))
    content = io.BytesIO()
    np.savez(content, shards=found.shards, n_words=found.n_words, **arrays)
    write_bytes(path, xxhash.xxh3_128_digest(content.getbuffer()) + content.getbuffer())


def _load(path: Path, source: str) -> DecodedScores | None:
    """None when the file is missing, damaged, or of other tables."""
    try:
        content = memoryview(path.read_bytes())
    except OSError:
        return None
    if xxhash.xxh3_128_digest(content[_DIGEST:]) != content[:_DIGEST]:
        return None
    with np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False) as kept:
        if kept["source"].tobytes().decode() != source:
            return None
        config, fingerprints, names = json.loads(kept["config"].tobytes())
        ids = kept["ids"].tobytes().decode()
        return DecodedScores(
            ids.split("\n") if ids else [], kept["shards"], kept["n_words"],
            dict(zip(names, kept["scores"], strict=True)), config, fingerprints,
        )  # fmt: skip
