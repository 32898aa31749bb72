"""The commands that make damaged files again, and only those.

A damaged shard counts as not done, so its stage's own command with ``--shards`` makes it again. It
wants the settings of before; ``pipelines.runner`` refuses others than the other shards have.
"""

import shlex
from pathlib import Path

from pipelines.embedded import Embedded, open_workspace
from pipelines.manifest import Table
from pipelines.shard_list import shard_list
from pipelines.verify.check import Verification
from pipelines.verify.one_file import Checked
from pipelines.workspace import IMPORTED_FROM


def commands(work: Path, result: Verification) -> list[str]:
    """What makes everything that is damaged again, in the order in which it has to be run.

    Options that the stage was given the first time are for the user to add.
    """
    workspace = open_workspace(work)
    if isinstance(workspace, Embedded):
        return _of_embeddings(workspace, result)
    made = []
    for stage in dict.fromkeys(checked.file.stage for checked in result.damaged):
        damaged = [checked for checked in result.damaged if checked.file.stage == stage]
        if stage == "prepare":
            made.append(prepare_words(work, damaged[0].made))
        elif stage == "select":
            made.append(["select", str(work)])
        else:
            made.append(_of_shards(work, stage, damaged, result.files))
    return [shlex.join(["trimodal", *words]) for words in made]


def _of_embeddings(workspace: Embedded, result: Verification) -> list[str]:
    """The one command that makes its tables and its shards."""
    if not result.damaged:
        return []
    numbers = [c.file.shard for c in result.damaged if c.file.shard is not None]
    words = [*workspace.command(), *(["--shards", shard_list(numbers)] if numbers else [])]
    is_of_other_input = any(c.is_current is False or c.file.shard is None for c in result.damaged)
    return [shlex.join(["trimodal", *words, *(["--redo"] if is_of_other_input else [])])]


def prepare_words(work: Path, made: Table | None) -> list[str]:
    """The command that prepares again, after ``trimodal``, from the manifest's header.

    The shuffle and the cut must be those of before, or no shard is of this manifest. Files given
    the first time (labels, folds, a Kaldi data directory) are not in it.
    """
    if made is None:
        return ["prepare", "CORPUS", "ROOT", str(work), "--redo"]
    config = {key: str(value) for key, value in made.config.items() if value}
    corpus, root = config.get("corpus", "CORPUS"), config.get("root", "ROOT")
    words = ["prepare", corpus, "DIR" if corpus == "kaldi" else root, str(work)]
    words += ["--root", root] if corpus == "kaldi" else []
    words += ["--split", config["split"]] if config.get("split", "dev") != "dev" else []
    words += ["--drop-mistimed"] if "drop_mistimed" in config else []
    cut = ["--shard-size", config.get("shard_size", "512"), "--seed", config.get("seed", "0")]
    return [*words, *cut, "--redo"]


def _of_shards(work: Path, stage: str, damaged: list[Checked], files: list[Checked]) -> list[str]:
    headers = [c.made for c in files if c.file.stage == stage and c.made is not None]
    imported = headers[0].config.get(IMPORTED_FROM) if headers else None
    if stage == "decode":
        words = ["decode", str(work)]
    elif imported:
        words = ["import", str(imported), str(work), "SOURCE", "--modality", stage]
    else:
        words = ["extract", str(work), stage]
    numbers = [c.file.shard for c in damaged if c.file.shard is not None]
    words += ["--shards", shard_list(numbers)]
    # Of another input than there is now: without it the stage refuses to replace them.
    return [*words, "--redo"] if any(c.is_current is False for c in damaged) else words
