"""CMU-MOSEI's folds: which videos are for training, for development and for test."""

import ast
from pathlib import Path
from typing import Any

from featurize.errors import CorpusError
from featurize.plain_json import parse_json

FOLDS = ("train", "dev", "test")
STANDARD_FOLDS = Path(__file__).with_name("mosei_folds.json")  # names its source
_FOLD_NAMES = {
    "train": "train",
    "valid": "dev",
    "dev": "dev",
    "test": "test",
    "standard_train_fold": "train",
    "standard_valid_fold": "dev",
    "standard_test_fold": "test",
}
_MAX_FOLDS_BYTES = 50_000_000  # the real file has 46 kB


def read_folds(path: Path) -> dict[str, str]:
    """Video id -> "train", "dev" or "test", from JSON or the CMU-MultimodalSDK's Python file.

    JSON is ``{"train": [ids], "valid": [ids], "test": [ids]}``; the Python file's lists are read
    as literals and nothing in it is executed. Raises CorpusError for anything else, and for a
    video that is in two folds.
    """
    lists = _fold_lists(path)
    fold_of_video: dict[str, str] = {}
    for name, fold in _FOLD_NAMES.items():
        for video in lists.get(name, ()):
            if fold_of_video.setdefault(video, fold) != fold:
                raise CorpusError(f"{path}: video {video!r} is in two folds; keep it in one")
    if not set(FOLDS) <= {_FOLD_NAMES[name] for name in lists}:
        raise CorpusError(f"{path}: expected three lists of video ids, train, valid and test")
    return fold_of_video


def _fold_lists(path: Path) -> dict[str, list[str]]:
    try:
        if path.stat().st_size > _MAX_FOLDS_BYTES:
            raise ValueError(f"larger than {_MAX_FOLDS_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
        content = _assigned_literals(text) if path.suffix == ".py" else parse_json(text)
        lists = {name: content[name] for name in _FOLD_NAMES if name in content}
        for ids in lists.values():
            if not isinstance(ids, list) or not all(isinstance(video, str) for video in ids):
                raise ValueError("a fold must be a list of strings")
    except (OSError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise CorpusError(f"{path}: cannot be read as folds ({error})") from None
    return lists


def _assigned_literals(source: str) -> dict[str, Any]:
    """Top-level ``name = literal`` lines whose name is that of a fold."""
    return {
        target.id: ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id in _FOLD_NAMES
    }
