"""What ``inspect`` found, as tables on the screen; plain columns where it is no terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from featurize.printable import printable
from pipelines.inspect.utterance import LABELS
from pipelines.screen import new_console
from pipelines.verify.report import byte_size

N_IDS_SHOWN = 5
N_WORDS_SHOWN = 80


def print_shard(facts: Mapping[str, Any], screen: Any = None) -> None:
    """Prints a shard's facts to ``screen``, a rich console."""
    console = screen or new_console()
    rejected = f", {facts['n_rejects']:,} rejected" if facts["n_rejects"] else ""
    _say(console, facts["path"])
    _say(
        console,
        f"  {facts['modality']}, format version {facts['version']}, "
        f"{facts['n_utterances']:,} utterances{rejected}, {byte_size(facts['n_bytes'])}, "
        f"compression {facts['compression']}",
    )
    _say(console, f"  fingerprint {facts['fingerprint']}")
    for part, title, head in (("config", "Settings", "setting"), ("tools", "Tools", "tool")):
        made = [(key, str(value)) for key, value in sorted(facts[part].items())]
        _table(console, title, (head, "value"), made, "")
    rows = [_field_row(name, field) for name, field in facts["fields"].items()]
    heads = ("field", "row", "encoding", "rows", "bytes", "in file", "rows an utterance")
    _table(console, "Fields", heads, rows, "rrrr")
    if facts["columns"]:
        _say(console, f"  and a value an utterance: {', '.join(facts['columns'])}")
    rejects = [(f"{r['n']:,}", r["reason"]) for r in facts["rejects"]]
    _table(console, "Rejected", ("utterances", "reason"), rejects, "")
    names = list(facts["fields"])
    shown = facts["ids"][:N_IDS_SHOWN]
    rows = [(entry["id"], *(f"{entry[name]:,}" for name in names)) for entry in shown]
    title = f"The first {len(rows)} of {facts['n_utterances']:,} utterances (--json lists all)"
    _table(console, title, ("id", *(f"{name} rows" for name in names)), rows, "r" * len(names))


def print_utterance(facts: Mapping[str, Any], screen: Any = None) -> None:
    """Prints what the shards of one number hold of an utterance."""
    console = screen or new_console()
    _say(console, f"Utterance {facts['id']}")
    for key in ("speaker", "fold"):
        if facts[key] is not None:
            _say(console, f"  {key}: {facts[key]}")
    if facts["transcript"] is not None:
        words = facts["transcript"].split()
        rest = len(words) - N_WORDS_SHOWN
        more = f" ... and {rest:,} more words" if rest > 0 else ""
        _say(console, f"  transcript: {' '.join(words[:N_WORDS_SHOWN])}{more}")
    if facts["labels"] is not None:
        told = zip(LABELS, facts["labels"], strict=True)
        _say(console, f"  labels: {', '.join(f'{name} {label:.3g}' for name, label in told)}")
    rows = [_values_row(name, values) for name, values in facts["values"].items()]
    heads = ("field", "shape", "min", "mean", "max", "zeros", "unknown")
    _table(console, "Values", heads, rows, "rrrrrr")
    for modality, why in facts["missing"].items():
        _say(console, f"  no {modality}: {why}")


def _field_row(name: str, field: Mapping[str, Any]) -> tuple[str, ...]:
    lengths = f"{field['rows_min']:,} to {field['rows_max']:,}, mean {field['rows_mean']:,.1f}"
    shape = " x ".join(map(str, field["row_shape"])) or "1"
    return (
        name, shape, field["encoding"], f"{field['n_rows']:,}", byte_size(field["n_bytes"]),
        byte_size(field["stored_bytes"]), lengths,
    )  # fmt: skip


def _values_row(name: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    known = ("-" if values[k] is None else f"{values[k]:.4g}" for k in ("min", "mean", "max"))
    shares = (f"{values[k]:.1%}" for k in ("share_zero", "share_unknown"))
    return (name, " x ".join(f"{n:,}" for n in values["shape"]), *known, *shares)


def _table(
    console: Any, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], right: str
) -> None:
    """A table, whose columns after the first are set right as far as ``right`` is long."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    lines = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=lines, pad_edge=lines is not None)
    for i, head in enumerate(heads):
        is_right = 0 < i <= len(right)
        table.add_column(head, justify="right" if is_right else "left", overflow="fold")
    for row in rows:  # as Text: an id in square brackets is an id, not markup
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()


def _say(console: Any, line: str) -> None:
    from rich.text import Text

    console.print(Text(printable(line)), soft_wrap=True)
