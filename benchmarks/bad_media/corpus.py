"""Bad media files as a corpus: in VoxCeleb2's layout, and the same files as a Kaldi data directory.

The Kaldi directory has transcripts, so that every file comes to `extract`, also those that `decode`
gives up.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bad_media.mutants import Mutant

FILES_A_SPEAKER, FILES_A_VIDEO = 100, 10
SOUND_ALONE = (".m4a", ".wav", ".flac", ".ogg", ".mp3", ".aiff", ".caf", ".au")


@dataclass(frozen=True)
class Placed:
    """A mutant's place: its id in VoxCeleb2's layout, its name for Kaldi, and its file."""

    id: str
    name: str
    path: Path
    kind: str
    has_picture: bool


def place(root: Path, mutant: Mutant) -> Placed:
    """Writes a mutant below ``root``: as mp4, or as m4a where there never was a picture.

    So most have a suffix that is not their own.
    """
    speaker = f"id{mutant.number // FILES_A_SPEAKER:05d}"
    video = f"v{mutant.number // FILES_A_VIDEO:05d}"
    stem = f"{mutant.number:05d}"
    is_sound = mutant.source.endswith(SOUND_ALONE)
    tree, suffix = ("aac", "m4a") if is_sound else ("mp4", "mp4")
    path = root / "dev" / tree / speaker / video / f"{stem}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mutant.content)
    name = f"{speaker}-{stem}"
    return Placed(f"{speaker}/{video}/{stem}", name, path, mutant.kind, not is_sound)


def add_odd_files(root: Path, target: Path) -> dict[str, str]:
    """What lies under a media name and is no file, as id -> kind; each below a speaker ``odd``."""
    folder = root / "dev" / "mp4" / "odd" / "v"
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "fifo": lambda path: os.mkfifo(path),
        "folder": lambda path: path.mkdir(),
        "link out of the corpus": lambda path: path.symlink_to(target),
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "link to itself": lambda path: path.symlink_to(path),
        "link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
        "empty": lambda path: path.touch(),
    }
    for number, make in enumerate(made.values()):
        make(folder / f"{number:05d}.mp4")
    return {f"odd/v/{number:05d}": kind for number, kind in enumerate(made)}


def write_kaldi(folder: Path, files: Iterable[Placed]) -> None:
    """A Kaldi data directory of them: every one has a sound, and a text, to be tried."""
    folder.mkdir(parents=True)
    files = sorted(files, key=lambda file: file.name)
    lines = {
        "wav.scp": [f"{file.name} {file.path}" for file in files],
        "video.scp": [f"{file.name} {file.path}" for file in files if file.has_picture],
        "utt2spk": [f"{file.name} {file.name.split('-')[0]}" for file in files],
        "text": [f"{file.name} a word" for file in files],
    }
    for name, content in lines.items():
        (folder / name).write_text("".join(f"{line}\n" for line in content))
