"""Findings on the screen as they come, and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from featurize.printable import printable
from pipelines.doctor.finding import Finding
from pipelines.doctor.machine import Group

MARKS = {"ok": ("\u2713", "green"), "note": ("\u00b7", "dim"), "warning": ("!", "yellow"),
         "problem": ("\u2717", "bold red")}  # fmt: skip
PLAIN = {"ok": "+", "note": "-", "warning": "!", "problem": "x"}
LABEL_COLUMNS = 22


def look(groups: Iterable[Group], console: Any | None) -> dict[str, list[Finding]]:
    """Takes all looks; prints each finding to ``console``, a rich one, if there is one."""
    found: dict[str, list[Finding]] = {}
    for title, checks in groups:
        findings = found.setdefault(title, [])
        if console:
            console.print(f"\n[bold]{title}[/bold]")
        for check in checks:
            if console and console.is_terminal:
                with console.status(f"{check.doing} ...", spinner="line"):  # plain in any locale
                    new = list(check.findings())
            else:
                new = list(check.findings())
            findings += new
            for finding in new:
                show(finding, console)
    return found


def show(finding: Finding, console: Any | None) -> None:
    """A line, and below it what mends it."""
    from rich.text import Text

    if not console:
        return
    can_print = (console.encoding or "").lower().startswith("utf")
    mark, style = MARKS[finding.level]
    line = Text("  ").append(mark if can_print else PLAIN[finding.level], style=style)
    line.append(f" {printable(finding.what):<{LABEL_COLUMNS}} ")
    line.append(printable(finding.seen), style="dim" if finding.level == "note" else "")
    console.print(line, soft_wrap=True)
    if finding.mends and finding.level != "ok":
        text = Text(f"      $ {printable(finding.mends)}", style="cyan")
        console.print(text, soft_wrap=True)


def final_line(found: dict[str, list[Finding]]) -> str:
    """How many problems and warnings there are."""
    problems, warnings = (_count(found, level) for level in ("problem", "warning"))
    if not problems and not warnings:
        return "doctor: no problem found"
    return f"doctor: {_counted(problems, 'problem')}, {_counted(warnings, 'warning')}"


def as_object(found: dict[str, list[Finding]]) -> dict[str, Any]:
    """Everything, by group."""
    return {
        "n_problems": _count(found, "problem"),
        "n_warnings": _count(found, "warning"),
        "groups": {title: [asdict(one) for one in findings] for title, findings in found.items()},
    }


def has_problems(found: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether anything has to be mended before trimodal can be relied on."""
    return _count(found, "problem") > 0


def _count(found: Any, level: str) -> int:
    return sum(one.level == level for findings in found.values() for one in findings)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
