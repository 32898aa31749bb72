"""A Kaldi data directory as it lies on disk: its tables read and checked, no recording opened."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import CorpusError
from featurize.kaldi_io import read_columns, read_table
from featurize.kaldi_recording import Command, File, Recording, converted_file, parse_recording
from pipelines.manifest import check_id, existing_folder

TO_THE_END = -1.0  # Kaldi's end of a segment that goes to the end of its recording


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording; ``end_s`` None: to its end."""

    recording: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class DataDir:
    """Tables by Kaldi's names; one that is None is not there.

    ``sound`` and ``video`` are recording -> what stands for it. ``ids`` of utterances, ``speakers``
    and ``recordings`` are name -> the one that ``trimodal export kaldi`` made it from.
    """

    path: Path
    sound: Mapping[str, Recording]
    video: Mapping[str, Recording]
    segments: Mapping[str, Segment] | None
    speaker_of: Mapping[str, str]
    text: Mapping[str, str] | None
    duration_s: Mapping[str, float]
    ids: Mapping[str, str]
    speakers: Mapping[str, str]
    recordings: Mapping[str, str]

    def used(self) -> Collection[str]:
        """The recordings that utterances lie in."""
        if self.segments is None:
            return self.sound.keys()
        return {segment.recording for segment in self.segments.values()}

    def names(self) -> Iterator[str]:
        """Every utterance that one of the tables knows of, sorted."""
        found = self.segments if self.segments is not None else self.sound
        yield from sorted(self.speaker_of.keys() | found.keys(), key=str.encode)

    def segment(self, name: str) -> Segment | None:
        """Where an utterance is; None when nothing says so."""
        if self.segments is not None:
            return self.segments.get(name)
        return Segment(name, 0.0, None) if name in self.sound else None


def read_data_dir(path: Path) -> DataDir:
    """Reads wav.scp, utt2spk and, where they are there, segments, text, utt2dur, video.scp, and
    utt2id, spk2id and reco2id, which our own export writes.

    Raises:
        UsageError: no such folder.
        CorpusError: a table is missing or not as Kaldi wants it; with file and line.
    """
    existing_folder(path, "a Kaldi data directory, with wav.scp and utt2spk in it")
    missing = [name for name in ("wav.scp", "utt2spk") if not (path / name).is_file()]
    if missing:
        raise CorpusError(f"{path}: no {' and no '.join(missing)}; this is no Kaldi data directory")
    speaker_of = {n: s for n, (s,) in read_columns(path / "utt2spk", "utterance speaker").items()}
    has_segments = (path / "segments").is_file()
    return DataDir(
        path=path,
        sound=_recordings(path / "wav.scp"),
        video=_recordings(path / "video.scp"),
        segments=_segments(path / "segments") if has_segments else None,
        speaker_of=speaker_of,
        text=read_table(path / "text") if (path / "text").is_file() else None,
        duration_s=_durations(path / "utt2dur"),
        ids=_checked_ids(path / "utt2id", speaker_of),
        speakers=_optional(path / "spk2id"),
        recordings=_optional(path / "reco2id"),
    )


def _optional(path: Path) -> dict[str, str]:
    return read_table(path) if path.is_file() else {}


def _recordings(path: Path) -> dict[str, Recording]:
    """Name -> recording; a command that only converts a file stands for that file."""
    found = {}
    for number, (name, value) in enumerate(_optional(path).items(), 1):
        try:
            recording = parse_recording(value)
        except CorpusError as error:
            raise CorpusError(f"{path}:{number}: {error}") from None
        if isinstance(recording, Command):
            file = converted_file(recording.command)
            recording = recording if file is None else File(file)
        found[name] = recording
    return found


def _segments(path: Path) -> dict[str, Segment]:
    found = {}
    rows = read_columns(path, "utterance recording start_s end_s")
    for number, (name, (recording, start, end)) in enumerate(rows.items(), 1):
        start_s, end_s = _number(start), _number(end)
        if not 0 <= start_s < math.inf or not (start_s < end_s < math.inf or end_s == TO_THE_END):
            raise CorpusError(
                f"{path}:{number}: a segment from {start} s to {end} s; write two numbers, the end "
                "after the start, or -1 for the recording's end"
            )
        found[name] = Segment(recording, start_s, None if end_s == TO_THE_END else end_s)
    return found


def _durations(path: Path) -> dict[str, float]:
    found = {}
    rows = read_columns(path, "utterance duration_s") if path.is_file() else {}
    for number, (name, (text,)) in enumerate(rows.items(), 1):
        found[name] = _number(text)
        if not 0 < found[name] < math.inf:
            raise CorpusError(f"{path}:{number}: {text!r} is no duration in seconds")
    return found


def _number(text: str) -> float:
    """NaN for what is none, which lies in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _checked_ids(path: Path, speaker_of: Mapping[str, str]) -> dict[str, str]:
    """Name -> id, from utt2id or the name itself; every id is safe as a name of ours."""
    ids = _optional(path)
    for table, listed in ((path, ids), (path.with_name("utt2spk"), dict.fromkeys(speaker_of))):
        for number, (name, given) in enumerate(listed.items(), 1):
            try:
                check_id(ids.get(name, name) if given is None else given)
            except CorpusError as error:
                raise CorpusError(f"{table}:{number}: {error}") from None
    return ids
