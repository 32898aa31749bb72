"""What an export has made so far, so that it is not made twice: ``export.json`` beside it.

A part of an export (a shard, or all of it) counts as done when its features and settings are those
on record, and its files hold what was written.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from featurize.atomic import remove_stale, write_text
from featurize.errors import StaleError, UsageError
from pipelines.file_digest import file_digest
from pipelines.manifest import read_object


class Ledger:
    """The record of one export.

    Args:
        path: of the record; the export's files stand beside it.
        kind: "webdataset", "lhotse" or "mmsa".
        settings: those that made the features; for the reader's eyes.
        redo: make again what was made from other features, instead of an error.

    Raises:
        UsageError: the record belongs to an export of another kind.
        TrainError: the record cannot be read.
    """

    def __init__(self, path: Path, kind: str, *, settings: dict[str, Any], redo: bool) -> None:
        self._path, self._redo = path, redo
        self._content: dict[str, Any] = {"export": kind, "settings": settings, "parts": {}}
        remove_stale(path.parent)
        if path.is_file():
            found = read_object(path)
            if found.get("export") != kind or not isinstance(found.get("parts"), dict):
                raise UsageError(f"{path}: not of an export to {kind}; choose another place")
            self._content["parts"] = found["parts"]

    def n_done(self, part: str, fingerprint: str) -> int | None:
        """Utterances in a part that is there and up to date; None when it is to be made.

        Raises:
            StaleError: it was made from other features or settings, and ``redo`` is off.
        """
        made = self._content["parts"].get(part)
        if not isinstance(made, dict) or not isinstance(made.get("xxh3"), dict):
            return None
        if made.get("fingerprint") == fingerprint:
            is_whole = all(self._holds(name, xxh3) for name, xxh3 in made["xxh3"].items())
            return made.get("n_utterances") if is_whole else None
        if self._redo or not any((self._path.parent / name).exists() for name in made["xxh3"]):
            return None
        raise StaleError(
            f"{self._path.parent}: {part} was exported from other features or with other settings "
            "than there are now; add --redo to export it again, or choose another place"
        )

    def add(self, part: str, fingerprint: str, n_utterances: int, files: Iterable[Path]) -> None:
        """Records a part whose files have just been written."""
        self._content["parts"][part] = {
            "fingerprint": fingerprint,
            "n_utterances": n_utterances,
            "xxh3": {file.name: file_digest(file) for file in files},
        }
        self._write()

    def keep_only(self, parts: Iterable[str]) -> None:
        """Deletes the files of recorded parts that this workspace no longer has.

        Raises:
            StaleError: there are some, and ``redo`` is off.
        """
        surplus = sorted(self._content["parts"].keys() - set(parts))
        if surplus and not self._redo:
            raise StaleError(
                f"{self._path.parent}: {surplus[0]} is of an earlier export of a larger workspace; "
                "add --redo to delete it, or choose another place"
            )
        for part in surplus:
            for name in self._content["parts"].pop(part).get("xxh3", {}):
                if Path(name).name == name:  # a record from elsewhere must not delete elsewhere
                    (self._path.parent / name).unlink(missing_ok=True)
        self._write()

    def _holds(self, name: str, xxh3: str) -> bool:
        path = self._path.parent / name
        return path.is_file() and file_digest(path) == xxh3

    def _write(self) -> None:
        write_text(self._path, json.dumps(self._content, indent=1, sort_keys=True) + "\n")
