"""Import from a computational sequence (``.csd``) of the CMU-MultimodalSDK.

The features lie by recording, each row with its interval. After alignment the entries are named
``ID[0]``, ``ID[1]`` ...; those numbers count rows of another sequence, not segments, so that all
entries of a recording are taken together and cut by time like any other.

**The cut**: a row belongs to the utterance that holds the middle of its interval, start <= middle
< end. So a row is in one utterance at most, and those of a word or frame across the border go
where most of it is. Rows are put in order of their start. ``times_s`` count from the utterance's
start: the row's start for video, start and end for text.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import CorpusError, UsageError
from pipelines.exchange.csd_file import (
    BROKEN,
    EXPECTED,
    Entries,
    first_line,
    open_csd,
    read_entry,
    read_metadata,
)
from pipelines.exchange.import_features import MAX_BYTES, Found, ReadFeatures
from pipelines.file_digest import file_digest
from pipelines.manifest import Utterance
from pipelines.workspace import IMPORTED_FROM, Workspace

if TYPE_CHECKING:
    import numpy as np

N_SAMPLED = 1000  # entries looked at for width and shift


@dataclass(frozen=True)
class CsdSource:
    """A csd file, read by time."""

    path: Path
    modality: str

    @contextmanager
    def opened(self) -> Iterator[ReadFeatures]:
        """Yields a function that reads the rows of one utterance."""
        with open_csd(self.path) as (data, entries):

            def read(utterance: Utterance) -> "dict[str, np.ndarray]":
                try:
                    return _cut(data, entries, utterance, self.modality)
                except BROKEN as error:
                    raise CorpusError(f"cannot be read ({first_line(error)})") from None

            yield read


def find_csd(
    path: Path, workspace: Workspace, modality: str, progress: Callable[[int], None]
) -> tuple[Found, int]:
    """Looks at a csd file; ``progress`` is told the bytes read for its digest.

    Returns the source, and how many of the file's recordings no utterance comes from.

    Raises:
        UsageError: the manifest does not say where its utterances lie in the recordings, or the
            file holds none of them.
        CorpusError: the file is no csd.
    """
    wanted = {u.recording for u in workspace.utterances if u.recording is not None}
    if not wanted:
        raise UsageError(
            f"{workspace.root}: its manifest does not say which stretch of which recording an "
            "utterance is; run `trimodal prepare mosei` again, or import one .npz an utterance"
        )
    with open_csd(path) as (data, entries):
        shared = [name for key in sorted(wanted & entries.keys()) for name in entries[key]]
        if not shared:
            raise UsageError(f"{path}: holds none of the {len(wanted)} recordings of this corpus")
        widths, shifts = _look(path, data, shared[:: -(-len(shared) // N_SAMPLED)])
        metadata = read_metadata(data.parent)
    width = widths.most_common(1)[0][0]
    config = {
        IMPORTED_FROM: "csd",
        "file_name": path.name,
        "file_xxh3": file_digest(path, progress),
        "cut": "middle of the interval",
        "width": width,
        **({"hop_s": _constant(shifts)} if modality == "audio" else {}),
    }
    found = Found(CsdSource(path, modality), width, config, {"csd": metadata})
    return found, len(entries.keys() - wanted)


def _cut(
    data: Any, entries: Entries, utterance: Utterance, modality: str
) -> "dict[str, np.ndarray]":
    import numpy as np

    start_s, end_s = utterance.recording_start_s, utterance.recording_end_s
    if utterance.recording is None or start_s is None or end_s is None:
        raise CorpusError("the manifest does not say where it lies in its recording")
    if utterance.recording not in entries:
        raise CorpusError("its recording is not in the file")
    parts = []
    for name in entries[utterance.recording]:
        features, intervals = read_entry(data, name)
        middles = intervals.mean(axis=1)
        chosen = np.flatnonzero((start_s <= middles) & (middles < end_s))  # NaN: in none
        if len(chosen):
            parts.append((_rows(features, chosen), intervals[chosen]))
    if not parts:
        raise CorpusError("no row of features in its interval")
    if len({rows.shape[1] for rows, _ in parts}) > 1:
        raise CorpusError("features of several widths in one recording")
    rows, intervals = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(intervals[:, 0], kind="stable")
    times_s = intervals[order] - start_s
    return {"features": rows[order], "times_s": times_s if modality == "text" else times_s[:, 0]}


def _rows(features: Any, chosen: "np.ndarray") -> "np.ndarray":
    """The chosen rows, ascending, in one read of what lies between the first and the last."""
    first, last = int(chosen[0]), int(chosen[-1]) + 1
    n_bytes = (last - first) * features.shape[1] * features.dtype.itemsize
    if n_bytes > MAX_BYTES:
        raise CorpusError(f"{n_bytes} bytes of features, too many for one utterance")
    return features[first:last][chosen - first]


def _look(path: Path, data: Any, names: list[str]) -> "tuple[Counter[int], np.ndarray]":
    """Widths of some entries, and the shifts between their first rows in seconds.

    Entries that cannot be read are passed over: each is rejected when its turn comes.
    """
    import numpy as np

    widths: Counter[int] = Counter()
    shifts, problem = [], "no entries"
    for name in names:
        try:
            features, intervals = read_entry(data, name)
        except (CorpusError, *BROKEN) as error:
            problem = first_line(error)
            continue
        widths[features.shape[1]] += 1
        shifts.append(np.diff(np.sort(intervals[:100, 0])))
    if not widths:
        raise CorpusError(f"{path}: {problem}; {EXPECTED}")
    return widths, np.concatenate(shifts)


def _constant(shifts_s: "np.ndarray") -> float | None:
    """The shift between rows in seconds, where nearly all have the same; None otherwise."""
    import numpy as np

    if not len(shifts_s):
        return None
    usual_s = float(np.median(shifts_s))
    is_usual = np.abs(shifts_s - usual_s) <= 0.02 * usual_s
    return round(usual_s, 6) if usual_s > 0 and is_usual.mean() > 0.95 else None
