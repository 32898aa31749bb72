"""What an unpacked CMU-MOSEI holds on disk: its folders, media file names and transcripts."""

import re
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import CorpusError
from pipelines.media_files import LEADS_OUT, first_folder, media_sizes

# Both usual unpackings; each folder is also looked for below Raw/.
_PLACES = {
    "transcript": ("Transcript/Segmented/Combined", "Transcript/Combined"),
    "segmented": ("Videos/Segmented/Combined",),
    "full": ("Videos/Full/Combined",),
    "audio": ("Audio/Full/WAV_16000", "Audio/WAV_16000"),
}
_SUFFIXES = {"transcript": ".txt", "segmented": ".mp4", "full": ".mp4", "audio": ".wav"}
_SECONDS = r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_AFTER_ID = re.compile(rf"___(\d+)___({_SECONDS})___({_SECONDS})___(.*)", re.ASCII)


@dataclass(frozen=True)
class Segment:
    """One line of a transcript; ``start_s`` may be negative, as in the corpus."""

    number: str
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class MoseiCorpus:
    """``folders[kind]`` relative to ``root`` (None: not there), and the sizes of their files.

    Kinds are "transcript", "segmented" (clips), "full" (videos) and "audio" (16 kHz sound of the
    full videos); ``sizes[kind]`` is by file name without its suffix.
    """

    root: Path
    folders: dict[str, str | None]
    sizes: dict[str, dict[str, int]]

    def file(self, kind: str, stem: str) -> tuple[str, int] | None:
        """Relative path and size of a file that is there and not empty, else None."""
        n_bytes = self.sizes[kind].get(stem, 0)
        return (f"{self.folders[kind]}/{stem}{_SUFFIXES[kind]}", n_bytes) if n_bytes > 0 else None

    def why_no_media(self, video: str, clip: str) -> str:
        """Why neither the clip nor the full video nor its sound can be used."""
        keys = (("segmented", clip), ("full", video), ("audio", video))
        sizes = [self.sizes[kind][stem] for kind, stem in keys if stem in self.sizes[kind]]
        if LEADS_OUT in sizes:
            return "broken link, or link that leads out of the corpus folder"
        return "empty file (0 bytes)" if sizes else "no media file"

    def has_full(self, video: str) -> bool:
        """Whether the full video or its sound is there, be it empty."""
        return video in self.sizes["full"] or video in self.sizes["audio"]


def find_corpus(root: Path) -> MoseiCorpus:
    """Lists the corpus' folders. Raises CorpusError where transcripts or media are missing."""
    folders = {
        kind: first_folder(root, tuple(f"Raw/{place}" for place in places) + places)
        for kind, places in _PLACES.items()
    }
    if folders["transcript"] is None:
        raise CorpusError(_not_there(root, "transcript"))
    if not any(folders[kind] for kind in ("segmented", "full", "audio")):
        raise CorpusError(_not_there(root, "segmented", "full", "audio"))
    sizes = {
        kind: media_sizes(root / folder, _SUFFIXES[kind], root) if folder else {}
        for kind, folder in folders.items()
    }
    if not sizes["transcript"]:
        raise CorpusError(f"{root / folders['transcript']}: no transcripts (*.txt) in it")
    return MoseiCorpus(root, folders, sizes)


def read_transcript(corpus: MoseiCorpus, video: str) -> tuple[list[Segment], dict[str, str]]:
    """Segments of ``VIDEO.txt``, and what is wrong with its other lines by ``VIDEO/line-N``."""
    if corpus.sizes["transcript"][video] == LEADS_OUT:
        return [], {video: "transcript is a link that leads out of the corpus folder"}
    segments: dict[str, Segment] = {}
    wrong: dict[str, str] = {}
    path = corpus.root / str(corpus.folders["transcript"]) / f"{video}.txt"
    for number, line in enumerate(_lines(path), start=1):
        segment = _parse_line(video, line.strip())
        if segment is None:
            if line.strip():
                wrong[f"{video}/line-{number}"] = "transcript line cannot be parsed"
        elif segments.setdefault(segment.number, segment) is not segment:
            wrong[f"{video}/line-{number}"] = "segment number occurs twice in the transcript"
    return list(segments.values()), wrong


def _parse_line(video: str, line: str) -> Segment | None:
    """A line ``VIDEO___SEGMENT___START___END___TEXT`` of the video's own transcript, else None.

    The id is compared rather than searched for: ids may end in ``_``, and texts hold ``___``.
    """
    match = _AFTER_ID.fullmatch(line.removeprefix(video)) if line.startswith(video) else None
    if match is None:
        return None
    number, start, end, text = match.groups()
    return Segment(number, float(start), float(end), text.strip())


def _lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8 or else in Windows-1252, the usual other encoding."""
    try:
        if not path.is_file():  # reading a pipe or a device never ends
            raise CorpusError(f"{path}: is no regular file")
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    # Not splitlines(): texts may hold U+2028 and its like.
    return text.replace("\r", "\n").split("\n")


def _not_there(root: Path, *kinds: str) -> str:
    places = ", ".join(place for kind in kinds for place in _PLACES[kind])
    return f"{root}: not laid out like CMU-MOSEI; looked for {places} in it and in its Raw folder"
