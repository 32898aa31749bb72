"""Input as strangers hand it over, gone wrong: bytes, lines of text, and JSON of the wrong form.

Everything is drawn from a ``random.Random``: hypothesis hands one in that it can shrink by, the
long run one that a number seeds.
"""

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

DEEP = 100_000  # brackets in brackets: more than Python's parsers take
EVIL_TOKENS: tuple[bytes, ...] = (
    *(b"", b"0", b"-1", b"1e999", b"-1e999", b"nan", b"inf", b"-0", b"1_0", b"0x10", b"9" * 400),
    *(b"9" * 5000, b"1e-400", b"18446744073709551616", b"-9223372036854775809", b"\xd9\xa3"),
    *(b"\0", b"\r", b"\n\n", b"\t", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xc2\x85"),
    *(b"../../x", b"/etc/passwd", b"a|", b"|", b"$(x)", b"`x`", b"%s%n", b"{}", b"#", b'"', b"'"),
    *(b"x" * 100_000, b"null", b"true", b"\xef\xbb\xbf", b"\x1c", b"\x0b", b"=", b",", b";", b" "),
)
EVIL_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, -0.0, 1e308),
    *(
        float("nan"),
        float("inf"),
        -float("inf"),
        "",
        "a",
        "1",
        "nan",
        "\0",
        "\n",
        "\ud800",
        "é" * 9,
    ),
    *("../../x", "/etc/passwd", "x" * 100_000, [], [[]], [None], {}, {"": {}}, [1, "a", None, {}]),
    *(
        [0] * 10_000,
        {"a": 1},
        [[0.5, 0.5]],
        "\u2028",
        "float16",
        "none",
        [1],
        ["a"],
        [["a", 0, 1, 2]],
    ),
)


def bytes_gone_wrong(rng: Random, content: bytes) -> bytes:
    """Bytes changed, cut out, put in, doubled; or cut off, or nothing of it at all."""
    if rng.random() < 0.05:
        return rng.choice([b"", b"\0", rng.randbytes(rng.randrange(200)), b"[" * DEEP, b"(" * DEEP])
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at, n = rng.randrange(len(changed) + 1), rng.choice([1, 1, 2, 4, 16, 256])
        new = (
            bytes([rng.randrange(256)]), b"", rng.choice(EVIL_TOKENS),
            bytes(changed[at : at + n]) * 2, rng.randbytes(n), bytes(n),
            b"\xff" * n,
        )  # fmt: skip
        changed[at : at + n] = rng.choice(new)
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.1 else changed)


def lines_gone_wrong(rng: Random, content: bytes) -> bytes:
    """Fields replaced, lost, doubled; lines lost, doubled, moved; other encodings and line ends."""
    lines = content.splitlines(keepends=True) or [b"\n"]
    for _ in range(rng.choice([1, 1, 2, 4])):
        k = rng.randrange(len(lines))
        separator = rng.choice([b" ", b"\t", b",", b"=", b"___", b"."])
        fields = lines[k].split(separator)
        j = rng.randrange(len(fields))
        choice = rng.randrange(6)
        if choice <= 2:
            fields[j] = rng.choice(EVIL_TOKENS) + (b"\n" if j == len(fields) - 1 else b"")
        elif choice == 3:
            del fields[j]
        elif choice == 4:
            fields.insert(j, rng.choice(fields))
        else:
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            continue
        lines[k] = separator.join(fields)
    return _encoded(rng, b"".join(lines))


def _encoded(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.85:
        return content
    text = content.decode("utf-8", "replace")
    forms: Sequence[Callable[[], bytes]] = (
        lambda: text.encode("utf-8-sig"), lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"), lambda: text.encode("latin-1", "replace"),
        lambda: content.replace(b"\n", b"\r\n"), lambda: content.replace(b"\n", b"\r"),
        lambda: content.rstrip(b"\n"), lambda: content[: len(content) // 2],
    )  # fmt: skip
    return rng.choice(forms)()


def json_gone_wrong(rng: Random, value: Any) -> Any:
    """The same value with some parts of other types, missing, or more than there should be."""
    changed = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        changed = _one_place(rng, changed)
    return changed


def _one_place(rng: Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(EVIL_VALUES))
    keys: Any = sorted(value, key=str) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    choice = rng.random()
    if choice < 0.7:
        value[key] = _one_place(rng, value[key])
    elif choice < 0.85:
        del value[key]
    elif isinstance(value, dict):
        value[rng.choice(["", "x", "\0", str(key) + "_", "id"])] = value[key]
    else:
        value.insert(key, value[key])
    return value


def as_json(value: Any) -> bytes:
    """As a careless tool writes it: NaN and Infinity as they are, surrogates too."""
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # an int of too many digits
        return b"1" + b"0" * 5000
