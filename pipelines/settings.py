"""Settings: a preset (``demo`` or ``paper``), then a TOML file, then flags.

Each section of the file is the frozen dataclass of the part it configures; its fields are the
keys. The presets are TOML files too (``pipelines/presets``): copy one to start your own.
"""

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from featurize.errors import UsageError

PRESETS = ("paper", "demo")
SECTIONS = (
    "prepare",
    "decode",
    "select",
    "audio",
    "video",
    "text",
    "store",
    "model",
    "pretrain",
    "finetune",
)

Section = TypeVar("Section")


@dataclass(frozen=True)
class PrepareSettings:
    """How a corpus is cut: ``shard_size`` utterances a shard, shuffled once with ``seed``."""

    shard_size: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise UsageError(f"[prepare] shard_size = {self.shard_size}: must be at least 1")


@dataclass(frozen=True)
class SelectSettings:
    """What counts as English: see ``pipelines.select.Wish``."""

    score: str | None = None
    threshold: float | None = None
    keep_fraction: float | None = None


class Settings:
    """The merged settings of one command.

    Raises:
        UsageError: the TOML file cannot be read or has an unknown section.
    """

    def __init__(self, preset: str, config_file: Path | None = None) -> None:
        self._sources = [_read(Path(__file__).parent / "presets" / f"{preset}.toml")]
        if config_file is not None:
            self._sources.append(_read(config_file))

    def section(self, name: str, cls: type[Section], **flags: Any) -> Section:
        """The section as ``cls``; a flag that is None counts as not given.

        Raises:
            UsageError: unknown keys or values of the wrong type, all of them in one message.
        """
        merged: dict[str, Any] = {}
        for source in self._sources:
            merged.update(source.get(name, {}))
        merged.update({key: value for key, value in flags.items() if value is not None})
        return cls(**_checked(name, cls, merged))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise UsageError(f"{path}: not a readable TOML file: {error}") from None
    wrong = [key for key in content if key not in SECTIONS or not isinstance(content[key], dict)]
    if wrong:
        raise UsageError(
            f"{path}: unknown section {', '.join(map(repr, wrong))}; "
            f"the sections are {', '.join(f'[{name}]' for name in SECTIONS)}"
        )
    return content


def _checked(section: str, cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    known = {f.name for f in fields(cls) if f.init}
    problems = [
        f"{key} is unknown (known: {', '.join(sorted(known))})" for key in values.keys() - known
    ]
    checked = {}
    for key in values.keys() & known:
        try:
            checked[key] = _coerce(values[key], hints[key])
        except TypeError:
            problems.append(f"{key} = {values[key]!r} has the wrong type (want {hints[key]})")
    if problems:
        raise UsageError(f"section [{section}]: " + "; ".join(sorted(problems)))
    return checked


def _coerce(value: Any, hint: Any) -> Any:
    """``value`` as ``hint`` where nothing is lost (int to float, list to tuple)."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _coerce(value, option)
            except TypeError:
                continue
        raise TypeError
    if origin is tuple and isinstance(value, list | tuple):
        arguments = typing.get_args(hint)
        if arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise TypeError
        return tuple(_coerce(item, arguments[0]) for item in value)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise TypeError
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is types.NoneType and value is None:
        return None
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and (hint is bool) == (type(value) is bool)
    ):
        return value
    raise TypeError
