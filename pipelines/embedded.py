"""What ``embed`` leaves: a workspace of the same manifest, whose one stage are embeddings.

    OUT/manifest.jsonl, OUT/select/selected.jsonl    copies of those of WORK
    OUT/embed.json                                   WORK, RUN and the settings
    OUT/features/shard-00042.embeddings.h5           the embeddings

It stands by itself: ``verify`` and ``inspect`` need neither WORK nor RUN, ``status`` looks at WORK
where it is still there, to tell whether the features have changed since.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from featurize.errors import TrimodalError, UsageError
from pipelines.manifest import Table, deciding, fingerprint, read_object
from pipelines.runner import made_with
from pipelines.workspace import EMBEDDINGS, Workspace

DESCRIPTION = "embed.json"
SUMMED_CMVN = ("speaker", "global")  # takes audio of other utterances into account


class Embedded(Workspace):
    """A workspace made by ``embed``. Raises UsageError when its description or manifest is gone."""

    kinds: Sequence[str] = (EMBEDDINGS,)

    @property
    def stages(self) -> tuple[str, ...]:
        """What was decoded lies in the workspace that was embedded."""
        return tuple(self.kinds)

    @cached_property
    def description(self) -> dict[str, Any]:
        """``work``, ``run`` and ``config``."""
        return read_object(self.root / DESCRIPTION)

    def command(self) -> list[str]:
        """The words, after ``trimodal``, that make what is here; without the options."""
        return ["embed", self.description["work"], self.description["run"], str(self.root)]

    def is_current(self, stage: str, number: int, made: Table) -> bool:
        """See ``Workspace``; where WORK is not at hand, what is here counts as current."""
        try:
            inputs = self.source.inputs(number)
        except TrimodalError:
            return True
        return made.fingerprint == fingerprint(EMBEDDINGS, made.config, inputs)

    @cached_property
    def source(self) -> "Source":
        """The features that were embedded."""
        return Source(Path(self.description["work"]), self.description["config"])


class Source:
    """The features of a workspace that go into embeddings made with ``config``."""

    def __init__(self, work: Path, config: Mapping[str, Any]) -> None:
        self.workspace = Workspace(work)
        self._parts = sorted({"audio", "targets", *config["modalities"]})
        self._is_summed = config["encoder"].get("cmvn", "none") in SUMMED_CMVN

    def inputs(self, number: int) -> Any:
        """What the embeddings of a shard are made from: part of their fingerprint."""
        ids = [utterance.id for utterance in self.workspace.selected_shard(number)]
        made = {part: self._made_from(number, part) for part in self._parts}
        return [ids, made, self._of_all_audio]

    @cached_property
    def _of_all_audio(self) -> list[Any] | None:
        if not self._is_summed:
            return None
        parts = ("audio", "targets")
        return [[self._made_from(k, p) for p in parts] for k in range(self.workspace.n_shards)]

    def _made_from(self, number: int, part: str) -> Any:
        made = made_with(self.workspace.feature_path(number, part))
        return None if made is None else [made.fingerprint, deciding(made.config)]


def open_workspace(folder: Path) -> Workspace:
    """A workspace, or what ``embed`` made. Raises UsageError when the folder is neither."""
    return Embedded(folder) if (folder / DESCRIPTION).is_file() else Workspace(folder)


def refuse_other_folder(out: Path, work: Path) -> None:
    """Raises UsageError where ``out`` is used for something else."""
    if out.resolve() == work.resolve() or (
        (out / "manifest.jsonl").is_file() and not (out / DESCRIPTION).is_file()
    ):
        raise UsageError(f"{out}: is a workspace with features of its own; choose another folder")
