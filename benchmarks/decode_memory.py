"""Memory of decoders: peaks of a command's processes, and what a fork after loading would share."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import MIB

INTERVAL_S = 0.05


def peaks_of(command: Sequence[str], environment: dict[str, str]) -> dict[int, tuple[str, float]]:
    """Runs a command; of each of its processes the command line and the peak Pss in MiB.

    Pss counts a page that n processes share as 1/n in each, so that they may be added.
    """
    peaks: dict[int, tuple[str, float]] = {}
    with subprocess.Popen(
        command, start_new_session=True, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None:
            for pid in _of_session(process.pid):
                if (found := pss_mib(pid)) is not None:
                    line = _command_line(pid)
                    peaks[pid] = (line, max(found, peaks.get(pid, ("", 0.0))[1]))
            time.sleep(INTERVAL_S)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}")
    return peaks


def pss_mib(pid: int) -> float | None:
    """Proportional set size; None when the process is gone."""
    try:
        found = re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 / MIB if found else None


def forked(model: Path, sounds: Sequence[Path], n: int) -> tuple[float, float]:
    """Peak Pss in MiB of each of ``n`` decoders, and seconds: forks of one that loaded the model.

    Runs in a process that has no threads. Each decodes all the sounds.
    """
    from featurize.media import read_audio
    from pipelines.decoding.vosk_decoder import VoskDecoder

    decoder = VoskDecoder(model)
    samples = [read_audio(sound) for sound in sounds]
    started_s = time.monotonic()
    children = []
    for _ in range(n):
        if (pid := os.fork()) == 0:
            for one in samples:
                decoder.decode(one)
            time.sleep(0.5)  # until all have been seen at their largest
            os._exit(0)
        children.append(pid)
    peak, n_left = 0.0, n
    while n_left:
        found = [pss_mib(pid) or 0.0 for pid in children]
        if min(found) > 0:
            peak = max(peak, sum(found) / n)
        n_left -= sum(os.waitpid(pid, os.WNOHANG)[0] != 0 for pid in children if _runs(pid))
        time.sleep(INTERVAL_S)
    return peak, time.monotonic() - started_s - 0.5


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _of_session(session: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:  # proc(5)
            found.append(int(stat.parent.name))
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
