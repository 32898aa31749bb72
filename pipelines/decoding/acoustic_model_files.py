"""The few facts needed from inside Kaldi's and OpenFst's files, without either library."""

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import ModelError

# OpenFst, fst.h: the header's magic number and the flag of a graph that carries its own words.
FST_MAGIC = 2125659606
FST_HAS_OUTPUT_SYMBOLS = 2


@dataclass(frozen=True)
class KaldiConfig:
    """Options of a Kaldi configuration file, without their leading dashes."""

    path: Path
    options: dict[str, str]

    def number(self, option: str, default: float, *, minimum: float = 1e-6) -> float:
        """A finite value of at least ``minimum``. Raises ModelError when it is none."""
        try:
            value = float(self.options.get(option, default))
        except ValueError:
            value = float("nan")
        if not minimum <= value < float("inf"):
            given = self.options[option]
            raise ModelError(f"{self.path}: --{option}={given} is no usable number; correct it")
        return value


@dataclass(frozen=True)
class Fst:
    """An OpenFst file: its ``kind`` (vector, const, ngram ...), and whether words are inside."""

    kind: str
    has_words: bool


def read_config(path: Path) -> KaldiConfig:
    """Reads a configuration file: one ``--name=value`` a line, ``#`` begins a comment.

    Underscores in names count as dashes and case is ignored, as in Kaldi's ParseOptions. A name
    without value stands for "true". Raises ModelError on any other line.
    """
    options = {}
    for line in _text(path).splitlines():
        option = line.partition("#")[0].strip()
        if not option:
            continue
        name, equals, value = option.partition("=")
        if not re.fullmatch(r"--[A-Za-z][\w.-]*", name.strip()):
            raise ModelError(f"{path}: line {option[:60]!r} has not the form --name=value; fix it")
        key = name.strip()[2:].lower().replace("_", "-")
        options[key] = value.strip() if equals else "true"
    return KaldiConfig(path, options)


def network_inputs(path: Path) -> tuple[int, int | None]:
    """Dimension of an nnet3 network's input, and of its i-vector (None when it takes none).

    They stand in the text that opens the network, after the transition model. Raises ModelError
    when the file is no transition model followed by an nnet3 network.
    """
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: has zero bytes; copy it again")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as model:
        start = model.find(b"<Nnet3>")
        stop = model.find(b"<NumComponents>", start)
        if b"<TransitionModel>" not in model[:64] or start < 0 or stop < 0:
            raise ModelError(
                f"{path}: not a Kaldi nnet3 acoustic model (transition model and network); give a "
                "TDNN's final.mdl, not a GMM's, nor a bare .raw network, nor one of nnet1 or nnet2"
            )
        nodes = re.findall(rb"input-node name=(\S+) dim=(\d+)", model[start:stop])
    dimensions = {name.decode("ascii", "replace"): int(value) for name, value in nodes}
    if "input" not in dimensions:
        raise ModelError(f"{path}: its network has no input named `input`; copy the file again")
    return dimensions["input"], dimensions.get("ivector")


def phones(path: Path) -> frozenset[int]:
    """Numbers of the phones in a binary transition model; empty when it is text.

    Kaldi writes them first of all (``HmmTopology::Write``, ``WriteIntegerVector``): the size of an
    integer in one byte, how many, and they.
    """
    with path.open("rb") as stream:
        head = stream.read(1 << 20)
    opening = b"\0B<TransitionModel> <Topology> \4"
    if not head.startswith(opening):
        return frozenset()
    (n,) = struct.unpack_from("<i", head, len(opening))
    if not 0 < n <= (len(head) - len(opening) - 4) // 4:
        raise ModelError(f"{path}: its list of phones is damaged; copy the file again")
    return frozenset(struct.unpack_from(f"<{n}i", head, len(opening) + 4))


def fst_header(path: Path) -> Fst:
    """Header of an OpenFst file. Raises ModelError when it is none, or of another arc type."""
    with path.open("rb") as stream:
        head = stream.read(512)
    try:
        (magic,) = struct.unpack_from("<i", head)
        kind, position = _string(head, 4)
        arcs, position = _string(head, position)
        _, flags = struct.unpack_from("<ii", head, position)
    except (struct.error, ValueError):
        magic, kind, arcs, flags = 0, "", "", 0
    if magic != FST_MAGIC or arcs != "standard":
        raise ModelError(
            f"{path}: not an OpenFst graph with standard arcs; copy it again, or make it anew with "
            "Kaldi's utils/mkgraph.sh"
        )
    return Fst(kind, bool(flags & FST_HAS_OUTPUT_SYMBOLS))


def _string(head: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<i", head, position)
    stop = position + 4 + length
    if not 0 <= length <= 64:
        raise ValueError("no OpenFst string")
    return head[position + 4 : stop].decode("ascii"), stop


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not a readable configuration file: {error}") from None
