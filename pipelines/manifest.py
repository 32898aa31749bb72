"""The utterance record, and the JSON Lines table that stages keep their results in.

A table's first line is a header (stage, settings, fingerprint, rejects, digest of the rest);
every further line is one row. It is written atomically and checked whenever it is read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from featurize.atomic import write_bytes
from featurize.errors import CorpusError, ShardError, TrainError, UsageError
from featurize.plain_json import parse_json
from pipelines.table_rows import check_header, check_rows, wrong_of_utterance

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False)
FORMAT = "trimodal-jsonl"
VERSION = 1
LONGEST_NAME = 255  # bytes, of a file or folder on any file system in use


@dataclass(frozen=True)
class Utterance:
    """A stretch of one speaker's talking face.

    Paths are POSIX paths relative to the corpus root, ``*_bytes`` the sizes of those files; another
    size is another input, whatever the path. ``end_s`` None means to the end of the file.
    ``labels`` are (sentiment, happy, sad, anger, surprise, disgust, fear). ``recording`` is the
    longer video that it was cut from, where the corpus says so, with its place in there: also when
    the files are clips, whose own time begins at 0.
    """

    id: str
    speaker: str
    audio: str | None
    video: str | None
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None
    labels: tuple[float, ...] | None = None
    fold: str | None = None
    audio_bytes: int | None = None
    video_bytes: int | None = None
    recording: str | None = None
    recording_start_s: float | None = None
    recording_end_s: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Utterance":
        """Builds one from a table row. Raises CorpusError when a field is missing or unknown."""
        try:
            utterance = cls(**row)
        except TypeError as error:
            raise CorpusError(f"manifest row {str(row)[:80]}: {error}") from None
        if wrong := wrong_of_utterance(row):
            raise CorpusError(f"manifest row {str(row)[:80]}: no proper {wrong}")
        check_id(utterance.id)
        labels = None if utterance.labels is None else tuple(utterance.labels)
        return cls(**{**asdict(utterance), "labels": labels})


@dataclass(frozen=True)
class Reject:
    """An utterance that a stage could not use, and why."""

    id: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Table:
    """A JSON Lines table: what made it (``stage``, ``config``, ``fingerprint``) and its rows."""

    stage: str
    config: dict[str, Any]
    fingerprint: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    n: int = 0  # rows in the file, also when only its header was read


def write_table(path: Path, table: Table) -> None:
    """Writes ``table`` to ``path`` atomically; the same table gives the same bytes."""
    body = "".join(_to_line(row) for row in table.rows).encode()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "stage": table.stage,
        "fingerprint": table.fingerprint,
        "config": table.config,
        "n": len(table.rows),
        "rejects": [asdict(reject) for reject in table.rejects],
        "digest": xxhash.xxh3_128_hexdigest(body),
    }
    header["header_digest"] = xxhash.xxh3_128_hexdigest(_to_line(header).encode())
    write_bytes(path, _to_line(header).encode() + body)


def read_table(path: Path) -> Table:
    """Reads and checks a whole table. Raises ShardError when it is damaged or none."""
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        header = _header(path, first)
        if xxhash.xxh3_128_hexdigest(body) != header["digest"]:
            raise _damaged(path)
        return _table(header, [parse_json(line) for line in body.decode().split("\n") if line])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ShardError(f"{path}: not a readable table ({reason})") from None


def read_header(path: Path) -> Table:
    """Reads and checks a table's first line alone (no rows): cheap for status."""
    try:
        with path.open("rb") as lines:
            return _table(_header(path, lines.readline().rstrip(b"\n")), [])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ShardError(f"{path}: not a readable table ({reason})") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises TrainError when it is damaged or none."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path}: not readable as JSON ({error}); make it again") from None
    if not isinstance(value, dict):
        raise TrainError(f"{path}: not a JSON object; make it again")
    return value


def fingerprint(stage: str, config: Mapping[str, Any], inputs: Any) -> str:
    """Hex digest of a stage's settings and input: equal fingerprints mean equal results."""
    content = _to_line({"stage": stage, "config": deciding(config), "inputs": inputs})
    return xxhash.xxh3_128_hexdigest(content.encode())


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide a result: all but ``*_name``, which are for the reader's eyes."""
    return {key: value for key, value in config.items() if not key.endswith("_name")}


def check_id(utterance_id: str) -> str:
    """Returns an id that is safe as a name, or raises CorpusError.

    Refused: empty ids, absolute ones, ``.``, ``..`` or empty parts, control characters.
    """
    parts = utterance_id.split("/")
    if any(part in ("", ".", "..") for part in parts) or not utterance_id.isprintable():
        raise CorpusError(
            f"utterance id {utterance_id!r} is not allowed: it must be plain names joined by '/'"
        )
    return utterance_id


def safe_path(root: Path, relative: str) -> Path:
    """``root / relative``, with links followed. Raises CorpusError when it leaves ``root``."""
    if "\0" in relative or PurePosixPath(relative).is_absolute():
        raise CorpusError(f"path {relative!r} is not inside the corpus folder {root}")
    if max(len(os.fsencode(part)) for part in _encodable(relative).split("/")) > LONGEST_NAME:
        raise CorpusError(f"path {relative[:40]!r}... has a longer name than a file can have")
    try:
        resolved = (root / relative).resolve()
    except (OSError, RuntimeError):  # a loop of links
        raise CorpusError(f"path {relative!r} cannot be followed; mend the link") from None
    if not resolved.is_relative_to(_resolved(root)):
        raise CorpusError(f"path {relative!r} leads out of the corpus folder {root}")
    return resolved


def _encodable(relative: str) -> str:
    """A path that can be the name of a file. Raises CorpusError for half of a character."""
    try:
        os.fsencode(relative)
    except UnicodeEncodeError:
        raise CorpusError(f"path {relative!r} cannot be the name of a file") from None
    return relative


@lru_cache(maxsize=8)
def _resolved(root: Path) -> Path:
    """Once a process, not once an utterance: on a network disk it is a round trip a folder."""
    return root.resolve()


def existing_folder(path: Path, what: str) -> Path:
    """``path`` if it is a folder; raises UsageError naming ``what`` was expected otherwise."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder (expected {what})")
    return path


def _header(path: Path, line: bytes) -> dict[str, Any]:
    header = parse_json(line or b"null")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ShardError(f"{path}: not a trimodal table; delete it and run its stage again")
    if header["version"] > VERSION:
        raise ShardError(f"{path}: written by a newer trimodal; update this one")
    digest = header.pop("header_digest")
    if digest != xxhash.xxh3_128_hexdigest(_to_line(header).encode()):
        raise _damaged(path)
    return header


def _damaged(path: Path) -> ShardError:
    return ShardError(f"{path}: damaged, its checksum does not match; delete it and run again")


def _table(header: dict[str, Any], rows: list[dict[str, Any]]) -> Table:
    check_header(header)
    check_rows(header["stage"], rows)
    return Table(
        stage=header["stage"],
        config=header["config"],
        fingerprint=header["fingerprint"],
        rows=rows,
        rejects=[Reject(**reject) for reject in header["rejects"]],
        n=header["n"],
    )


def _to_line(row: Mapping[str, Any]) -> str:
    """One line of JSON with sorted keys; NaN and infinity have no JSON form and are refused."""
    return _ENCODER.encode(row) + "\n"
