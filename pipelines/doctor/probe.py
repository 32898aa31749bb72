"""Questions that are answered by a process of their own, so that a broken library ends only that.

A probe is a module here that prints a line of JSON a step: first {"step": name}, then, when the
step is done, what it found, or {"error": text}. A process that ends in a step has found out what
is broken.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 120.0  # a first import from a network disk may take a minute
PACKAGES = str(Path(__file__).resolve().parents[2])


@dataclass
class Answers:
    """``found`` by step, and ``errors`` by step: its text, or how the process ended."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class Probe:
    """Runs ``python -m pipelines.doctor.NAME`` from now on; ``answers`` waits for it.

    What is first on PYTHONPATH is first there too; the working directory is not looked in.
    """

    def __init__(
        self, name: str, *words: str, environment: Mapping[str, str] | None = None
    ) -> None:
        given = os.environ if environment is None else environment
        path = [part for part in (given.get("PYTHONPATH"), PACKAGES) if part]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"pipelines.doctor.{name}", *words],
            env={**given, "PYTHONPATH": os.pathsep.join(path)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip

    def answers(self, timeout_s: float = TIMEOUT_S) -> Answers:
        """What it found; it is ended when it takes longer."""
        try:
            printed, complaint = self._process.communicate(timeout=timeout_s)
            end = _end_of(self._process.returncode, complaint)
        except subprocess.TimeoutExpired:
            self._process.kill()
            printed, _ = self._process.communicate()
            end = f"does not answer within {timeout_s:g} s"
        return _read(printed, end)

    def close(self) -> None:
        """Ends it, when nobody wants to know any more."""
        self._process.kill()
        self._process.communicate()


def told(step: str, look: Callable[[], dict[str, Any]]) -> None:
    """In a probe: takes one step, and tells what came of it."""
    print(json.dumps({"step": step}), flush=True)
    try:
        print(json.dumps(look()), flush=True)
    except BaseException as error:  # a broken package raises what it likes, SystemExit too
        text = _reason(error)
        print(json.dumps({"error": f"{type(error).__name__}: {text[:300]}"}), flush=True)


def _reason(error: BaseException) -> str:
    """The telling lines of an error: the first two, or the cause that NumPy puts at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Original error was")]
    return " ".join(causes[-1:] or lines[:2]) or "no reason given"


def _read(printed: str, end: str | None) -> Answers:
    answers, step = Answers(), None
    for line in printed.splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # a library that prints
            continue
        if not isinstance(value, dict):
            continue
        if "step" in value:
            step = str(value["step"])
        elif step is not None:
            if "error" in value:
                answers.errors[step] = str(value["error"])
            else:
                answers.found[step] = value
            step = None
    if step is not None or (end and not answers.found and not answers.errors):
        answers.errors[step or "start"] = end or "ends without an answer"
    return answers


def _end_of(status: int, complaint: str) -> str | None:
    """How a process ended that did not end well."""
    if status == 0:
        return None
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else -status
        return f"ends the process ({name})"
    last = (complaint.strip().splitlines() or [f"exit code {status}"])[-1]
    return f"cannot be run: {last[:300]}"
