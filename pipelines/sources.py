"""Where the models, vectors and lists of a stage lay: WORK/sources.json.

Shards tell by digest what made them, so that it can be moved; this file tells where it was, so that
`retry` finds it again and `doctor` sees that it is gone. It decides no result: what lies there is
held against the digest. Names (``demo``, ``random:0``) stand in the shards themselves.
"""

import json
from pathlib import Path
from typing import Any

from featurize.atomic import write_text
from featurize.plain_json import parse_json

FILE = "sources.json"


def remember(work: Path, stage: str, **given: str | None) -> None:
    """Notes which of these are files or folders, under their absolute paths."""
    paths = {name: str(_absolute(text)) for name, text in given.items() if text and _is_path(text)}
    before = _read(work)
    if before.get(stage, {}) != paths:
        now = {**before, stage: paths}
        write_text(work / FILE, json.dumps(now, indent=2, sort_keys=True) + "\n")


def recall(work: Path, stage: str) -> dict[str, str]:
    """Name -> path, as noted when the stage ran last; empty when it was made from names alone."""
    return _read(work).get(stage, {})


def _is_path(text: str) -> bool:
    path = Path(text)
    return path.exists() or path.parent.is_file()  # a member of an archive


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def _read(work: Path) -> dict[str, dict[str, str]]:
    try:
        found: Any = parse_json((work / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a hint that is lost: what needs it asks for it
        return {}
    if not isinstance(found, dict):
        return {}
    return {stage: paths for stage, paths in found.items() if _is_named_paths(paths)}


def _is_named_paths(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(path, str) for path in value.values())
