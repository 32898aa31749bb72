"""What each stage's table holds. A digest tells damage, not what was meant to be there.

Every check raises ValueError for content that no stage writes.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

TEXT, NUMBER = (str,), (int, float)
NONE = type(None)
# Field of an utterance -> the types that it may have.
_UTTERANCE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "speaker"), TEXT),
    **dict.fromkeys(("audio", "video", "text", "fold", "recording"), (str, NONE)),
    **dict.fromkeys(("end_s", "recording_start_s", "recording_end_s"), (int, float, NONE)),
    **dict.fromkeys(("audio_bytes", "video_bytes"), (int, NONE)),
    "start_s": NUMBER,
    "labels": (list, tuple, NONE),
}


_CONFIG: dict[str, dict[str, type]] = {
    "prepare": {"root": str, "shard_size": int, "corpus": str},
    "select": {"manifest": str, "decoding": dict},
}


def check_header(header: Mapping[str, Any]) -> None:
    """What the first line says, of any stage."""
    told = {"stage": str, "config": dict, "fingerprint": str, "n": int, "rejects": list}
    for name, kind in told.items():
        if type(header[name]) is not kind:
            raise ValueError(f"its {name} is no {kind.__name__}")
    for reject in header["rejects"]:
        if type(reject) is not dict or set(map(type, reject.values())) - {str}:
            raise ValueError("its list of rejects is none")
    config = header["config"]
    for name, kind in _CONFIG.get(header["stage"], {}).items():
        if type(config.get(name)) is not kind:
            raise ValueError(f"its setting {name} is no {kind.__name__}")
    if header["stage"] == "prepare" and not 0 < config["shard_size"] < 2**31:
        raise ValueError("its setting shard_size is no size")


def check_rows(stage: str, rows: Sequence[Any]) -> None:
    """Names the number of a row that a table of ``stage`` cannot have."""
    check = _CHECKS.get(stage)
    for number, row in enumerate(rows, 1):
        if type(row) is not dict:
            raise ValueError(f"row {number} is no object")
        if check is not None and (wrong := check(row)):
            raise ValueError(f"row {number} has no proper {wrong}")


def wrong_of_utterance(row: Mapping[str, Any]) -> str | None:
    """The name of a field of another type than an utterance's; None when there is none."""
    for name, types in _UTTERANCE.items():
        if name in row and (type(row[name]) not in types or not _is_fine(row[name])):
            return name
    labels = row.get("labels")
    return "labels" if labels is not None and not all(map(_is_number, labels)) else None


def _prepared(row: Mapping[str, Any]) -> str | None:
    missing = next((name for name in ("id", "speaker", "audio", "video") if name not in row), None)
    return missing or wrong_of_utterance(row)


def _decoded(row: Mapping[str, Any]) -> str | None:
    if type(row.get("id")) is not str:
        return "id"
    words, scores = row.get("words"), row.get("scores")
    if type(words) is not list or not all(map(_is_word, words)):
        return "words"
    if type(scores) is not dict or not all(map(_is_number, scores.values())):
        return "scores"
    return None


def _selected(row: Mapping[str, Any]) -> str | None:
    return None if type(row.get("id")) is str and type(row.get("shard")) is int else "id and shard"


_CHECKS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "prepare": _prepared,
    "decode": _decoded,
    "select": _selected,
}


def _is_word(word: Any) -> bool:
    """[word, start_s, end_s, confidence], the last three None where they are unknown."""
    if type(word) is not list or len(word) != 4 or type(word[0]) is not str:
        return False
    return all(number is None or _is_number(number) for number in word[1:])


def _is_number(value: Any) -> bool:
    return type(value) in NUMBER and _is_fine(value)


def _is_fine(value: Any) -> bool:
    """Numbers are finite, and no larger than arrays hold."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is not float or isfinite(value)
