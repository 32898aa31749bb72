"""Lists a Kaldi data directory: utterances, speakers, cuts, transcripts."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from featurize.errors import CorpusError, UsageError
from featurize.kaldi_recording import Command, File, Piece
from pipelines.kaldi_data_dir import DataDir, read_data_dir
from pipelines.kaldi_recordings import make_files, refuse_commands
from pipelines.manifest import Reject, Utterance, existing_folder

OUTSIDE = "its file is not inside --root"


@dataclass(frozen=True)
class _Found:
    """A file that is there, links followed, and its size."""

    path: str
    n_bytes: int


def scan_kaldi(
    data: Path,
    work: Path,
    root: Path | None = None,
    *,
    allow_pipes: bool = False,
    redo: bool = False,
    progress: Callable[[int], None] = lambda n_recordings: None,
) -> tuple[Path, tuple[list[Utterance], list[Reject], dict[str, Any]]]:
    """Lists the utterances of a data directory, by their names in it.

    A name comes back as the id it was made from where ``utt2id`` knows it; the same of speakers.

    Args:
        work: the workspace; recordings that are no files are kept in its folder ``recordings``.
        root: where relative paths begin, and what files have to lie in. None: the working
            directory, as for Kaldi, and anywhere.
        allow_pipes: run the shell commands in ``wav.scp``, once.
        redo: run them again.
        progress: is told the recordings looked at.

    Returns:
        the corpus's root (``root``, or the deepest folder that holds every file), and utterances,
        rejects and an audit of counts.

    Raises:
        UsageError: a folder that is missing, or ``work`` is outside of ``root`` while recordings
            have to be kept there.
        CorpusError: see ``read_data_dir``; or there are commands and they are not allowed.
    """
    found = read_data_dir(data)
    if not allow_pipes:
        refuse_commands(data / "wav.scp", found.sound)
    base = Path.cwd() if root is None else root.absolute()
    if root is not None:
        existing_folder(root, "the folder of the recordings")
    inside = None if root is None else root.resolve()
    made = _made_files(found, base, work, root, redo, progress)
    files = {name: base / r.path for name, r in found.sound.items() if isinstance(r, File)}
    sound = {name: _look(path, inside) for name, path in (files | made).items()}
    progress(len(sound) - len(made))
    video = {
        name: _look(base / recording.path, inside) if isinstance(recording, File) else "no file"
        for name, recording in found.video.items()
    }
    corpus = _common_folder([*sound.values(), *video.values()], data) if root is None else root
    return corpus, _listed(found, corpus.resolve(), sound, video, len(made))


def _made_files(
    found: DataDir, base: Path, work: Path, root: Path | None, redo: bool,
    progress: Callable[[int], None],
) -> dict[str, Path | str]:  # fmt: skip
    used = found.used()
    to_make: dict[str, Piece | Command] = {
        name: recording
        for name, recording in found.sound.items()
        if not isinstance(recording, File) and name in used
    }
    if to_make and root is not None and not work.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{found.path / 'wav.scp'}: {len(to_make)} recordings are no files and have to be kept "
            f"in {work}, which is not inside --root {root}; choose a workspace there"
        )
    return make_files(to_make, base, work.absolute() / "recordings", redo=redo, progress=progress)


def _look(path: Path | str, inside: Path | None) -> _Found | str:
    """The file, or why it cannot be used."""
    if isinstance(path, str):
        return path
    try:
        real = os.path.join(_real_folder(os.path.dirname(path)), path.name)
        about = os.lstat(real)
        if stat.S_ISLNK(about.st_mode) or path.name == "..":
            real = os.path.realpath(real)
            about = os.stat(real)
        real.encode()
    except (OSError, ValueError):  # the latter of a link to a name that is not UTF-8
        return "no such file"
    if not stat.S_ISREG(about.st_mode):
        return "not a regular file"
    if inside is not None and not Path(real).is_relative_to(inside):
        return OUTSIDE
    return _Found(real, about.st_size) if about.st_size else "empty file (0 bytes)"


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    """Once a folder, not once a file: on a network disk it is a round trip for each part."""
    return os.path.realpath(folder)


def _common_folder(files: list[_Found | str], data: Path) -> Path:
    folders = {os.path.dirname(file.path) for file in files if isinstance(file, _Found)}
    return Path(os.path.commonpath(folders)) if folders else data


def _listed(
    found: DataDir,
    root: Path,
    sound: Mapping[str, _Found | str],
    video: Mapping[str, _Found | str],
    n_made: int,
) -> tuple[list[Utterance], list[Reject], dict[str, Any]]:
    utterances, rejects = [], []
    for name in found.names():
        try:
            utterances.append(_utterance(found, name, root, sound, video))
        except CorpusError as error:
            rejects.append(Reject(found.ids.get(name, name), "prepare", str(error)))
    return utterances, rejects, _audit(found, utterances, rejects, n_made)


def _utterance(
    found: DataDir,
    name: str,
    root: Path,
    sound: Mapping[str, _Found | str],
    video: Mapping[str, _Found | str],
) -> Utterance:
    """One utterance. Raises CorpusError, with the reason, when it cannot be used."""
    segment = found.segment(name)
    if segment is None:
        raise CorpusError("in utt2spk, but neither segments nor wav.scp has it")
    if name not in found.speaker_of:
        raise CorpusError("no speaker in utt2spk")
    if found.text is not None and name not in found.text:
        raise CorpusError("no line in text")
    file = sound.get(segment.recording, "its recording is not in wav.scp")
    if isinstance(file, str):
        raise CorpusError(file)
    picture = video.get(segment.recording)
    shown = picture if isinstance(picture, _Found) else None
    is_cut, speaker = found.segments is not None, found.speaker_of[name]
    return Utterance(
        id=found.ids.get(name, name),
        speaker=found.speakers.get(speaker, speaker),
        audio=os.path.relpath(file.path, root),
        video=os.path.relpath(shown.path, root) if shown else None,
        start_s=segment.start_s,
        end_s=segment.end_s,
        text=None if found.text is None else found.text[name],
        audio_bytes=file.n_bytes,
        video_bytes=shown.n_bytes if shown else None,
        recording=found.recordings.get(segment.recording, segment.recording) if is_cut else None,
        recording_start_s=segment.start_s if is_cut else None,
        recording_end_s=segment.end_s if is_cut else None,
    )


def _audit(
    found: DataDir, utterances: list[Utterance], rejects: list[Reject], n_made: int
) -> dict[str, Any]:
    seconds = [found.duration_s.get(name) for name in found.speaker_of]
    known = [duration_s for duration_s in seconds if duration_s is not None]
    used = found.used()
    n_commands = sum(isinstance(r, Command) and name in used for name, r in found.sound.items())
    return {
        "utterances": len(utterances),
        "hours": sum(known) / 3600 if known and len(known) == len(seconds) else None,
        "speakers": len({utterance.speaker for utterance in utterances}),
        "recordings": len(found.sound),
        "copied_from_archives": n_made - n_commands or None,
        "commands_run": n_commands or None,
        "without_video": sum(u.video is None for u in utterances) if found.video else None,
        "rejects": dict(Counter(reject.reason for reject in rejects)),
    }
