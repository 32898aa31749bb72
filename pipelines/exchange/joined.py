"""The utterances of a workspace joined over its feature shards: what every export reads.

An utterance is there when the targets shard and one of audio, video and text have it. Audio and
targets have to be complete, as for training; video and text may be missing altogether.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.manifest import Utterance, deciding, fingerprint
from pipelines.runner import made_with
from pipelines.status import refuse_incomplete
from pipelines.workspace import MODALITIES, Workspace

if TYPE_CHECKING:
    import numpy as np

FEATURES = tuple(name for name in MODALITIES if name != "targets")


@dataclass(frozen=True)
class Joined:
    """One utterance; a modality that it lacks is None.

    ``utterance`` is its line of the manifest (speaker, fold, labels, raw text, media);
    ``transcript`` its normalised words; ``audio``, ``video`` and ``text`` the fields of their
    shards: "features" (n, D), and "times_s" (n,) of video, (n, 2) of text.
    """

    utterance: Utterance
    transcript: str
    audio: "Mapping[str, np.ndarray] | None"
    video: "Mapping[str, np.ndarray] | None"
    text: "Mapping[str, np.ndarray] | None"


def complete_workspace(work: Path) -> Workspace:
    """The workspace, whose features are complete. Raises UsageError when they are not."""
    refuse_incomplete(work)
    return Workspace(work)


def joined_shard(workspace: Workspace, number: int) -> Iterator[Joined]:
    """Yields the utterances of one shard in the manifest's order, one in memory at a time.

    Raises:
        ShardError: a shard is damaged.
    """
    from featurize.shards import ShardReader

    with ExitStack() as stack:
        readers = {
            modality: stack.enter_context(ShardReader(path))
            for modality, path in _paths(workspace, number).items()
        }
        for utterance in workspace.selected_shard(number):
            arrays = {
                modality: reader.read(utterance.id)
                for modality, reader in readers.items()
                if utterance.id in reader.index
            }
            targets = arrays.pop("targets", None)
            if targets is not None and arrays:
                transcript = targets["characters"].tobytes().decode()
                yield Joined(utterance, transcript, **{m: arrays.get(m) for m in FEATURES})


def joined_lengths(workspace: Workspace, number: int) -> Iterator[tuple[Utterance, dict[str, int]]]:
    """Yields what ``joined_shard`` will, as rows a modality (those that it has); reads no array."""
    from featurize.shards import ShardIndex

    rows: dict[str, dict[str, int]] = {}
    for modality, path in _paths(workspace, number).items():
        field = "characters" if modality == "targets" else "features"
        index = ShardIndex(path)
        rows[modality] = dict(zip(index.ids, index.lengths(field).tolist(), strict=True))
    for utterance in workspace.selected_shard(number):
        lengths = {m: rows[m][utterance.id] for m in rows if utterance.id in rows[m]}
        if lengths.pop("targets", None) is not None and lengths:
            yield utterance, lengths


def settings_of(workspace: Workspace, number: int) -> dict[str, dict[str, Any]]:
    """Modality -> the settings that made its features, of those that this shard has."""
    made = {m: made_with(path) for m, path in _paths(workspace, number).items()}
    return {m: header.config for m, header in made.items() if header and m in FEATURES}


def source_fingerprint(
    workspace: Workspace, number: int, kind: str, settings: Mapping[str, Any]
) -> str:
    """Digest of all that an export of one shard depends on: features, manifest, its settings."""
    made = {m: made_with(path) for m, path in _paths(workspace, number).items()}
    inputs = {
        "features": {m: [header.fingerprint, deciding(header.config)] for m, header in made.items()
                     if header},
        "utterances": [asdict(utterance) for utterance in workspace.selected_shard(number)],
    }  # fmt: skip
    return fingerprint(f"export {kind}", settings, inputs)


def _paths(workspace: Workspace, number: int) -> dict[str, Path]:
    paths = {modality: workspace.feature_path(number, modality) for modality in MODALITIES}
    return {modality: path for modality, path in paths.items() if path.is_file()}
