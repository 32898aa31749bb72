"""A workspace's corpus: whether it is where it was, with the files that were prepared."""

import shlex
from collections.abc import Iterator, Sequence

from pipelines.doctor.finding import Finding, ok
from pipelines.manifest import Utterance
from pipelines.retry.changed import Changed, changed_files
from pipelines.verify.mending import prepare_words
from pipelines.workspace import Workspace

N_SAMPLED = 1000  # utterances, evenly over the manifest: a round trip each on a network disk


def corpus_findings(workspace: Workspace) -> Iterator[Finding]:
    """The folder of the corpus."""
    root = workspace.corpus_root
    if root.is_dir():
        yield ok("corpus", str(root))
        return
    seen = f"{root}: no such folder; only what needs no media can be run"
    mends = f"mount {shlex.quote(str(root))}   # or, where it has moved: {_prepare(workspace)}"
    yield Finding("corpus", "problem", seen, mends)


def media_findings(workspace: Workspace, *, all_of_them: bool = False) -> Iterator[Finding]:
    """Files that are gone, lead out of the corpus, or have another size than when prepared."""
    if not workspace.corpus_root.is_dir():
        return
    chosen = workspace.utterances
    if all_of_them:
        changed = _with_bar(workspace, chosen)
    else:
        chosen = chosen[:: max(1, len(chosen) // N_SAMPLED)]
        changed = _changed(workspace, chosen)
    n, whole = len(chosen), len(workspace.utterances)
    looked = f"of {n:,} utterances" + (f", a sample of {whole:,}" if n < whole else "")
    gone = [file.path for file in changed if file.n_bytes is None]
    others = [file.path for file in changed if file.n_bytes is not None]
    if gone:
        seen = f"{len(gone):,} files {looked} are not there or lead elsewhere: {gone[0]} ..."
        mends = f"ls -l {shlex.quote(str(workspace.corpus_root / gone[0]))}"
        yield Finding("media files", "problem", seen, f"{mends}   # bring them back")
    if others:
        seen = f"{len(others):,} files {looked} changed in size since prepare: {others[0]} ..."
        yield Finding("media files", "problem", seen, _prepare(workspace))
    if not changed:
        yield ok("media files", f"those {looked} are there, of the sizes prepared")


def _with_bar(workspace: Workspace, utterances: Sequence[Utterance]) -> list[Changed]:
    from pipelines.progress import progress_bar

    changed = []
    with progress_bar("doctor: media files", len(utterances)) as advance:
        for start in range(0, len(utterances), N_SAMPLED):
            part = utterances[start : start + N_SAMPLED]
            changed += _changed(workspace, part)
            advance(len(part))
    return changed


def _changed(workspace: Workspace, utterances: Sequence[Utterance]) -> list[Changed]:
    kinds = ("audio", "video")
    found = [file for kind in kinds for file in changed_files(workspace, utterances, kind)]
    return list(dict.fromkeys(found))  # a video is often the sound's file too


def _prepare(workspace: Workspace) -> str:
    return shlex.join(["trimodal", *prepare_words(workspace.root, workspace.manifest)])
