"""JSON from files that others may have written."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value that a text holds.

    Raises ValueError, and nothing else, when it is none: also for brackets nested too deeply, and
    for half a surrogate pair, a string that could not be written anywhere.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    escape = "\\ud" if isinstance(text, str) else b"\\ud"
    if escape in text.lower():  # type: ignore[operator]
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair") from None
    return value
