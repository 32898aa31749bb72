"""Checks run in processes of their own, with limits and libraries that are really broken."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOOK = """
import json, os, sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

module, name, *words = sys.argv[1:]
words = [Path(word) if word.startswith("/") else word for word in words]
look = getattr(import_module(module), name)
if user := os.environ.get("AS_USER"):  # only now: Python itself need not be open to that user
    os.setuid(int(user))
found = look(*words)
print(json.dumps([asdict(one) for one in found]))
"""


@pytest.fixture
def look() -> Callable[..., list[dict]]:
    """``look("limits.limit_findings", before="ulimit -n 64")``: findings of a check in a child."""

    def run(name: str, *words: object, before: str = "true", **environment: str) -> list[dict]:
        module, _, function = f"pipelines.doctor.{name}".rpartition(".")
        command = ["bash", "-c", f'{before} && exec "$@"', "bash", sys.executable, "-c", LOOK]
        ran = subprocess.run(
            [*command, module, function, *map(str, words)], cwd=ROOT, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True,
            timeout=60,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


@pytest.fixture
def doctor() -> Callable[..., tuple[int, dict]]:
    """``doctor(work)``: exit code and JSON of the command, run as a user runs it."""

    def run(*words: object, first_path: Path | None = None, **environment: str) -> tuple[int, dict]:
        path = os.pathsep.join(map(str, ([first_path] if first_path else []) + [ROOT]))
        ran = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "doctor", "--json", *map(str, words)], cwd="/",
            env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True,
            timeout=300,  # a machine may be busy
        )  # fmt: skip
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    return run
