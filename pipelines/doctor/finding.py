"""What one look at the machine or a workspace found."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

# A note is no fault: something optional that is not there.
Level = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """``what`` was looked at, what was ``seen``, and for all but "ok" what ``mends`` it.

    ``mends`` is a command to type wherever there is one.
    """

    what: str
    level: Level
    seen: str
    mends: str | None = None


@dataclass(frozen=True)
class Check:
    """One look; ``doing`` says what takes its time."""

    doing: str
    look: Callable[[], Iterable[Finding]]

    def findings(self) -> Iterator[Finding]:
        """What it finds; a check that fails itself is a finding, and the others go on."""
        try:
            yield from self.look()
        except Exception as error:  # of a broken machine anything may come
            text = str(error).partition("\n")[0] or type(error).__name__
            yield Finding(self.doing, "warning", f"cannot be looked at: {text}")


def ok(what: str, seen: str) -> Finding:
    """All is well."""
    return Finding(what, "ok", seen)
