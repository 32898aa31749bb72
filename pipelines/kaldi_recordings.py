"""Recordings of a Kaldi data directory that are no files of their own: made into WAV files once.

A piece of an archive is copied out. A command is run by /bin/sh, as Kaldi would, but once and not
at every reading, and only when the user has allowed it. The files lie in WORK/recordings, named by
a digest of what made them: what is there is not made again.
"""

import os
import struct
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash

from featurize.atomic import OUT_OF_SPACE, atomic_path, remove_stale
from featurize.errors import CorpusError, MediaError
from featurize.kaldi_recording import Command, Piece, Recording

COPY_BYTES = 1 << 20
LAST_WORDS = 200  # characters of what a failed command said


def refuse_commands(path: Path, sound: Mapping[str, Recording]) -> None:
    """Raises CorpusError, with the first of them, when there are shell commands in ``path``."""
    lines = [
        (number, recording.command)
        for number, recording in enumerate(sound.values(), 1)
        if isinstance(recording, Command)
    ]
    if lines:
        number, command = lines[0]
        raise CorpusError(
            f"{path}:{number}: a shell command, one of {len(lines)}: {command[:LAST_WORDS]!r}. "
            "Nothing that a file names is run unasked: read them, then add --allow-pipes to run "
            "each once by /bin/sh, with your rights, and keep what it prints in WORK/recordings"
        )


def make_files(
    sound: Mapping[str, Piece | Command],
    base: Path,
    folder: Path,
    *,
    redo: bool,
    progress: Callable[[int], None],
) -> dict[str, Path | str]:
    """Name -> the WAV file made of each recording, or the reason why there is none.

    Args:
        base: where relative paths begin and commands are run.
        folder: of the files.
        redo: make again what is there.
    """

    def one(recording: Piece | Command) -> Path | str:
        out = folder / f"{xxhash.xxh3_128_hexdigest(f'{base} {recording}'.encode())}.wav"
        try:
            if redo or not out.is_file():
                _make(recording, base, out)
            return out
        except (CorpusError, MediaError) as error:
            return str(error)
        except OSError as error:
            if error.errno in OUT_OF_SPACE:
                raise
            return error.strerror or str(error)
        finally:
            progress(1)

    remove_stale(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is done by other processes
        return dict(zip(sound, pool.map(one, sound.values()), strict=True))


def _make(recording: Piece | Command, base: Path, out: Path) -> None:
    with atomic_path(out) as temporary:
        if isinstance(recording, Piece):
            _copy(base / recording.path, recording.offset, temporary)
        else:
            _run(recording.command, base, temporary)


def _copy(path: Path, offset: int, out: Path) -> None:
    """The WAV at ``offset`` of an archive: as long as its RIFF header says."""
    from featurize.media.container import RIFF_SIZE_UNKNOWN

    if not path.is_file():
        raise CorpusError("no such file")
    with path.open("rb") as archive, out.open("wb") as file:
        archive.seek(offset)
        header = archive.read(8)
        if len(header) < 8 or header[:4] != b"RIFF":
            raise MediaError("no WAV begins at the offset")
        n_left = struct.unpack("<I", header[4:])[0]
        if n_left >= RIFF_SIZE_UNKNOWN:
            raise MediaError("a WAV written to a pipe, which does not say where it ends")
        file.write(header)
        while n_left > 0:
            block = archive.read(min(n_left, COPY_BYTES))
            if not block:
                raise MediaError("the archive ends within the WAV")
            file.write(block)
            n_left -= len(block)


def _run(command: str, base: Path, out: Path) -> None:
    with out.open("wb") as file:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=base, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][-LAST_WORDS:]
        raise CorpusError(f"its command failed ({done.returncode}): {said}")
    if not out.stat().st_size:
        raise MediaError("its command printed nothing")
