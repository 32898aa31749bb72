"""The programs of the user's Kaldi installation: where they are, and which version they are of."""

import functools
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import ModelError, UsageError

# Kaldi marks each line of its logs so: LOG (lattice-copy[5.5.1068~1-59299]:main():lattice-co...
_VERSION = re.compile(r"\([\w-]+\[([^\]]+)\]")
_LAUNCHERS = ("egs/wsj/s5/utils", "egs/wsj/s5/utils/parallel", "utils", "utils/parallel")


@dataclass(frozen=True)
class KaldiPrograms:
    """Finds Kaldi's programs: below ``root``, else below $KALDI_ROOT, else on the PATH."""

    root: Path | None

    @classmethod
    def of(cls, root: str | None) -> "KaldiPrograms":
        """Raises ModelError when the folder named is none."""
        named = root or os.environ.get("KALDI_ROOT")
        if named and not Path(named).is_dir():
            where = "--kaldi-root" if root else "KALDI_ROOT"
            raise ModelError(f"{where} {named}: no such folder; give the folder Kaldi was built in")
        return cls(Path(named).resolve() if named else None)

    def program(self, name: str) -> Path:
        """Path of a compiled program. Raises ModelError when there is none."""
        if self.root is None:
            return self._found(name, [], "build Kaldi (https://kaldi-asr.org)")
        folders = [self.root / "bin", *self.root.glob("src/*bin")]
        return self._found(name, folders, "build all of Kaldi (make -C src)", on_path=False)

    def launcher_of(self, command: str | None) -> list[str]:
        """The words of a job launcher's command: ``run.pl``, ``queue.pl --mem 4G`` ...

        Raises ModelError when there is no such program, UsageError when it is no command.
        """
        if command is None:
            return []
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--kaldi-cmd {command!r}: {error}") from None
        if not words:
            raise UsageError('--kaldi-cmd is empty; give "run.pl", "queue.pl --mem 4G" ...')
        bases = [Path.cwd(), *([] if self.root is None else [self.root])]
        folders = [base / folder for base in bases for folder in _LAUNCHERS]
        found = self._found(words[0], folders, "it comes with Kaldi in egs/wsj/s5/utils")
        return [str(found), *words[1:]]

    def _found(self, name: str, folders: list[Path], remedy: str, *, on_path: bool = True) -> Path:
        places = [*map(str, folders), *([os.environ.get("PATH", "")] if on_path else [])]
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is None:
            where = "on the PATH" if self.root is None else f"below {self.root}"
            raise ModelError(
                f"no program {name} {where}; {remedy}, and give its folder with --kaldi-root DIR "
                "or KALDI_ROOT"
            )
        return Path(found).resolve()


@functools.lru_cache
def kaldi_version(program: Path) -> str:
    """The version that a program writes into its logs; ``unknown`` when it writes none.

    Raises ModelError when the program cannot be run at all.
    """
    try:
        # A complaint about an option that does not exist is the quickest line of log.
        asked = subprocess.run(
            [program, "--no-such-option"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise ModelError(f"{program} cannot be run: {error.strerror}; build it anew") from None
    match = _VERSION.search(asked.stderr)
    if match is None and asked.returncode == 127:  # of the dynamic linker
        raise ModelError(f"{program} cannot be run: {asked.stderr.strip()[:200]}; build it anew")
    return match.group(1) if match else "unknown"
