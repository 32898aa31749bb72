"""A ``trimodal`` command line in a process of its own, to be killed.

Started anew it spends three seconds on importing PyTorch and little on its work, so most kills
would fall into imports, which are of no interest. A forked child runs the same command in the same
way, but has its imports already; ``warm_up`` sees to that.
"""

import ctypes
import fcntl
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pipelines
from featurize.atomic import is_running

F_SETPIPE_SZ = 1031
HEAVY = (
    "torch", "torchvision", "torchaudio", "h5py", "joblib", "jinja2", "rich", "safetensors.torch",
    "matplotlib.pyplot", "torch.utils.tensorboard", "torch.nn.parallel", "kaldiio", "PIL.Image",
)  # fmt: skip


def warm_up() -> None:
    """Imports what any of the commands may need; threads would not survive the fork."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    root = Path(pipelines.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        if path.name != "__main__.py" and "demo" not in path.parts:
            importlib.import_module(name.removesuffix(".__init__"))


class Child:
    """One attempt at a command. It leads a process group of its own, with all its workers."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid, self._output, self.started_s = pid, output, time.monotonic()
        self.exit_code: int | None = None  # below 0: of which signal it died
        self._said = b""
        os.set_blocking(output, False)

    @classmethod
    def forked(cls, words: list[str], before: Callable[[], None] = lambda: None) -> "Child":
        """With all imports done. ``before`` is called in the child first."""
        output, theirs = _pipe()
        if pid := os.fork():
            os.close(theirs)
            return cls(pid, output)
        code = 70
        try:
            os.setsid()
            for number in (1, 2):
                os.dup2(theirs, number)
            sys.argv[1:] = words
            before()
            code = _run(words)
        except BaseException:  # what Python itself prints at the end of a process
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @classmethod
    def fresh(cls, words: list[str], environment: dict[str, str] | None = None) -> "Child":
        """As a user starts it."""
        output, theirs = _pipe()
        command = [sys.executable, "-m", "pipelines.cli", *words]
        env = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        process = subprocess.Popen(
            command, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        process.returncode = 0  # it is waited for here
        os.close(theirs)
        return cls(process.pid, output)

    @property
    def is_over(self) -> bool:
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        self._read()
        return self.exit_code is not None

    @property
    def output(self) -> str:
        self._read()
        return self._said.decode(errors="replace")

    @property
    def workers(self) -> list[int]:
        """Its descendants that are Python's workers."""
        return [pid for pid in _descendants(self.pid) if _is_worker(pid)]

    def wait(self, seconds: float) -> bool:
        """Whether it is over within so many seconds."""
        until_s = time.monotonic() + seconds
        while not self.is_over and time.monotonic() < until_s:
            time.sleep(0.002)
        return self.is_over

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def signal_all(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def clear(self, seconds: float) -> bool:
        """Whether all of its group are gone within so many seconds; ends what is left."""
        until_s = time.monotonic() + seconds
        while _group_lives(self.pid) and time.monotonic() < until_s:
            time.sleep(0.005)
        is_clear = not _group_lives(self.pid)
        self.signal_all(signal.SIGKILL)
        self.wait(10)
        with suppress(OSError):
            os.close(self._output)
        return is_clear

    def _read(self) -> None:
        with suppress(OSError):
            while block := os.read(self._output, 65536):
                self._said += block


def stop_being_root() -> None:
    """From now on permissions bind this process, also root's: capset(2) without the overrides."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    words = (ctypes.c_uint32 * 6)()
    if libc.capget(header, words):
        raise OSError(ctypes.get_errno(), "capget")
    for k in range(3):  # effective, permitted, inheritable; CAP_DAC_OVERRIDE is 1, the next two
        words[k] &= ~(1 << 1 | 1 << 2 | 1 << 3)  # are _READ_SEARCH and CAP_FOWNER
    if libc.capset(header, words):
        raise OSError(ctypes.get_errno(), "capset")


def _run(words: list[str]) -> int:
    from pipelines.cli import main

    try:
        main.main(words, prog_name="trimodal")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _pipe() -> tuple[int, int]:
    """One that holds what a command says, without being read."""
    ours, theirs = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(theirs, F_SETPIPE_SZ, 1 << 20)
    return ours, theirs


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _descendants(child)


def _is_worker(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"ahead_worker" in words or b"popen_loky_posix" in words


def _group_lives(group: int) -> bool:
    """Whether any process of the group is there that is no zombie."""
    if not is_running(group):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            return any(_is_of(group))
        return False
    return any(_is_of(group))


def _is_of(group: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                yield int(path.parent.name)
