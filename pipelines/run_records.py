"""The JSON files of a run, read and checked to have the form that this program writes.

They may come from elsewhere, with a run that somebody shares: what they hold is used in tables,
pages and paths, so that a wrong kind of value has to be told here, by its name.
"""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from featurize.errors import TrainError
from featurize.plain_json import parse_json
from pipelines.manifest import read_object

# A shape is a test of a value, [shape] of all items of a list, {name: shape} of those members of an
# object that are there; of the others, INTERVAL's of those that end so, and str's of the rest.
Shape = Any
INTERVAL = "_ci"
ALL = "A+V+T"


def is_text(value: Any) -> bool:
    return type(value) is str


def is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63 and isfinite(value)


def or_none(shape: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or shape(value)


def is_interval(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(map(is_number, value))


FIGURES: Shape = {
    "undefined": is_text, "note": is_text, INTERVAL: or_none(is_interval), str: or_none(is_number),
}  # fmt: skip
LOG_LINE: Shape = {str: or_none(is_number)}
SETTINGS: Shape = {"features": is_text, "kind": is_text, "task": is_text}
FINETUNED: Shape = {
    "kind": is_text, "task": is_text, "init": or_none(is_text), "work": is_text,
    "seeds": [is_whole], "train_fraction": or_none(is_number),
}  # fmt: skip
_NESTED = ("ablation", "per_emotion")  # of the spread over runs
_CONDITION: Shape = {"average": FIGURES, "per_emotion": {str: FIGURES}}
_EVALUATION: Shape = {
    "task": is_text, "seeds": [is_whole], "best_seed": or_none(is_whole), "dev": FIGURES,
    "runs": [{"seed": is_whole, "dev": FIGURES, "test": FIGURES}],
    "test": {str: _CONDITION}, "train_fraction": or_none(is_number),
    "over_runs": {"n": is_whole, **dict.fromkeys(_NESTED, {str: FIGURES})},
}  # fmt: skip


def read_record(path: Path, shape: Shape) -> dict[str, Any]:
    """The JSON object in a file of a run.

    Raises:
        TrainError: it is damaged, or has another form; names what is wrong.
    """
    record = read_object(path)
    if wrong := misfit(record, shape):
        raise TrainError(f"{path}: {wrong} is not as trimodal writes it; make it again")
    return record


def read_evaluation(path: Path) -> dict[str, Any]:
    """A run's evaluation.json, with scores on test of all modalities. Raises as ``read_record``."""
    record = read_record(path, _EVALUATION)
    missing = [name for name in ("test", "seeds") if name not in record]
    conditions = record.get("test", {}).values()
    if missing or ALL not in record["test"] or not all("average" in one for one in conditions):
        raise TrainError(f"{path}: without scores on test; run `trimodal evaluate` with --redo")
    over = {k: v for k, v in record.get("over_runs", {}).items() if k not in _NESTED}
    if wrong := misfit(over, FIGURES):
        raise TrainError(f"{path}: over_runs.{wrong} is not as trimodal writes it; make it again")
    return record


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log.jsonl; none where there is no file.

    Raises TrainError, with the line's number.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            found = parse_json(line)
        except ValueError:
            raise TrainError(f"{path}: line {number} is not JSON; make the run again") from None
        if not isinstance(found, dict) or misfit(found, LOG_LINE):
            raise TrainError(f"{path}: line {number} is no line of figures; make the run again")
        yield found


def misfit(value: Any, shape: Shape, name: str = "") -> str | None:
    """The name of the first part of a value that has another shape; None when all fits."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return name or "it"
        parts = [(item, shape[0], f"{name}[{k}]") for k, item in enumerate(value)]
    elif isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return name or "it"
        parts = [
            (item, part, f"{name}.{key}" if name else key)
            for key, item in value.items()
            if (part := _part_of(shape, key)) is not None
        ]
    else:
        return None if shape(value) else name or "it"
    return next((wrong for part in parts if (wrong := misfit(*part))), None)


def _part_of(shape: Mapping[Any, Shape], key: str) -> Shape | None:
    """The shape of one member; None for one that may be anything."""
    if key not in shape and key.endswith(INTERVAL) and INTERVAL in shape:
        return shape[INTERVAL]
    return shape.get(key, shape.get(str))
