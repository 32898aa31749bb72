"""One utterance's lines of a transcript made elsewhere, in each of the forms that are read."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from featurize.plain_json import parse_json
from featurize.transcript import is_no_word
from pipelines.decoding.engine import Decoded, Word

UNKNOWN = math.nan
_MOST_S = 1e6  # twelve days: a later time is a sample number or a mistake
# What the tools call a word's parts: Vosk, Whisper, whisper-timestamped and WhisperX, NeMo.
_WORD_KEYS = ("word", "text")
_CONFIDENCE_KEYS = ("conf", "confidence", "probability", "score")


def from_text(line: str) -> Decoded:
    """Kaldi's ``id word word ...``: no times."""
    return _decoded([(word, UNKNOWN, UNKNOWN, UNKNOWN) for word in line.split()[1:]])


def from_ctm(lines: str) -> Decoded:
    """Lines of a CTM, ``id channel start length word [confidence]``, in any order.

    Raises ValueError when a line is none, or two channels are mixed.
    """
    words: list[Word] = []
    channels = set()
    for line in lines.splitlines():
        fields = line.split()
        if len(fields) not in (5, 6):
            raise ValueError(f"has {len(fields)} fields, a line of a CTM has 5 or 6")
        channels.add(fields[1])
        start_s, length_s = _seconds(fields[2]), _seconds(fields[3])
        posterior = _posterior(fields[5]) if len(fields) == 6 else UNKNOWN
        words.append((fields[4], start_s, round(start_s + length_s, 4), posterior))
    if len(channels) > 1:
        raise ValueError(f"mixes the channels {' and '.join(sorted(channels))} of one id")
    return _decoded(sorted(words, key=lambda word: word[1]))


def from_json(line: str) -> Decoded:
    """One JSON object with "words", "result" or "segments" (words with times), or "text".

    Words are [word, start_s, end_s, confidence] or objects. "scores" and "n_frames" are optional.
    Raises ValueError when it has another form.
    """
    row = json_object(line)
    words = _json_words(row)
    scores = row.get("scores", {})
    if not isinstance(scores, dict) or not all(map(_is_number, scores.values())):
        raise ValueError('"scores" must be names with finite numbers')
    n_frames = row.get("n_frames", 0)
    if type(n_frames) is not int or n_frames < 0:
        raise ValueError('"n_frames" must be a whole number')
    return _decoded(words, n_frames, {name: float(value) for name, value in scores.items()})


def json_object(line: str) -> dict[str, Any]:
    """The object of a line, with its "id". Raises ValueError when it is none."""
    try:
        row = parse_json(line)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise ValueError('is no JSON object with an "id"')
    return row


PARSERS: Mapping[str, Callable[[str], Decoded]] = {
    "text": from_text,
    "ctm": from_ctm,
    "json_lines": from_json,
}


def _decoded(
    words: list[Word], n_frames: int = 0, scores: dict[str, float] | None = None
) -> Decoded:
    spoken = [word for word in words if not is_no_word(word[0])]
    return Decoded(spoken, n_frames, scores or {})


def _json_words(row: Mapping[str, Any]) -> list[Word]:
    for key in ("words", "result", "segments"):
        if isinstance(row.get(key), list):
            items = row[key]
            if key == "segments":
                if not all(isinstance(item, dict) for item in items):
                    raise ValueError('"segments" must be objects')
                if not any("words" in item for item in items):
                    break  # Whisper without word times
                if not all(isinstance(item.get("words", []), list) for item in items):
                    raise ValueError('"words" must be lists')
                items = [word for item in items for word in item.get("words", [])]
            return [word for item in items for word in [_json_word(item)] if word[0]]
    text = row.get("text")
    if not isinstance(text, str):
        raise ValueError('has neither "words" nor "text"')
    return [(word, UNKNOWN, UNKNOWN, UNKNOWN) for word in text.split()]


def _json_word(item: Any) -> Word:
    if isinstance(item, list) and len(item) == 4:
        text, start, end, confidence = item
    elif isinstance(item, dict):
        text = next((item[key] for key in _WORD_KEYS if key in item), None)
        start, end = item.get("start"), item.get("end")
        confidence = next((item[key] for key in _CONFIDENCE_KEYS if key in item), None)
    else:
        raise ValueError(f"{str(item)[:60]} is no word; write [word, start_s, end_s, confidence]")
    if not isinstance(text, str):
        raise ValueError(f"{str(item)[:60]} is no word")
    # Whisper writes " Hello,": the space and the punctuation are no part of the word.
    word = re.sub(r"\s+", "", text).strip('.,;:?!"') if isinstance(item, dict) else text.strip()
    start_s, end_s = (UNKNOWN if time is None else _seconds(time) for time in (start, end))
    return word, start_s, end_s, UNKNOWN if confidence is None else _posterior(confidence)


def _seconds(value: Any) -> float:
    seconds = _number(value)
    if not 0 <= seconds <= _MOST_S:
        raise ValueError(f"time {value} is no number of seconds from 0 on")
    return round(seconds, 4)


def _posterior(value: Any) -> float:
    posterior = _number(value)
    if not 0 <= posterior <= 1.001:  # Kaldi rounds some above 1
        raise ValueError(f"confidence {value} is not between 0 and 1")
    return min(posterior, 1.0)


def _number(value: Any) -> float:
    """NaN for what is none, which lies in no range."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(_number(value))
