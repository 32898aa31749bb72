"""The commands that make damaged files again, and only those.

A damaged shard counts as not done, so its stage's own command with ``--shards`` makes it again,
provided that it is given the settings of before. They are in the headers of the shards: what
flags can say of them is put into the command, and what they cannot is named. A command that is not
exact holds a placeholder in capitals, on which it fails before it makes anything.
"""

import json
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from featurize.errors import TrimodalError
from pipelines.manifest import Table, deciding
from pipelines.mending_settings import FOLDER, flags_for
from pipelines.verify import Verification
from pipelines.verify_file import Checked
from pipelines.workspace import IMPORTED_FROM

CONFIG = "SETTINGS.toml"  # stands for a settings file that no header tells
USUAL_REJECT_SHARE = 0.2  # the default of --max-reject-share
# Settings that come from the software itself, so that no settings file brings them back.
_BY_VERSION = frozenset({"architecture", "engine", "likelihood", "normaliser", "vectors"})


@dataclass
class Command:
    """A command line: its words without the leading ``trimodal``, and what is left to fill in."""

    words: list[str]
    open_points: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return shlex.join(["trimodal", *self.words])

    @property
    def is_exact(self) -> bool:
        """Whether it can be run as it is."""
        return not self.open_points


def commands(work: Path, result: Verification) -> list[Command]:
    """What makes everything that is damaged again, in the order in which it has to be run."""
    made: list[Command] = []
    for stage in dict.fromkeys(checked.file.stage for checked in result.damaged):
        damaged = [checked for checked in result.damaged if checked.file.stage == stage]
        if stage == "prepare":
            made.append(_prepare(work, damaged[0].made))
        elif stage == "select":
            made.append(_select(work, damaged[0].made))
        else:
            made += _of_shards(work, stage, damaged, result.files)
    return made


def shard_list(numbers: Iterable[int]) -> str:
    """What ``--shards`` reads: [3, 4, 5, 9] -> "3:6,9"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number:
            parts[-1][1] += 1
        else:
            parts.append([number, number + 1])
    return ",".join(str(a) if b == a + 1 else f"{a}:{b}" for a, b in parts)


def _of_shards(
    work: Path, stage: str, damaged: Sequence[Checked], files: Sequence[Checked]
) -> Iterator[Command]:
    """A command for each set of settings; a shard whose header is gone takes the others'."""
    known = [c.made for c in files if c.file.stage == stage and c.made is not None]
    groups: dict[str, list[Checked]] = {}
    for checked in damaged:
        header = checked.made or (known[0] if known else None)
        key = repr(deciding(header.config)) if header else ""
        groups.setdefault(key, []).append(replace(checked, made=header))
    for members in groups.values():
        numbers = [c.file.shard for c in members if c.file.shard is not None]
        header = members[0].made
        config = header.config if header else {}
        command = Command([*_start(work, stage, config), "--shards", shard_list(numbers)])
        if header is None:
            command.words += ["--config", CONFIG]
            command.open_points.append(f"{CONFIG}: the settings of before, which no shard tells")
        elif IMPORTED_FROM in config:
            command.open_points.append(f"{command.words[3]}: say where it is")
        else:
            _add_settings(command, stage, config)
        _add_reject_share(command, known)
        if any(checked.is_current is False for checked in members):
            command.words.append("--redo")  # else it refuses to replace what is of other input
        yield command


def _start(work: Path, stage: str, config: dict[str, Any]) -> list[str]:
    if IMPORTED_FROM in config:
        name = config.get("file_name") or config.get("folder_name")
        words = ["import", config[IMPORTED_FROM], str(work), f"{FOLDER}/{name}"]
        is_told = config[IMPORTED_FROM] == "npz" and config.get("hop_s")
        return [
            *words,
            "--modality",
            stage,
            *(["--hop-s", str(config["hop_s"])] if is_told else []),
        ]
    return ["decode", str(work)] if stage == "decode" else ["extract", str(work), stage]


def _add_settings(command: Command, stage: str, config: dict[str, Any]) -> None:
    """Adds the flags that lead to ``config``, and names what no flag says."""
    try:
        flags, resulting = flags_for(stage, config)
    except (TrimodalError, KeyError) as error:
        command.words += ["--config", CONFIG]
        command.open_points.append(f"{CONFIG}: settings that are unknown here ({error})")
        return
    command.words += flags
    command.open_points += [f"{flag}: say where it is" for flag in flags if FOLDER in flag]
    wanted, resulting = deciding(config), deciding(resulting)
    keys = wanted.keys() | resulting.keys()
    differing = {key for key in keys if wanted.get(key) != resulting.get(key)}
    if differing - _BY_VERSION:
        told = _told(wanted, resulting, differing - _BY_VERSION)
        command.words += ["--config", CONFIG]
        command.open_points.append(f"{CONFIG}: the settings file that gives {told}")
    if differing & _BY_VERSION:
        told = _told(wanted, resulting, differing & _BY_VERSION)
        command.open_points.append(
            f"made by another version ({told}): go back to it, or make all shards with --redo"
        )


def _told(wanted: dict[str, Any], resulting: dict[str, Any], keys: Iterable[str]) -> str:
    return "; ".join(f"{k}={wanted.get(k)!r}, here {resulting.get(k)!r}" for k in sorted(keys))


def _add_reject_share(command: Command, headers: Sequence[Table]) -> None:
    """A stage that has lost more than usual was allowed to; the mended shards need it again."""
    shares = [len(h.rejects) / (h.n + len(h.rejects)) for h in headers if h.n or h.rejects]
    if max(shares, default=0.0) > USUAL_REJECT_SHARE:
        command.words += ["--max-reject-share", str(math.ceil(10 * max(shares)) / 10)]


def _select(work: Path, made: Table | None) -> Command:
    command = Command(["select", str(work)])
    if made is None:
        command.open_points.append("add the --threshold or --keep-fraction of before, if any")
        return command
    for setting in ("threshold", "keep_fraction"):
        if made.config.get(setting) is not None:
            command.words += [f"--{setting.replace('_', '-')}", str(made.config[setting])]
    if _knew_languages(work):
        command.open_points.append("add the --languages of before, or its scores are lost")
    return command


def _knew_languages(work: Path) -> bool:
    try:
        summary = json.loads((work / "select" / "select.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("languages") is not None


def _prepare(work: Path, made: Table | None) -> Command:
    if made is None:
        return Command(
            ["prepare", "CORPUS", "ROOT", str(work), "--redo"], ["the options of before"]
        )
    config = made.config
    words = ["prepare", config["corpus"], config["root"], str(work)]
    words += ["--shard-size", str(config["shard_size"]), "--seed", str(config["seed"])]
    if "split" in config:
        words += ["--split", config["split"]]
    if config.get("drop_mistimed"):
        words.append("--drop-mistimed")
    table = {"voxceleb2": "--meta", "mosei": "--folds and --labels"}.get(config["corpus"])
    return Command([*words, "--redo"], [f"add the {table or 'options'} of before, if any"])
