"""Export to WebDataset: one tar a shard, one sample an utterance.

A sample has the members ``audio.npy``, ``video.npy``, ``video_times.npy``, ``text.npy``,
``text_times.npy`` (those it has) and ``json``. The tar is written by Python's tarfile with fixed
owner and time: the same features give the same bytes. Nothing in it is pickled.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import atomic_path
from pipelines.exchange.export_shards import Exported, export_shards
from pipelines.exchange.joined import FEATURES, Joined, joined_shard
from pipelines.mosei_labels import SCORES
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

VERSION = 1  # of the samples' layout


def export_webdataset(
    work: Path, out: Path, *, redo: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Exported:
    """Writes OUT/shard-00042.tar for every shard of a workspace; raises as ``export_shards``."""
    return export_shards(
        work, out, "webdataset", (".tar",), _write_tar, 
        settings={"version": VERSION}, redo=redo, progress=progress,
    )  # fmt: skip


def safe_key(utterance_id: str) -> str:
    """An id as a WebDataset key: no dot, no double underscore in front; another id, another key.

    A key ends at its first dot, and names that begin with ``__`` are taken for metadata. Those
    characters and ``%`` are written as in URLs: ``urllib.parse.unquote`` gives the id back.
    """
    key = utterance_id.replace("%", "%25").replace(".", "%2E")
    return f"%5F{key[1:]}" if key.startswith("__") else key


def _write_tar(workspace: Workspace, number: int, files: Sequence[Path]) -> int:
    n = 0
    with (
        atomic_path(files[0]) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for joined in joined_shard(workspace, number):
            n += 1
            for name, content in _members(joined):
                entry = tarfile.TarInfo(f"{safe_key(joined.utterance.id)}.{name}")
                entry.size = len(content)  # owner and time stay 0
                tar.addfile(entry, io.BytesIO(content))
    return n


def _members(joined: Joined) -> Iterator[tuple[str, bytes]]:
    for modality in FEATURES:
        arrays = getattr(joined, modality) or {}
        for field, suffix in (("features", ""), ("times_s", "_times")):
            if field in arrays:
                yield f"{modality}{suffix}.npy", _npy(arrays[field])
    yield "json", json.dumps(_facts(joined), sort_keys=True, ensure_ascii=False).encode()


def _facts(joined: Joined) -> dict[str, Any]:
    utterance = joined.utterance
    labels = utterance.labels
    return {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "fold": utterance.fold,
        "labels": None if labels is None else dict(zip(SCORES, labels, strict=True)),
        "transcript": joined.transcript,
        "text": utterance.text,
        "start_s": utterance.start_s,
        "end_s": utterance.end_s,
    }


def _npy(array: "np.ndarray") -> bytes:
    import numpy as np

    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()
