"""Import of features that were extracted elsewhere: shards as ``extract`` makes them.

A source (``import_csd``, ``import_npz``) finds the rows of an utterance; what is here makes units
of work of them and writes the shards. Values that are not finite become 0, as users of COVAREP
features have to do anyway, and are counted in the shard, an utterance at a time.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featurize.errors import CorpusError
from pipelines.manifest import Utterance, fingerprint
from pipelines.runner import Outcome, Unit
from pipelines.shard_work import Content, each, write_shard
from pipelines.workspace import IMPORTED_FROM, Workspace

if TYPE_CHECKING:
    import numpy as np

MAX_BYTES = 2 * 1024**3  # of one utterance's features
ENCODING = "float32"  # as they came; what others extract need not fit float16
REPLACED = "n_replaced"  # column: values of an utterance that were not finite
TIMES_SHAPE: dict[str, tuple[int, ...]] = {"video": (), "text": (2,)}

# An utterance -> "features" (n, D) and, where known, "times_s"; raises CorpusError without any.
ReadFeatures = Callable[[Utterance], "dict[str, np.ndarray]"]


class Source(Protocol):
    """Features extracted elsewhere; sent to the worker processes."""

    def opened(self) -> AbstractContextManager[ReadFeatures]:
        """Opens it for reading."""


@dataclass(frozen=True)
class Found:
    """A source and what was learnt of it before reading all of it.

    ``config`` decides the result (part of the fingerprint), ``tools`` says how it was made.
    """

    source: Source
    width: int
    config: dict[str, Any]
    tools: dict[str, Any]


def plan(workspace: Workspace, modality: str, shards: Iterable[int], found: Found) -> list[Unit]:
    """One unit a shard."""
    return [_unit(workspace, modality, number, found.config) for number in shards]


def _unit(workspace: Workspace, modality: str, number: int, config: dict[str, Any]) -> Unit:
    assert IMPORTED_FROM in config
    inputs = workspace.inputs(modality, number, is_imported=True)
    return Unit(
        shard=number,
        output=workspace.feature_path(number, modality),
        fingerprint=fingerprint(modality, config, inputs),
        config=config,
        root=workspace.corpus_root,
        utterances=workspace.selected_shard(number),
    )


def import_work(found: Found, modality: str, unit: Unit) -> Outcome:
    """Writes one shard: features float32, times_s for video and text, NaN where unknown."""
    fields: dict[str, tuple[tuple[int, ...], str]] = {"features": ((found.width,), ENCODING)}
    if modality in TIMES_SHAPE:
        fields["times_s"] = (TIMES_SHAPE[modality], "float32")
    tools = {**found.tools, "h5py": version("h5py")}
    with found.source.opened() as read:

        def content(utterance: Utterance) -> Content:
            arrays = read(utterance)
            features, n_replaced = _finite(arrays["features"], found.width)
            times_s = _times(arrays.get("times_s"), modality, len(features))
            return {"features": features, REPLACED: n_replaced, **times_s}

        rows = each(unit.utterances, content)
        columns = {REPLACED: ((), "int64")}
        return write_shard(unit, modality, fields, tools, rows, columns=columns)


def _finite(features: "np.ndarray", width: int) -> "tuple[np.ndarray, int]":
    """As float32 (n, width) with 0 for what is not finite, and how many those are."""
    import numpy as np

    if features.shape[1] != width:
        raise CorpusError(f"features of width {features.shape[1]}, most others have {width}")
    if not len(features):
        raise CorpusError("no row of features")
    with np.errstate(over="ignore", invalid="ignore"):
        values = features.astype(np.float32)
    is_bad = ~np.isfinite(values)
    values[is_bad] = 0
    return values, int(is_bad.sum())


def _times(times_s: "np.ndarray | None", modality: str, n_rows: int) -> "dict[str, np.ndarray]":
    import numpy as np

    if modality not in TIMES_SHAPE:
        return {}
    shape = (n_rows, *TIMES_SHAPE[modality])
    if times_s is None:
        return {"times_s": np.full(shape, np.nan, np.float32)}
    if times_s.shape != shape:
        raise CorpusError(f"times_s is {times_s.shape}, {modality} of {n_rows} rows wants {shape}")
    return {"times_s": times_s.astype(np.float32)}


def replaced(paths: Iterable[Path]) -> tuple[int, int]:
    """How many values of these shards were not finite, and in how many utterances."""
    from featurize.shards import ShardIndex

    n_values = n_utterances = 0
    for path in paths:
        counts = ShardIndex(path).columns[REPLACED]
        n_values += int(counts.sum())
        n_utterances += int((counts > 0).sum())
    return n_values, n_utterances
