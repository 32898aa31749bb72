"""Bad media files, each made again from (seed, number): damaged, lying, disguised, or no media.

``mutant(seed, number, sources)`` is a file's content; the kinds take turns, so that every kind is
met equally often.
"""

import gzip
import io
import pickle
import random
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.bad_media import fields

HEADER_BYTES = 512
MAGICS = (
    *(
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"ID3\x04\0\0\x7f\x7f\x7f",
    ),
    *(b"\x1aE\xdf\xa3\x01\0\0\0", b"\0\0\0\x20ftypisom", b"FLV\x01\x05\0\0\0\x09", b"FORM\xff\xff"),
    *(b"\0\0\x01\xba", b"G@\x11\x10", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"caff\0\x01", b".snd"),
    *(b"#!AMR\n", b"\x0bw", b"\xff\xf1P\x80", b"\x89PNG\r\n\x1a\n", b"\x7fELF", b"%PDF-1.7"),
)

Sources = Mapping[str, bytes]


@dataclass(frozen=True)
class Mutant:
    """One bad file; ``source`` is the good one that it was made from."""

    number: int
    kind: str
    source: str
    content: bytes


@dataclass(frozen=True)
class Elsewhere:
    """What a file that refers to another points at: neither may ever be touched."""

    path: str
    url: str


def mutant(seed: int, number: int, sources: Sources, elsewhere: Elsewhere) -> Mutant:
    """The bad file of that number."""
    rng = random.Random(f"{seed}/{number}")
    kinds = sorted(KINDS)
    kind = kinds[number % len(kinds)]
    source = rng.choice(sorted(sources))
    if kind in MP4_KINDS:
        source = rng.choice([name for name in sorted(sources) if name.endswith((".mp4", ".m4a"))])
    elif kind == "huge picture":
        source = rng.choice(["a.mp4", "b.mp4", "a.webm"])
    return Mutant(number, kind, source, KINDS[kind](rng, source, sources, elsewhere))


def _flipped(low: int, high: int, within: float | int) -> "Make":
    """``low`` to ``high`` bytes changed: in the first ``within`` bytes, or in all (1.0)."""

    def make(rng: random.Random, source: str, sources: Sources, _: Elsewhere) -> bytes:
        changed = bytearray(sources[source])
        end = len(changed) if within == 1.0 else min(int(within), len(changed))
        for _k in range(rng.randint(low, high)):
            changed[rng.randrange(end)] = rng.randrange(256)
        return bytes(changed)

    return make


def _of_content(change: Callable[[random.Random, bytes], bytes]) -> "Make":
    return lambda rng, source, sources, _: change(rng, sources[source])


def _cut(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content)) if rng.random() < 0.7 else rng.randrange(64)
    return content[:at] if rng.random() < 0.7 else content[at:]


def _blocks(rng: random.Random, content: bytes) -> bytes:
    """Stretches zeroed, filled, removed, doubled or moved."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, n = rng.randrange(len(changed)), rng.choice([1, 4, 64, 512, 4096])
        stretch = bytes(changed[at : at + n])
        filling = {0: bytes(len(stretch)), 1: b"\xff" * len(stretch), 2: b"", 3: 2 * stretch}
        changed[at : at + n] = filling.get(rng.randrange(5), rng.randbytes(len(stretch)))
        changed = changed or bytearray(1)
    return bytes(changed)


def _spliced(rng: random.Random, source: str, sources: Sources, _: Elsewhere) -> bytes:
    first, second = sources[source], sources[rng.choice(sorted(sources))]
    return first[: rng.randrange(1, len(first))] + second[rng.randrange(len(second)) :]


def _doubled(rng: random.Random, content: bytes) -> bytes:
    return content * rng.choice([2, 3, 10])


def _disguised(rng: random.Random, content: bytes) -> bytes:
    """Another format's first bytes, put before or over its own."""
    magic = rng.choice(MAGICS)
    return magic + content[len(magic) if rng.random() < 0.5 else 0 :]


def _tiny(rng: random.Random, content: bytes) -> bytes:
    return rng.choice([b"\0", b"\n", b"R", content[:4], content[:8], content[:12], content[:44]])


def _noise(rng: random.Random, _: bytes) -> bytes:
    return rng.choice([b"", *MAGICS]) + rng.randbytes(rng.choice([16, 1000, 30000]))


def _packed(rng: random.Random, content: bytes) -> bytes:
    """Archives and pickles under a media name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("../../a.mp4"), content)
    bomb = gzip.compress(bytes(10**7), mtime=0)
    pickled = pickle.dumps({"a": content})
    return rng.choice([archive.getvalue(), gzip.compress(content, mtime=0), bomb, pickled])


def _playlist(rng: random.Random, _s: str, _all: Sources, elsewhere: Elsewhere) -> bytes:
    """Scripts that have FFmpeg open other files, in every form that it knows."""
    target = rng.choice([elsewhere.path, f"file:{elsewhere.path}", elsewhere.url])
    scripts = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        f'#EXTM3U\n#EXT-X-MAP:URI="{target}"\n#EXTINF:1,\n{target}\n',
        f"ffconcat version 1.0\nfile '{target}'\n",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\na={target}\n",
        f'<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{target}'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>",
        f"[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {target}\n",
        f"1\n00:00:00,000 --> 00:00:01,000\n{target}\n",
        f'<ASX version="3.0"><ENTRY><REF HREF="{target}"/></ENTRY></ASX>',
        f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
        f"[InternetShortcut]\nURL={target}\n",
        f";FFMETADATA1\ntitle={target}\n",
        f"# timecode format v2\n{target}\n" * 100,
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{target}">]><svg>&b;</svg>',
    )
    return rng.choice(scripts).encode()


def _reference(rng: random.Random, source: str, sources: Sources, elsewhere: Elsewhere) -> bytes:
    target = rng.choice([elsewhere.path, elsewhere.url])
    return fields.outside_data(rng, sources[source], target)


Make = Callable[[random.Random, str, Sources, Elsewhere], bytes]

KINDS: dict[str, Make] = {
    "one byte changed": _flipped(1, 1, 1.0),
    "a few bytes changed": _flipped(2, 20, 1.0),
    "many bytes changed": _flipped(100, 2000, 1.0),
    "header bytes changed": _flipped(1, 10, HEADER_BYTES),
    "cut": _of_content(_cut),
    "stretches lost, doubled, zeroed": _of_content(_blocks),
    "two files spliced": _spliced,
    "doubled": _of_content(_doubled),
    "header of another format": _of_content(_disguised),
    "a few bytes alone": _of_content(_tiny),
    "noise": _of_content(_noise),
    "archive or pickle": _of_content(_packed),
    "playlist or script": _playlist,
    "mp4 that refers to another file": _reference,
    "lying header fields": _of_content(fields.lies),
    "mp4: lying header fields": _of_content(fields.lies),
    "mp4: sizes of boxes": _of_content(fields.huge_box),
    "mp4: boxes nested": _of_content(fields.nested_boxes),
    "huge picture": _of_content(fields.large_picture),
    "mp4: huge index": _of_content(fields.many_samples),
    "mp4: slow clock": _of_content(fields.slow_clock),
    "mp4: compressed header": _of_content(fields.compressed_header),
}
MP4_KINDS = frozenset(kind for kind in KINDS if kind.startswith("mp4"))
