"""Export to MMSA (thuiar/MMSA): one pickle with the folds' padded features and sentiment labels.

``{"train" | "valid" | "test": {"raw_text", "id", "audio", "vision", "text", "audio_lengths",
"vision_lengths", "regression_labels", "emotion_labels"}}``, as MMSA's ``MMDataset`` reads it for
mosi and mosei, unaligned and without BERT: NumPy arrays (n, rows, D) and (n,), lists of n strings
or lengths. Ours beyond what MMSA reads: ``emotion_labels`` (n, 6). It is a pickle because MMSA
reads nothing else; trimodal itself never opens one.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import atomic_path
from featurize.errors import UsageError
from pipelines.exchange.export_ledger import Ledger
from pipelines.exchange.joined import (
    FEATURES,
    Joined,
    complete_workspace,
    joined_lengths,
    joined_shard,
    settings_of,
    source_fingerprint,
)
from pipelines.manifest import fingerprint
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

VERSION = 1  # of the layout
FOLDS = {"train": "train", "dev": "valid", "test": "test"}  # ours -> theirs
THEIR_NAMES = {"audio": "audio", "video": "vision", "text": "text"}
PROTOCOL = 4  # the oldest that takes arrays beyond 4 GB

Places = dict[str, tuple[str, int]]  # utterance id -> their fold, position in it


@dataclass(frozen=True)
class PaddedRows:
    """Rows to which each utterance is padded with zeros or cut; None: mean + 3 standard
    deviations of the lengths, at most the longest, which is MMSA-FET's rule."""

    audio: int | None = None
    video: int | None = None
    text: int | None = None


@dataclass
class MmsaSummary:
    """What an export came to: utterances a fold, those left out, those cut a modality."""

    status: str = "made"
    n_utterances: Counter[str] = field(default_factory=Counter)
    n_left_out: int = 0
    n_cut: Counter[str] = field(default_factory=Counter)
    rows: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """For the screen."""
        folds = ", ".join(f"{self.n_utterances[fold]} {fold}" for fold in FOLDS.values())
        cut = "; ".join(
            f"{self.n_cut[m]} of them cut to {rows} rows of {m}"
            for m, rows in self.rows.items()
            if self.n_cut[m]
        )
        left_out = f"{self.n_left_out} left out (no label, no fold or no features)"
        parts = [folds, cut, left_out if self.n_left_out else ""]
        return "; ".join(part for part in parts if part)


def export_mmsa(
    work: Path,
    out: Path,
    *,
    padded: PaddedRows | None = None,
    redo: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> MmsaSummary:
    """Writes one file for MMSA, and OUT.export.json beside it.

    Memory: the size of the file, which MMSA needs several times over to read it.

    Raises:
        UsageError: the features are not complete, a fold has no labelled utterance, a modality is
            missing altogether, or the file is too large for the memory.
        StaleError: OUT was made from other features or settings and ``redo`` is off.
    """
    padded = padded or PaddedRows()
    workspace = complete_workspace(work)
    record = out.with_name(f"{out.name}.export.json")
    ledger = Ledger(record, "mmsa", settings=settings_of(workspace, 0), redo=redo)
    sources = [source_fingerprint(workspace, k, "mmsa", {}) for k in range(workspace.n_shards)]
    source = fingerprint("export mmsa", {"version": VERSION, **asdict(padded)}, sources)
    summary, places = _layout(workspace, padded)
    if ledger.n_done(out.name, source) is not None:
        return replace(summary, status="already there")
    content = _content(workspace, summary, places, progress)
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=PROTOCOL)
    ledger.add(out.name, source, len(places), [out])
    return summary


def _layout(workspace: Workspace, padded: PaddedRows) -> tuple[MmsaSummary, Places]:
    """How many rows each modality gets, and the place of each utterance that is exported."""
    summary, places = MmsaSummary(), Places()
    lengths: dict[str, list[int]] = {modality: [] for modality in FEATURES}
    for number in range(workspace.n_shards):
        summary.n_left_out += len(workspace.selected_shard(number))
        for utterance, n_rows in joined_lengths(workspace, number):
            if utterance.labels is None or utterance.fold not in FOLDS:
                continue
            fold = FOLDS[utterance.fold]
            places[utterance.id] = fold, summary.n_utterances[fold]
            summary.n_utterances[fold] += 1
            summary.n_left_out -= 1
            for modality, n in n_rows.items():
                lengths[modality].append(n)
    _refuse_missing(workspace, summary, lengths)
    for modality, found in lengths.items():
        summary.rows[modality] = getattr(padded, modality) or _usual_rows(found)
        summary.n_cut[modality] = sum(n > summary.rows[modality] for n in found)
    return summary, places


def _refuse_missing(
    workspace: Workspace, summary: MmsaSummary, lengths: Mapping[str, list[int]]
) -> None:
    empty = [fold for fold in FOLDS.values() if not summary.n_utterances[fold]]
    if empty:
        raise UsageError(
            f"{workspace.root}: no utterance with labels in fold {empty[0]}; MMSA needs labelled "
            "train, valid and test folds, as `trimodal prepare mosei` gives them"
        )
    for modality, found in lengths.items():
        if not any(found):
            raise UsageError(
                f"{workspace.root}: no {modality} features; MMSA needs audio, video and text: run "
                f"`trimodal extract {workspace.root} {modality}` or import them"
            )


def _usual_rows(lengths: list[int]) -> int:
    import numpy as np

    return max(1, min(max(lengths), int(np.mean(lengths) + 3 * np.std(lengths))))


def _content(
    workspace: Workspace, summary: MmsaSummary, places: Places, progress: Callable[[int], None]
) -> dict[str, dict[str, Any]]:
    import numpy as np

    content: dict[str, dict[str, Any]] = {}
    for fold in FOLDS.values():
        n = summary.n_utterances[fold]
        content[fold] = {"raw_text": [""] * n, "id": [""] * n}
        content[fold]["audio_lengths"], content[fold]["vision_lengths"] = [1] * n, [1] * n
        content[fold]["regression_labels"] = np.zeros(n, np.float32)
        content[fold]["emotion_labels"] = np.zeros((n, 6), np.float32)
    try:
        for number in range(workspace.n_shards):
            for joined in joined_shard(workspace, number):
                if joined.utterance.id in places:
                    _put(content, joined, places[joined.utterance.id], summary)
            progress(len(workspace.selected_shard(number)))
    except MemoryError:
        rows = ", ".join(f"{n} of {modality}" for modality, n in summary.rows.items())
        raise UsageError(f"too large for the memory ({rows} rows); give fewer rows") from None
    return content


def _put(
    content: dict[str, dict[str, Any]], joined: Joined, place: tuple[str, int], summary: MmsaSummary
) -> None:
    """Writes one utterance at its place. A modality that it lacks is one row of zeros."""
    fold, i = place
    there, utterance = content[fold], joined.utterance
    assert utterance.labels is not None
    there["id"][i] = utterance.id
    there["raw_text"][i] = utterance.text or joined.transcript
    there["regression_labels"][i] = utterance.labels[0]
    there["emotion_labels"][i] = utterance.labels[1:]
    for modality, n_rows in summary.rows.items():
        arrays = getattr(joined, modality)
        if arrays is None:
            continue
        name, features = THEIR_NAMES[modality], arrays["features"][:n_rows]
        if name not in there:
            _allocate(content, summary, name, n_rows, features)
        there[name][i, : len(features)] = features
        if f"{name}_lengths" in there:
            there[f"{name}_lengths"][i] = max(1, len(features))  # MMSA's RNNs refuse 0


def _allocate(
    content: dict[str, dict[str, Any]],
    summary: MmsaSummary,
    name: str,
    n_rows: int,
    features: "np.ndarray",
) -> None:
    import numpy as np

    for fold, there in content.items():
        shape = (summary.n_utterances[fold], n_rows, features.shape[1])
        there[name] = np.zeros(shape, features.dtype)
