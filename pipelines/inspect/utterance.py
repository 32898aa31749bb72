"""Inspect: what a shard and its siblings hold of one utterance.

The shards of one number, ``shard-00042.{audio,video,text,targets}.h5``, lie in one folder. Any of
them may be missing: what it would have told is then left out, with the reason.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import ShardError, UsageError
from model.config import EMOTIONS
from pipelines.workspace import EMBEDDINGS, MODALITIES

if TYPE_CHECKING:
    import numpy as np

    from featurize.shards import ShardIndex, ShardReader

LABELS = ("sentiment", *EMOTIONS)
BLOCK_VALUES = 1 << 18  # looked at in one go: the memory that an hour of features costs
_NAME = re.compile(rf"(?P<stem>.+)\.(?P<modality>{'|'.join(MODALITIES)})\.h5")


@dataclass
class Seen:
    """What the shards of one number hold of an utterance.

    Attributes:
        arrays: modality -> field -> rows, of what is there.
        config: modality -> the settings that made it.
        missing: modality -> why it is not there.
        words: of the transcript; empty when it is not known.
        speaker, fold, labels: as in the targets; None when not known. ``labels`` are sentiment
            and six emotions.
    """

    id: str
    arrays: dict[str, dict[str, "np.ndarray"]] = field(default_factory=dict)
    config: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    speaker: str | None = None
    fold: str | None = None
    labels: list[float] | None = None


def siblings(path: Path) -> dict[str, Path]:
    """Modality -> file, of the shards of the same number that there are; by name alone."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return {}
    beside = {m: path.with_name(f"{match['stem']}.{m}.h5") for m in MODALITIES}
    return {modality: other for modality, other in beside.items() if other.is_file()}


def see(path: Path, utterance_id: str | None) -> Seen | None:
    """One utterance of a shard and its siblings; the first one without an id, None of an empty one.

    Raises:
        UsageError: the shard has no such utterance.
        ShardError: it is damaged in this very shard; of a sibling it counts as missing.
    """
    from featurize.shards import ShardIndex

    shard = ShardIndex(path)
    if utterance_id is None and not shard.ids:
        return None
    seen = Seen(shard.ids[0] if utterance_id is None else utterance_id)
    if seen.id not in shard.index:
        raise UsageError(f"{path}: {_why_not(shard, seen.id)}")
    files = {**siblings(path), shard.modality: path}
    kinds = (EMBEDDINGS,) if shard.modality == EMBEDDINGS else MODALITIES
    for modality in kinds:
        if modality not in files:
            seen.missing[modality] = "no such file beside this one"
            continue
        try:
            _look(seen, modality, files[modality])
        except ShardError as error:
            if files[modality] == path:
                raise
            seen.missing[modality] = str(error).removeprefix(f"{files[modality]}: ")
    return seen


def _look(seen: Seen, modality: str, path: Path) -> None:
    from featurize.shards import ShardReader

    with ShardReader(path) as shard:
        if seen.id not in shard.index:
            seen.missing[modality] = _why_not(shard, seen.id)
            return
        seen.arrays[modality] = shard.read(seen.id)
        seen.config[modality] = shard.config
        if modality == "targets":
            _look_at_targets(seen, shard)


def _look_at_targets(seen: Seen, shard: "ShardReader") -> None:
    import numpy as np

    names = shard.column_names
    row = shard.columns[shard.index[seen.id]]
    if "speaker" in names:
        seen.speaker = row["speaker"].decode(errors="replace")
    if "fold" in names:
        seen.fold = row["fold"].decode(errors="replace") or None
    if "labels" in names and np.isfinite(row["labels"]).all():
        seen.labels = [float(label) for label in row["labels"]]
    characters = seen.arrays["targets"].get("characters")
    if characters is not None:
        seen.words = characters.tobytes().decode("utf-8", errors="replace").split()


def _why_not(shard: "ShardIndex", utterance_id: str) -> str:
    for reject in shard.rejects:
        if reject["id"] == utterance_id:
            return f"{utterance_id} was rejected: {reject['reason']}"
    near = difflib.get_close_matches(utterance_id, shard.ids, n=1)
    hint = f" (there is {near[0]})" if near else ""
    return (
        f"no utterance {utterance_id!r}{hint}; `trimodal inspect {shard.path} --json` lists all ids"
    )


def utterance_facts(seen: Seen) -> dict[str, Any]:
    """The values of an utterance in short, as JSON can hold it."""
    return {
        "id": seen.id,
        "speaker": seen.speaker,
        "fold": seen.fold,
        "labels": seen.labels,
        "transcript": " ".join(seen.words) if "targets" in seen.arrays else None,
        "values": {
            f"{modality} {name}": values_in_short(array)
            for modality, arrays in seen.arrays.items()
            for name, array in arrays.items()
            if (modality, name) != ("targets", "characters")
        },
        "missing": seen.missing,
    }


def values_in_short(array: "np.ndarray") -> dict[str, Any]:
    """Shape, least, mean and largest value, and the shares that are zero and unknown (NaN).

    Least, mean and largest are of the known values; None when there are none.
    """
    import numpy as np

    low, high, total, n_known, n_zeros = np.inf, -np.inf, 0.0, 0, 0
    for block in blocks(array):
        known = block[np.isfinite(block)].astype(np.float64)
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
            total += float(known.sum())
            n_known += known.size
            n_zeros += known.size - int(np.count_nonzero(known))
    return {
        "shape": list(array.shape),
        "min": low if n_known else None,
        "mean": total / n_known if n_known else None,
        "max": high if n_known else None,
        "share_zero": n_zeros / array.size if array.size else 0.0,
        "share_unknown": 1 - n_known / array.size if array.size else 0.0,
    }


def blocks(array: "np.ndarray", n_values: int = BLOCK_VALUES) -> Iterator["np.ndarray"]:
    """The rows of an array, some at a time."""
    n_rows = max(1, n_values // max(1, int(array[:1].size)))
    for start in range(0, len(array), n_rows):
        yield array[start : start + n_rows]
