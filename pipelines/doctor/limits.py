"""What the system allows a process: open files, memory, cores; and the process's surroundings."""

import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.doctor.finding import Finding, Level, ok
from pipelines.doctor.sizes import size

# The store keeps up to 160 shards open, a compressed one twice; libraries and pipes come on top.
NEEDED_FILES = 512
LEAST_SHM_BYTES = 256e6  # a container's usual 64 MB end PyTorch's workers and NCCL with a bus error
BYTES_A_JOB = 2e9  # a worker with VGG-16 and its decoder, or with a large acoustic model
LEAST_FILE_BYTES = 16e9  # a shard of 512 utterances with all frames of minutes of video
OLDEST_NOW_S = 1704067200.0  # 2024-01-01: a clock before that was never set


def limit_findings() -> Iterator[Finding]:
    """``ulimit``: open files, the size of a file, the size of a process."""
    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < NEEDED_FILES:
        seen = f"{files:,} at once are allowed; training opens up to {NEEDED_FILES:,}"
        mends = f"ulimit -n {NEEDED_FILES}"
        if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:  # only root may raise it
            mends = f"sudo prlimit --pid $$ --nofile={NEEDED_FILES}:{NEEDED_FILES}"
        yield Finding("open files", "problem", seen, mends)
    else:
        yield ok("open files", f"{_limit(files)} at once are allowed")
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if largest != resource.RLIM_INFINITY:
        level: Level = "problem" if largest < LEAST_FILE_BYTES else "note"
        seen = f"no file may be larger than {size(largest)} (ulimit -f)"
        yield Finding("file size", level, seen, "ulimit -f unlimited")
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY:
        seen = f"a process may map {size(space)} (ulimit -v); shards and vectors are mapped whole"
        yield Finding("address space", "warning", seen, "ulimit -v unlimited")


def memory_findings(n_jobs: int, available: float | None = None) -> Iterator[Finding]:
    """Memory that processes may take here, against the jobs that a stage starts by itself."""
    limit = memory_limit()
    free = _available() if available is None else available
    least = min(limit or free, free)
    seen = f"{size(least)} can be taken"
    seen += f", of {size(limit)} that the container is allowed" if limit else ""
    if least < n_jobs * BYTES_A_JOB:
        fit = max(1, int(least // BYTES_A_JOB))
        seen += (
            f"; {n_jobs} jobs, as many as there are cores, may want {size(n_jobs * BYTES_A_JOB)}"
        )
        yield Finding("memory", "warning", seen, f"trimodal extract WORK video --jobs {fit}")
    else:
        yield ok("memory", f"{seen}; enough for {n_jobs} jobs")


def core_findings(n_jobs: int) -> Iterator[Finding]:
    """Cores, and whether OMP_NUM_THREADS makes too many threads of them, or too few."""
    n_cores = os.cpu_count() or 1
    allowed = f" (of {n_cores}; the rest is not for this process)" if n_jobs < n_cores else ""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > 1:
        seen = f"{n_jobs}{allowed}; OMP_NUM_THREADS={threads} gives each of as many jobs {threads}"
        yield Finding("cores", "warning", f"{seen} threads", "unset OMP_NUM_THREADS")
    elif threads == "1" and n_jobs > 1:
        seen = f"{n_jobs}{allowed}; with OMP_NUM_THREADS=1 training on the CPU takes one of them"
        yield Finding("cores", "note", seen, "unset OMP_NUM_THREADS")
    else:
        yield ok("cores", f"{n_jobs}{allowed}, a job each")


def shared_memory_findings(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """/dev/shm: NCCL's between GPUs, and joblib's and PyTorch's for arrays between processes."""
    if not folder.is_dir():
        return
    total, _, free = shutil.disk_usage(folder)
    seen = f"{size(free)} of {size(total)} free at {folder}"
    if free < LEAST_SHM_BYTES:
        mends = f"mount -o remount,size=2G {folder}   # in Docker: docker run --shm-size=2g ..."
        yield Finding("shared memory", "warning", seen, mends)
    else:
        yield ok("shared memory", seen)


def text_findings() -> Iterator[Finding]:
    """Whether names of files may hold any letter."""
    names, screen = sys.getfilesystemencoding(), (sys.stdout.encoding or "utf-8")
    if names.lower() != "utf-8":
        seen = f"names of files are read as {names}; others than ASCII are lost"
        yield Finding("locale", "problem", seen, "export LC_ALL=C.UTF-8 PYTHONUTF8=1")
    elif screen.lower().replace("-", "") != "utf8":
        seen = f"the screen takes {screen}: ids of other letters cannot be printed"
        yield Finding("locale", "warning", seen, "export PYTHONIOENCODING=utf-8")
    else:
        yield ok("locale", "names and the screen are UTF-8")


def clock_findings(now_s: float | None = None) -> Iterator[Finding]:
    """Whether the clock was ever set."""
    now_s = time.time() if now_s is None else now_s
    shown = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now_s))
    if now_s < OLDEST_NOW_S:
        yield Finding("clock", "warning", f"says {shown} UTC", "timedatectl set-ntp true")
    else:
        yield ok("clock", f"{shown} UTC")


def memory_limit(root: Path = Path("/sys/fs/cgroup"), own: Path | None = None) -> int | None:
    """Bytes that the container or job may take; None where nothing is set."""
    groups = Path("/proc/self/cgroup") if own is None else own
    try:
        lines = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:
        return None
    limits = []
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):  # version 1
            limits += _limits(root / "memory", path, "memory.limit_in_bytes")
        elif not controllers:
            limits += _limits(root, path, "memory.max")
    real = [limit for limit in limits if limit < 1 << 60]  # version 1 says so of no limit
    return min(real, default=None)


def _limits(root: Path, path: str, name: str) -> list[int]:
    """Of a group and those above it; a container sees its own at the root."""
    inside = Path(path.lstrip("/"))
    found = []
    for folder in (inside, *inside.parents):
        try:
            found.append(int((root / folder / name).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return found


def _available() -> float:
    fields = dict(_meminfo())
    return fields.get("MemAvailable", fields.get("MemTotal", float("inf")))


def _meminfo(path: Path = Path("/proc/meminfo")) -> Iterator[tuple[str, float]]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition(":")
        yield name, 1024.0 * int(value.split()[0])


def _limit(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else f"{number:,}"
