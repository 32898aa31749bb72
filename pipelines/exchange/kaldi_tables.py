"""The text files of a data directory, from a workspace's utterances and what is known of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from featurize.errors import CorpusError
from featurize.kaldi_io import seconds_text, table_text
from featurize.kaldi_recording import file_name
from pipelines.exchange.kaldi_names import KaldiNames, unique_names
from pipelines.exchange.kaldi_sound import Sound
from pipelines.exchange.kaldi_text import kaldi_text
from pipelines.manifest import Utterance, safe_path

Media = tuple[str, str | None]  # what makes a recording: its audio and its video


@dataclass(frozen=True)
class Recordings:
    """The recordings that utterances lie in.

    ``of`` is utterance id -> recording, ``media`` recording -> its files, ``told`` recording -> its
    name in the manifest. Without ``segments`` every utterance is a recording, of its own name.
    """

    of: Mapping[str, str]
    media: Mapping[str, Media]
    told: Mapping[str, str]
    segments: bool


@dataclass
class Tables:
    """Name of a table -> its rows, and why utterances are in none of them."""

    rows: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    left_out: dict[str, str] = field(default_factory=dict)
    n_utterances: int = 0

    def texts(self) -> dict[str, str]:
        """Name of a file -> its content."""
        return {name: table_text(rows) for name, rows in self.rows.items()}


def recordings_of(utterances: Iterable[Utterance], names: KaldiNames) -> Recordings:
    """Groups utterances that have sound by the file it is in."""
    heard = [(u, (u.audio, u.video)) for u in utterances if u.audio is not None]
    within: dict[Media, list[Utterance]] = defaultdict(list)
    for utterance, media in heard:
        within[media].append(utterance)
    if len(within) == len(heard) and not any(u.start_s or u.end_s is not None for u, _ in heard):
        of = {u.id: names.utterances[u.id] for u, _ in heard}
        return Recordings(of, {of[u.id]: media for u, media in heard}, {}, segments=False)
    told = _told(within)
    name_of = unique_names((key, "", text) for key, text in told.items())
    return Recordings(
        of={u.id: name_of[_key(media)] for u, media in heard},
        media={name_of[_key(media)]: media for media in within},
        told={name_of[key]: text for key, text in told.items()},
        segments=True,
    )


@dataclass(frozen=True)
class Known:
    """What is known of a workspace's utterances, beside themselves.

    ``sounds`` is recording -> what was found in it; ``root`` the corpus's folder; ``texts`` id ->
    words, None: there are none, and no table of them; ``features`` Kaldi's name -> line of
    ``feats.scp`` and frames, None: there are none.
    """

    names: KaldiNames
    recordings: Recordings
    sounds: Mapping[str, Sound]
    root: Path
    texts: Mapping[str, str] | None
    features: Mapping[str, tuple[str, int]] | None


def make_tables(utterances: Iterable[Utterance], known: Known) -> Tables:
    """Joins what is known of each utterance; one of which something is missing is left out."""
    tables, names = Tables(), known.names
    spoken: dict[str, list[str]] = defaultdict(list)
    for utterance in utterances:
        try:
            rows = _rows(utterance, known)
        except CorpusError as error:
            tables.left_out[utterance.id] = str(error)
            continue
        for table, (key, value) in rows.items():
            tables.rows[table][key] = value
        spoken[names.speakers[utterance.speaker]].append(names.utterances[utterance.id])
        tables.n_utterances += 1
    tables.rows["spk2utt"] = {
        speaker: " ".join(sorted(found, key=str.encode)) for speaker, found in spoken.items()
    }
    return tables


def _rows(utterance: Utterance, known: Known) -> dict[str, tuple[str, str]]:
    """Table -> key and value, of one utterance. Raises CorpusError when it cannot be exported."""
    if utterance.id not in known.recordings.of:
        raise CorpusError("no audio file")
    name = known.names.utterances[utterance.id]
    rows = _of_sound(utterance, name, known)
    if utterance.video is not None:
        recording = known.recordings.of[utterance.id]
        rows["video.scp"] = (recording, _video_line(known.root, utterance.video))
    if known.texts is not None:
        if utterance.id not in known.texts:
            raise CorpusError("no words: it was not decoded")
        rows["text"] = (name, kaldi_text(known.texts[utterance.id]))
    if known.features is not None:
        if name not in known.features:
            raise CorpusError("no audio features")
        line, n_frames = known.features[name]
        rows["feats.scp"], rows["utt2num_frames"] = (name, line), (name, str(n_frames))
    return rows


def _of_sound(utterance: Utterance, name: str, known: Known) -> dict[str, tuple[str, str]]:
    """The tables that every utterance is in: who speaks, where and for how long."""
    recording = known.recordings.of[utterance.id]
    speaker, sound = known.names.speakers[utterance.speaker], known.sounds[recording]
    if sound.problem is not None:
        raise CorpusError(sound.problem)
    start_s, end_s = _segment(utterance, sound)
    rows = {
        "utt2spk": (name, speaker),
        "utt2dur": (name, seconds_text(round(end_s - start_s, 7))),
        "utt2id": (name, utterance.id),
        "spk2id": (speaker, utterance.speaker),
        "wav.scp": (recording, sound.line),
        "reco2dur": (recording, seconds_text(sound.duration_s)),
    }
    if known.recordings.segments:
        cut = f"{recording} {seconds_text(start_s)} {seconds_text(end_s)}"
        rows["segments"] = (name, cut)
        rows["reco2id"] = (recording, known.recordings.told[recording])
    return rows


def _segment(utterance: Utterance, sound: Sound) -> tuple[float, float]:
    """Start and end in seconds; the end at most the recording's."""
    end_s = sound.duration_s
    if utterance.end_s is not None:
        end_s = min(end_s, utterance.end_s)
    if end_s <= utterance.start_s:
        raise CorpusError("it begins after the end of its recording")
    return utterance.start_s, end_s


def _video_line(root: Path, video: str) -> str:
    line = file_name(str(safe_path(root, video)))
    if line is None:
        raise CorpusError("the path of its video means something else to Kaldi; rename the file")
    return line


def _key(media: Media) -> str:
    return "|".join(path or "" for path in media)


def _told(within: Mapping[Media, list[Utterance]]) -> dict[str, str]:
    """Key -> name: the manifest's where it is of this file alone, else the path without ending.

    Clips of one recording have one name in the manifest.
    """
    named = {media: {u.recording for u in found} for media, found in within.items()}
    n_files = Counter(name for names in named.values() for name in names)
    told = {}
    for media, names in named.items():
        name = next(iter(names)) if len(names) == 1 else None
        path = media[0]
        is_own = name is not None and n_files[name] == 1
        told[_key(media)] = str(name) if is_own else path.rpartition(".")[0] or path
    return told
