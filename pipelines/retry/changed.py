"""Media files that are not those that were prepared: mended ones, mostly, or ones that are gone."""

import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from featurize.errors import CorpusError, UsageError
from pipelines.manifest import Utterance, safe_path
from pipelines.retry.rejected import Rejected
from pipelines.verify.mending import prepare_words
from pipelines.workspace import Workspace


class Changed(NamedTuple):
    """A media file whose size is not the manifest's: ``n_bytes`` now, None when it is gone."""

    path: str
    n_bytes: int | None


def changed_files(
    workspace: Workspace, utterances: Iterable[Utterance], kind: str
) -> list[Changed]:
    """Of the files that a stage reads for these utterances, those of another size than prepared."""
    return list(dict.fromkeys(_changed(workspace, utterances, kind)))


def refuse_changed(workspace: Workspace, found: Iterable[Rejected]) -> None:
    """Raises UsageError when a file to be tried again has another size than was prepared.

    The size is part of what a shard is made from: made from the new file under the old size, it
    would pass for another one than it is.
    """
    changed: dict[str, Changed] = {}
    for one in found:
        if one.stage in ("decode", "audio", "video"):
            ids = {reject.id for reject in one.rejects}
            utterances = [u for u in workspace.shard(one.shard) if u.id in ids]
            kind = "video" if one.stage == "video" else "audio"
            files = changed_files(workspace, utterances, kind)
            changed |= {file.path: file for file in files if file.n_bytes is not None}
    if changed:
        words = prepare_words(workspace.root, workspace.manifest)
        raise UsageError(
            f"{len(changed)} media file(s) changed in size since they were prepared (the first is "
            f"{min(changed)}); run `{shlex.join(['trimodal', *words])}` with the options of the "
            "first time, then the same retry again"
        )


def _changed(workspace: Workspace, utterances: Iterable[Utterance], kind: str) -> Iterator[Changed]:
    for utterance in utterances:
        path, prepared = getattr(utterance, kind), getattr(utterance, f"{kind}_bytes")
        if path is None:
            continue
        try:
            n_bytes = safe_path(workspace.corpus_root, path).stat().st_size
        except (OSError, CorpusError):
            yield Changed(path, None)
            continue
        if prepared not in (None, n_bytes):
            yield Changed(path, n_bytes)
