"""Running Kaldi's programs one after the other in a scratch folder, here or through a job launcher.

Every argument is a plain word: programs and model are reached through links in the folder, and
sounds have numbers for names. So nothing has to be quoted, whatever the user's folders and
utterances are called, although run.pl and its relatives hand commands to a shell.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import ModelError

_PLAIN = re.compile(r"[\w./:,=+-]+")
_COMPLAINT = re.compile(r"^(?:ERROR|ASSERTION_FAILED) \(.*?\) (.*)$", re.MULTILINE)
NOTHING_DONE = 1  # what Kaldi's programs return when no utterance succeeded


@dataclass(frozen=True)
class Step:
    """One program with its arguments; paths are relative to the scratch folder."""

    program: str
    arguments: Sequence[str]


@dataclass(frozen=True)
class Ran:
    """How one step ended. ``status`` is None when it did not: its job was lost."""

    program: str
    status: int | None
    log: str

    @property
    def is_dead(self) -> bool:
        """Whether it ended otherwise than by having gone through all utterances."""
        return self.status not in (0, NOTHING_DONE)

    @property
    def complaint(self) -> str:
        """The last complaint in its log, or its last line, after how it ended."""
        found = _COMPLAINT.findall(self.log) or self.log.strip().splitlines()[-1:] or ["no log"]
        return f"{self.program} {self._end()}: {found[-1].strip()[:200]}"

    def _end(self) -> str:
        if self.status is None:
            return "was lost with its job"
        # -6 is how Python, 134 how a shell says that signal 6 ended a program.
        signal = -self.status if self.status < 0 else self.status - 128
        return f"died of signal {signal}" if 0 < signal < 65 else f"failed ({self.status})"


def run_steps(folder: Path, steps: Sequence[Step], launcher: Sequence[str]) -> list[Ran]:
    """Runs the steps in ``folder`` until one dies; what each wrote to its log is in the result.

    Args:
        folder: the scratch folder, with the steps' programs in ``bin``.
        steps: in order; each reads what those before it wrote.
        launcher: run.pl, queue.pl or slurm.pl with its options, which is given all steps as one
            job; empty to run them here.

    Raises:
        ModelError: the launcher failed before the first step.
    """
    (folder / "log").mkdir(exist_ok=True)
    if not launcher:
        return [*_run_here(folder, steps)]
    (folder / "job.sh").write_text(_script(steps))
    command = [*launcher, "log/job.log", "bash", "job.sh"]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    ran = [_read(folder, number, step) for number, step in enumerate(steps)]
    n_ended = next((n for n, step in enumerate(ran) if step.is_dead), len(ran) - 1) + 1
    if ran[0].status is None and not ran[0].log:
        job = _read_log(folder / "log/job.log") + done.stdout + done.stderr
        last = "; ".join(job.strip().splitlines()[-3:])
        raise ModelError(f"{launcher[0]} started nothing: {last[:500]}")
    return ran[:n_ended]


def _run_here(folder: Path, steps: Sequence[Step]) -> list[Ran]:
    ran = []
    for number, step in enumerate(steps):
        with _log_path(folder, number, step).open("wb") as log:
            program = (folder / "bin" / step.program).resolve()
            status = subprocess.run(
                [program, *step.arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, check=False,
            ).returncode  # fmt: skip
        ran.append(Ran(step.program, status, _read_log(_log_path(folder, number, step))))
        if ran[-1].is_dead:
            break
    return ran


def _script(steps: Sequence[Step]) -> str:
    """The steps for a launcher's shell; each leaves its status beside its log."""
    lines = []
    for number, step in enumerate(steps):
        words = [f"bin/{step.program}", *step.arguments]
        if odd := [word for word in words if not _PLAIN.fullmatch(word)]:
            raise ModelError(f"{odd[0]!r} cannot be handed to a job; rename what it came from")
        log = f"log/{number}-{step.program}"
        lines.append(f"{' '.join(words)} >{log}.log 2>&1 </dev/null; status=$?")
        lines.append(f"echo $status >{log}.status; [ $status -le {NOTHING_DONE} ] || exit 0")
    return "\n".join(lines) + "\n"


def _read(folder: Path, number: int, step: Step) -> Ran:
    path = _log_path(folder, number, step)
    status = path.with_suffix(".status")
    ended = status.read_text().strip() if status.is_file() else ""
    return Ran(step.program, int(ended) if ended else None, _read_log(path))


def _log_path(folder: Path, number: int, step: Step) -> Path:
    return folder / "log" / f"{number}-{step.program}.log"


def _read_log(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
