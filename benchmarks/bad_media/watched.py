"""A command line run as a user would, with an eye on its processes: memory, and what it touches."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.1


@dataclass
class Run:
    """What a command came to: bytes are of resident memory, at their highest."""

    exit_code: int
    said: str
    seconds: float
    largest_process_bytes: int
    all_processes_bytes: int


def watched(words: list[str], *, limit_s: float, look: Callable[[], None] = lambda: None) -> Run:
    """Runs ``python -m pipelines.cli WORDS`` to its end, or for ``limit_s`` and then kills it.

    ``look`` is called again and again meanwhile.
    """
    started_s = time.monotonic()
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *words], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        env=environment,
    )  # fmt: skip
    eye = _Eye(process.pid, look)
    eye.start()
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    eye.is_over = True
    eye.join()
    seconds = time.monotonic() - started_s
    return Run(process.returncode, said, seconds, eye.largest_bytes, eye.all_bytes)


class _Eye(threading.Thread):
    """Looks at the processes of a session."""

    def __init__(self, session: int, look: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._session, self._look = session, look
        self.largest_bytes = self.all_bytes = 0
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            now = [_memory(pid) for pid in _processes_of(self._session)]
            self.largest_bytes = max(self.largest_bytes, *(peak for _, peak in now), 0)
            self.all_bytes = max(self.all_bytes, sum(resident for resident, _ in now))
            self._look()
            time.sleep(LOOK_EVERY_S)


def _processes_of(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(folder.name))
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Bytes resident now, and at the process's own peak."""
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0, 0
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(kib.get("VmRSS", 0)) << 10, int(kib.get("VmHWM", 0)) << 10
