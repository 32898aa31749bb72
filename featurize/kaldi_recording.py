"""What stands for a recording in a Kaldi table: ``wav.scp``, ``video.scp``.

It may be a file, a piece of an archive (``PATH:OFFSET``) or a shell command whose output is the
sound (``COMMAND |``). Nothing here runs a command.
"""

import re
import shlex
from dataclasses import dataclass

from featurize.errors import CorpusError

_OFFSET = re.compile(r"(?P<path>.+):(?P<offset>[0-9]{1,18})", re.DOTALL)
_SPECIFIER = re.compile(r"(ark|scp)[,:]")  # of a whole table
# Commands that turn one file into WAV and do nothing else, PATH apart.
_CONVERTERS = (
    "ffmpeg -v 8 -nostdin -i PATH -vn -ac 1 -ar RATE -f wav -acodec pcm_s16le -",  # ours
    "ffmpeg -v 8 -i PATH -f wav -acodec pcm_s16le -",  # Kaldi's recipe for VoxCeleb2
    "flac -c -d -s PATH",  # Kaldi's recipe for LibriSpeech
)
_QUOTED = r"""(?P<path>[\w@%+=:,./-]+|'(?:[^']|'"'"')*')"""  # as shlex.quote writes a path
_FORMS = [
    re.compile(re.escape(form).replace("PATH", _QUOTED).replace("RATE", "[0-9]+"), re.ASCII)
    for form in _CONVERTERS
]


@dataclass(frozen=True)
class File:
    """A recording that is a file."""

    path: str


@dataclass(frozen=True)
class Piece:
    """A recording inside an archive, from byte ``offset`` on."""

    path: str
    offset: int


@dataclass(frozen=True)
class Command:
    """A recording that is what a shell command prints."""

    command: str


Recording = File | Piece | Command


def parse_recording(text: str) -> Recording:
    """What the value of a line of ``wav.scp`` stands for, as Kaldi's ``ClassifyRxfilename`` does.

    Raises:
        CorpusError: it is none of the three: empty, standard input, an output, a part of a matrix.
    """
    if text.endswith("|") and text[:-1].strip():
        return Command(text[:-1].strip())
    if text in ("", "-") or "|" in text or text[-1] == "]" or _SPECIFIER.match(text):
        raise CorpusError(f"{text!r} is no recording: neither a file, PATH:OFFSET nor 'COMMAND |'")
    match = _OFFSET.fullmatch(text)
    return Piece(match["path"], int(match["offset"])) if match else File(text)


def converted_file(command: str) -> str | None:
    """The file that a well-known command only converts to WAV, so that it need not be run.

    These are the commands that ``ffmpeg_command`` writes and those of Kaldi's recipes for
    VoxCeleb2 and LibriSpeech; None for any other, however much it looks like one of them.
    """
    match = next(filter(None, (form.fullmatch(command) for form in _FORMS)), None)
    if match is None:
        return None
    path = "".join(shlex.split(match["path"]))
    return path if shlex.quote(path) == match["path"] and not path.startswith("-") else None


def ffmpeg_command(path: str, sample_rate_hz: int) -> str:
    """A line of ``wav.scp`` that decodes a media file to 16-bit mono WAV, as Kaldi's recipes do.

    ``-nostdin``, or ffmpeg would eat the input of the loop that it runs in. Raises CorpusError for
    a path that a line cannot hold.
    """
    _check_path(path)
    form = _CONVERTERS[0].replace("RATE", str(sample_rate_hz))
    return f"{form.replace('PATH', shlex.quote(path))} |"


def file_name(path: str) -> str | None:
    """A path as a line of ``wav.scp`` can name it; None where Kaldi would read more into it.

    Raises CorpusError for a path that no line can hold.
    """
    _check_path(path)
    try:
        is_plain = parse_recording(path) == File(path) and path == path.strip()
    except CorpusError:
        return None
    return path if is_plain and not path.startswith("~") else None


def _check_path(path: str) -> None:
    if not path.isprintable():
        raise CorpusError(
            "its path has a line break or another character that no Kaldi table can hold; rename it"
        )
