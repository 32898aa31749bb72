"""What ``verify`` found, for the screen and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from pipelines.verify.check import Verification
from pipelines.verify.one_file import Checked

N_IDS_SHOWN = 10  # of a file; the rest is in --json


def lines(result: Verification, mending: Sequence[str]) -> Iterator[str]:
    """Each damaged file with its utterances, the notes, and the commands that mend it all."""
    for checked in result.damaged:
        yield from _damage(checked)
    for path in result.misread:
        yield f"{path}: no shard of the manifest, but training would read it; move it away"
    for note in result.notes:
        yield f"note: {note}"
    if mending:
        yield "to make what is damaged again, with the options of the first time added:"
    yield from (f"  {command}" for command in mending)


def final_line(result: Verification) -> str:
    """One line: how much was read, and whether it was sound."""
    what = "no damage" if result.is_sound else _damage_in_short(result)
    return (
        f"verify: {_counted(len(result.files), 'file')}, "
        f"{_counted(result.n_utterances, 'utterance')}, "
        f"{byte_size(result.n_bytes)}, {what}; {result.seconds:.1f} s"
    )


def as_object(result: Verification, mending: Sequence[str]) -> dict[str, Any]:
    """The same as JSON has it, with every damaged utterance."""
    return {
        "n_files": len(result.files),
        "n_utterances": result.n_utterances,
        "n_bytes": result.n_bytes,
        "seconds": round(result.seconds, 3),
        "is_sound": result.is_sound,
        "damaged": [
            {
                "path": str(checked.file.path),
                "stage": checked.file.stage,
                "shard": checked.file.shard,
                "reason": checked.reason,
                "utterances": list(checked.damaged),
            }
            for checked in result.damaged
        ],
        "misread": [str(path) for path in result.misread],
        "notes": result.notes,
        "commands": list(mending),
    }


def _damage(checked: Checked) -> Iterator[str]:
    if checked.reason is not None:
        yield f"{checked.file.path}: {checked.reason}"
        return
    n_all = checked.made.n if checked.made else 0
    yield f"{checked.file.path}: {len(checked.damaged)} of {n_all} utterances damaged"
    yield from (f"  {utterance_id}" for utterance_id in checked.damaged[:N_IDS_SHOWN])
    if len(checked.damaged) > N_IDS_SHOWN:
        yield f"  ... and {len(checked.damaged) - N_IDS_SHOWN} more (--json names them all)"


def _damage_in_short(result: Verification) -> str:
    parts = []
    if result.damaged:
        n_ids = sum(len(checked.damaged) for checked in result.damaged)
        n_whole = sum(checked.reason is not None for checked in result.damaged)
        what = [_counted(n_ids, "utterance")] if n_ids else []
        what += [f"{n_whole:,} as a whole"] if n_whole else []
        parts.append(f"{len(result.damaged):,} damaged ({', '.join(what)})")
    if result.misread:
        parts.append(f"{len(result.misread):,} to move away")
    return ", ".join(parts)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def byte_size(n_bytes: int) -> str:
    """84100000000 -> "84.1GB"."""
    return f"{tqdm.format_sizeof(n_bytes)}B"
