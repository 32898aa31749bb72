"""A workspace: the folder in which every stage finds its input and leaves its output.

    WORK/manifest.jsonl                      the utterances, shuffled once, in shard order
    WORK/decode/shard-00042.jsonl            words, times, likelihood
    WORK/select/selected.jsonl               ids kept as English
    WORK/features/shard-00042.audio.h5       and .video, .text, .targets
    WORK/rejects.jsonl                       every utterance lost, with stage and reason
    WORK/sources.json                        where models, vectors and box lists lay

Shard 42 means the same stretch of the manifest in every folder; after selection it holds
those of them that were kept.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from featurize.errors import ShardError, UsageError
from pipelines.manifest import (
    Reject,
    Table,
    Utterance,
    deciding,
    existing_folder,
    fingerprint,
    read_header,
    read_table,
    write_table,
)

MODALITIES = ("audio", "video", "text", "targets")
EMBEDDINGS = "embeddings"  # what `embed` makes of them
IMPORTED_FROM = "imported_from"  # setting of features that were extracted elsewhere


class Workspace:
    """Paths and input of one workspace. Raises UsageError when ``prepare`` has not made it."""

    kinds: Sequence[str] = MODALITIES  # of the files in its features folder

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        existing_folder(self.root, "a workspace made by `trimodal prepare`")
        if not self.manifest_path.is_file():
            raise UsageError(f"{root}: no manifest.jsonl; run `trimodal prepare` first")

    @property
    def manifest_path(self) -> Path:
        return self.root / "manifest.jsonl"

    @property
    def selected_path(self) -> Path:
        return self.root / "select" / "selected.jsonl"

    @cached_property
    def manifest(self) -> Table:
        """The manifest as a table; its config holds corpus, root, shard_size and seed."""
        table = read_table(self.manifest_path)
        if table.stage != "prepare":  # its form was checked as that of another stage
            raise ShardError(f"{self.manifest_path}: not a manifest; prepare the corpus again")
        return table

    @cached_property
    def utterances(self) -> list[Utterance]:
        """All utterances in shard order."""
        return [Utterance.from_row(row) for row in self.manifest.rows]

    @property
    def corpus_root(self) -> Path:
        return Path(self.manifest.config["root"])

    @property
    def n_shards(self) -> int:
        return -(-len(self.manifest.rows) // self.manifest.config["shard_size"])

    @property
    def is_transcribed(self) -> bool:
        """Whether the corpus came with transcripts, so that nothing has to be decoded."""
        return all(row.get("text") is not None for row in self.manifest.rows)

    @property
    def stages(self) -> tuple[str, ...]:
        """Those over shards that this workspace has, in their order."""
        return (*(() if self.is_transcribed else ("decode",)), *self.kinds)

    def shard(self, number: int) -> list[Utterance]:
        """The utterances of one shard."""
        size = self.manifest.config["shard_size"]
        return self.utterances[number * size : (number + 1) * size]

    def selected_shard(self, number: int) -> list[Utterance]:
        """Those of a shard that go on to extraction: all, or those that ``select`` kept."""
        if self.is_transcribed:
            return self.shard(number)
        kept = self._selected_ids[number]
        return [utterance for utterance in self.shard(number) if utterance.id in kept]

    def decode_path(self, number: int) -> Path:
        return self.root / "decode" / f"shard-{number:05d}.jsonl"

    def feature_path(self, number: int, modality: str) -> Path:
        return self.root / "features" / f"shard-{number:05d}.{modality}.h5"

    def output_path(self, number: int, stage: str) -> Path:
        """Of ``decode`` or of a modality."""
        return self.decode_path(number) if stage == "decode" else self.feature_path(number, stage)

    def inputs(self, stage: str, number: int, *, is_imported: bool = False) -> Any:
        """What one shard of ``decode`` or of a modality is made from: part of its fingerprint.

        Features imported from elsewhere are not made from the corpus's media or words.
        """
        if stage == "decode":
            return [_media_input(utterance, "audio") for utterance in self.shard(number)]
        utterances = self.selected_shard(number)
        if is_imported:
            return [[u.id, u.recording, u.recording_start_s, u.recording_end_s] for u in utterances]
        if stage in ("audio", "video"):
            return [_media_input(utterance, stage) for utterance in utterances]
        words = None if self.is_transcribed else self._words_fingerprint(number)
        if stage == "text":
            return [words, [[u.id, u.text] for u in utterances]]
        return [words, [[u.id, u.text, u.speaker, u.fold, u.labels] for u in utterances]]

    def is_current(self, stage: str, number: int, made: Table) -> bool:
        """Whether a shard's header says that it was made from the input as it is now."""
        inputs = self.inputs(stage, number, is_imported=IMPORTED_FROM in made.config)
        return made.fingerprint == fingerprint(stage, made.config, inputs)

    def _words_fingerprint(self, number: int) -> str:
        """Of a decoded shard, whose model must be the one that was selected by."""
        header = read_header(self.decode_path(number))
        if deciding(header.config) != deciding(self.selection.config["decoding"]):
            raise UsageError(
                f"{self.decode_path(number)} was decoded otherwise than what was selected from; "
                f"run `trimodal select {self.root}` again"
            )
        return header.fingerprint

    @cached_property
    def selection(self) -> Table:
        """What ``select`` wrote. Raises UsageError when it has not run since ``prepare``."""
        again = f"run `trimodal select {self.root}`"
        if not self.selected_path.is_file():
            raise UsageError(f"{self.root}: nothing selected yet; {again} first")
        table = read_table(self.selected_path)
        if table.stage != "select":
            raise ShardError(f"{self.selected_path}: not a selection; {again} again")
        if table.config["manifest"] != self.manifest.fingerprint:
            raise UsageError(f"{self.selected_path} belongs to another manifest; {again} again")
        return table

    @cached_property
    def _selected_ids(self) -> Mapping[int, set[str]]:
        kept: dict[int, set[str]] = defaultdict(set)
        for row in self.selection.rows:
            kept[row["shard"]].add(row["id"])
        return kept


def _media_input(utterance: Utterance, kind: str) -> list[Any]:
    path, n_bytes = (
        (utterance.audio, utterance.audio_bytes)
        if kind == "audio"
        else (utterance.video, utterance.video_bytes)
    )
    return [utterance.id, path, n_bytes, utterance.start_s, utterance.end_s]


def create(
    work: Path,
    corpus: str,
    root: Path,
    utterances: Sequence[Utterance],
    rejects: Sequence[Reject],
    *,
    shard_size: int,
    seed: int,
    settings: Mapping[str, Any],
    redo: bool = False,
) -> str:
    """Shuffles the utterances with the seed, cuts them into shards and writes the manifest.

    Returns "made", or "unchanged" when the workspace already holds this very manifest.

    Raises:
        UsageError: no usable utterance, or the workspace holds another manifest and ``redo``
            was not asked for.
    """
    if not utterances:
        raise UsageError(f"{root}: no usable utterance found ({len(rejects)} rejected)")
    rows = [asdict(utterance) for utterance in sorted(utterances, key=lambda u: u.id)]
    repeated = {a["id"] for a, b in zip(rows, rows[1:], strict=False) if a["id"] == b["id"]}
    if repeated:
        raise UsageError(f"{root}: utterance id {min(repeated)} occurs more than once")
    random.Random(seed).shuffle(rows)
    config = {
        "corpus": corpus,
        "root": str(root.resolve()),
        "shard_size": shard_size,
        "seed": seed,
        **settings,
    }
    inputs = {"rows": rows, "rejects": [asdict(reject) for reject in rejects]}
    table = Table("prepare", config, fingerprint("prepare", config, inputs), rows, list(rejects))
    path = work / "manifest.jsonl"
    if path.is_file() and not redo:
        if _fingerprint_of(path) == table.fingerprint:
            return "unchanged"
        raise UsageError(
            f"{path} was made from another corpus, selection of files or settings; choose another "
            "workspace, or add --redo to replace it (later stages then want --redo too)"
        )
    write_table(path, table)
    remove_orphans(work, -(-len(rows) // shard_size))
    return "made"


def remove_orphans(work: Path, n_shards: int) -> None:
    """Deletes shards of an earlier manifest whose numbers this one no longer has."""
    for folder in ("decode", "features"):
        for path in (work / folder).glob("shard-*.*"):
            digits = path.name.removeprefix("shard-").partition(".")[0]
            if digits.isdigit() and int(digits) >= n_shards:
                path.unlink(missing_ok=True)


def _fingerprint_of(path: Path) -> str | None:
    try:
        return read_table(path).fingerprint
    except ShardError:
        return None
