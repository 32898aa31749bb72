"""The sound of an export to Kaldi: a line of ``wav.scp`` and the length of every recording.

A WAV file that Kaldi reads as it is (16 kHz, one channel, 16 bits) is named. Everything else is
decoded by a pipe through ffmpeg at each reading, or once to a WAV file of ours.
"""

import json
import wave
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from featurize.atomic import OUT_OF_SPACE, atomic_path, write_text
from featurize.errors import CorpusError, TrimodalError
from featurize.kaldi_recording import ffmpeg_command, file_name
from pipelines.aside import aside
from pipelines.manifest import safe_path

SAMPLE_RATE_HZ = 16000  # of Kaldi's and Vosk's models of English, and of our features
PER_BLOCK = 100  # recordings: work of a moment, or some seconds when they are written


@dataclass(frozen=True)
class Sound:
    """One recording: what stands in ``wav.scp`` and its length, or why it cannot be used."""

    name: str
    line: str = ""
    duration_s: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Block:
    """Recordings (name, path in the corpus) that one process looks at.

    ``folder`` is where the export is being made, ``final`` where it will be found.
    """

    number: int
    recordings: Sequence[tuple[str, str]]
    root: Path
    folder: Path
    final: Path
    is_wav: bool

    @property
    def result(self) -> Path:
        return self.folder / f".sound-{self.number:05d}.json"


def blocks(
    recordings: Sequence[tuple[str, str]], root: Path, folder: Path, final: Path, *, is_wav: bool
) -> Iterator[Block]:
    """Cuts the recordings into pieces of work."""
    for number, first in enumerate(range(0, len(recordings), PER_BLOCK)):
        part = recordings[first : first + PER_BLOCK]
        yield Block(number, part, root, folder, final, is_wav)


def look_at(block: Block) -> list[Sound]:
    """The sounds of a block, kept in its file so that a killed export goes on from there."""
    if block.result.is_file():
        return [Sound(**row) for row in json.loads(block.result.read_text())]
    sounds = [_sound(block, name, audio) for name, audio in block.recordings]
    write_text(block.result, json.dumps([asdict(sound) for sound in sounds]))
    return sounds


def _sound(block: Block, name: str, audio: str) -> Sound:
    try:
        path = safe_path(block.root, audio)
        n_samples = _n_samples(path)
        line = file_name(str(path)) if n_samples else None
        if line is None and block.is_wav:
            where = f"wav/{block.number:05d}/{name}.wav"
            n_samples = _write_wav(path, block.folder / where)
            line = file_name(str(block.final / where))
        if line is None:
            line = ffmpeg_command(str(path), SAMPLE_RATE_HZ)
        duration_s = n_samples / SAMPLE_RATE_HZ if n_samples else _duration_s(path)
        return Sound(name, line, duration_s)
    except (TrimodalError, OSError) as error:
        if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Sound(name, problem=reason.replace(f"{block.root / audio}: ", ""))


def _n_samples(path: Path) -> int | None:
    """Samples of a file that Kaldi reads as it is, else None."""
    try:
        with wave.open(str(path), "rb") as sound:
            form = (sound.getframerate(), sound.getnchannels(), sound.getsampwidth())
            n_samples = sound.getnframes()
    except (wave.Error, EOFError, OSError):
        return None
    is_whole = 0 < 2 * n_samples < path.stat().st_size
    return n_samples if is_whole and form == (SAMPLE_RATE_HZ, 1, 2) else None


def _write_wav(path: Path, out: Path) -> int:
    """Writes a media file's sound as WAV; returns its samples. What is there already stays."""
    from featurize.media import read_audio

    if n_samples := _n_samples(out):
        return n_samples
    samples = aside(partial(read_audio, path, sample_rate_hz=SAMPLE_RATE_HZ))
    with atomic_path(out) as temporary, wave.open(str(temporary), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE_HZ)
        sound.writeframes((samples * 32768).round().astype("<i2").tobytes())
    return len(samples)


def _duration_s(path: Path) -> float:
    """By the header, which a pipe leaves unread; by decoding where it does not say."""
    from featurize.media import probe_audio, read_audio

    try:
        rate_hz, _, n_samples = aside(probe_audio, path)
        if n_samples > 0:
            return n_samples / rate_hz
    except TrimodalError:
        pass
    n_samples = len(aside(partial(read_audio, path, sample_rate_hz=SAMPLE_RATE_HZ)))
    if not n_samples:
        raise CorpusError("no sound in it")
    return n_samples / SAMPLE_RATE_HZ
