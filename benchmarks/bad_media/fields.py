"""Lies in the headers of media files: sizes, counts, rates and pictures that cannot be.

Places are of the ISO base media file format (ISO/IEC 14496-12), RIFF (WAV, AVI) and FLAC, in bytes
from the four letters that name the box or chunk.
"""

import random
import struct
import zlib

# Name of the box -> (offset, struct format) of what it states.
MP4_FIELDS: dict[bytes, tuple[tuple[int, str], ...]] = {
    b"mvhd": ((16, ">I"), (20, ">I")),  # time scale, duration
    b"tkhd": ((24, ">I"), (80, ">I"), (84, ">I"), (40, ">i")),  # duration, width, height, rotation
    b"mdhd": ((16, ">I"), (20, ">I")),
    b"stts": ((8, ">I"), (12, ">I"), (16, ">I")),  # entries; samples, duration of each
    b"ctts": ((8, ">I"), (12, ">I"), (16, ">i")),
    b"elst": ((8, ">I"), (12, ">I"), (16, ">i")),
    b"stsz": ((8, ">I"), (12, ">I"), (16, ">I")),  # size of all, samples, size of the first
    b"stsc": ((8, ">I"), (12, ">I"), (16, ">I"), (20, ">I")),
    b"stco": ((8, ">I"), (12, ">I")),
    b"stss": ((8, ">I"), (12, ">I")),
    b"stsd": ((8, ">I"), (12, ">I")),
    b"avc1": ((28, ">H"), (30, ">H")),  # width, height
    b"hvc1": ((28, ">H"), (30, ">H")),
    b"mp4a": ((20, ">H"), (22, ">H"), (28, ">I")),  # channels, bits, rate
    b"esds": ((4, ">I"), (8, ">I"), (20, ">I")),
    b"trun": ((8, ">I"), (12, ">I"), (16, ">I")),
    b"tfhd": ((8, ">I"), (12, ">I")),
    b"moov": ((-4, ">I"),),
    b"trak": ((-4, ">I"),),
    b"mdat": ((-4, ">I"),),
}
WAV_FIELDS = {
    b"RIFF": ((4, "<I"),),
    b"fmt ": (
        *((4, "<I"), (8, "<H"), (10, "<H"), (12, "<I")),  # size; codec, channels, rate
        *((16, "<I"), (20, "<H"), (22, "<H")),  # bytes a second and a block, bits a sample
    ),
    b"data": ((4, "<I"),),
    b"fact": ((4, "<I"), (8, "<I")),
}
AVI_FIELDS = {
    # Microseconds a picture, pictures, streams, buffer, width, height.
    b"avih": tuple((8 + 4 * k, "<I") for k in (0, 4, 6, 7, 8, 9)),
    b"strh": tuple((8 + 4 * k, "<I") for k in (5, 6, 7, 8, 11)),  # scale, rate, start, length
    b"strf": ((4, "<I"), (8, "<I"), (12, "<I"), (16, "<I"), (22, "<H"), (24, "<I")),
    b"idx1": ((4, "<I"), (16, "<I"), (20, "<I")),
    b"movi": ((-4, "<I"),),
}
FLAC_FIELDS = {b"fLaC": tuple((k, ">I") for k in (4, 8, 12, 16, 18, 20, 22))}
VP8_START = b"\x9d\x01\x2a"  # of a key frame; width and height follow (RFC 6386, 9.1)
EXTREMES = (0, 1, 2, 3, 255, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def lies(rng: random.Random, content: bytes) -> bytes:
    """One to three header fields of any known kind set to what cannot be."""
    fields = {**MP4_FIELDS, **WAV_FIELDS, **AVI_FIELDS, **FLAC_FIELDS}
    places = [
        (at + offset, form)
        for name, known in fields.items()
        for at in _occurrences(content, name)
        for offset, form in known
        if 0 <= at + offset <= len(content) - struct.calcsize(form)
    ]
    changed = bytearray(content)
    for at, form in rng.sample(places, min(len(places), rng.randint(1, 3))):
        value = rng.choice((*EXTREMES, rng.getrandbits(32)))
        struct.pack_into(form.upper(), changed, at, value & (2 ** (8 * struct.calcsize(form)) - 1))
    return bytes(changed)


def box(name: bytes, *content: bytes) -> bytes:
    """One box of an mp4."""
    inside = b"".join(content)
    return struct.pack(">I", 8 + len(inside)) + name + inside


def huge_box(rng: random.Random, content: bytes) -> bytes:
    """A box whose size is 0, 1 (a size of 64 bits follows) or beyond the file."""
    at = rng.choice(_occurrences(content, rng.choice([b"moov", b"mdat", b"trak", b"stbl"])) or [4])
    large = struct.pack(">Q", rng.choice([0, 7, 2**31, 2**62, 2**63, 2**64 - 1]))
    size = struct.pack(">I", rng.choice([0, 1, 7, 2**31, 2**32 - 1]))
    return content[: max(at - 4, 0)] + size + content[at : at + 4] + large + content[at + 4 :]


def nested_boxes(rng: random.Random, content: bytes) -> bytes:
    """Boxes in boxes, thousands deep."""
    name = rng.choice([b"moov", b"trak", b"udta", b"meta", b"moof"])
    deep = b""
    for _ in range(rng.choice([20, 500, 5000])):
        deep = box(name, deep)
    return content[:32] + deep + content[32:]


def large_picture(rng: random.Random, content: bytes) -> bytes:
    """VP8 or H.264 whose key frames, or parameter set and boxes, declare a huge picture."""
    width, height = rng.choice([(16000, 16000), (9000, 9000), (16, 16000), (16000, 16), (16, 16)])
    changed = bytearray(content)
    for place in _occurrences(content, VP8_START):
        struct.pack_into("<HH", changed, place + len(VP8_START), width, height)
    at = content.find(b"avcC")
    if at < 0 or len(content) < at + 64:
        return bytes(changed)
    size = struct.unpack(">H", content[at + 10 : at + 12])[0]
    new = _parameter_set(width // 16, height // 16).ljust(size, b"\0")[:size]
    changed[at + 12 : at + 12 + size] = new
    for place in _occurrences(content, b"avc1"):
        if place + 32 <= len(changed):
            struct.pack_into(">HH", changed, place + 28, width & 0xFFFF, height & 0xFFFF)
    return bytes(changed)


def _parameter_set(columns: int, rows: int) -> bytes:
    """A baseline H.264 sequence parameter set of so many macroblocks (ISO/IEC 14496-10, 7.3.2)."""
    values = [0, 0, 2, 1]  # id, frame numbers' bits, order of pictures, reference frames
    bits = "".join(map(_exp_golomb, values)) + "0"  # no gaps in the frame numbers
    bits += _exp_golomb(columns - 1) + _exp_golomb(rows - 1) + "1100" + "1"
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return bytes([0x67, 66, 0, 51]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _exp_golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def many_samples(rng: random.Random, content: bytes) -> bytes:
    """An index of many millions of samples, told in a few bytes."""
    n = rng.choice([10**6, 80 * 10**6, 2**31 - 1, 2**32 - 1])
    changed = bytearray(content)
    for at in _occurrences(content, b"stsz"):
        struct.pack_into(">II", changed, at + 8, rng.choice([1, 8]), n)
    for at in _occurrences(content, b"stsc"):
        struct.pack_into(">III", changed, at + 8, 1, 1, n)
    for at in _occurrences(content, b"stts"):
        struct.pack_into(">III", changed, at + 8, 1, n, rng.choice([1, 512]))
    return bytes(changed)


def slow_clock(rng: random.Random, content: bytes) -> bytes:
    """Pictures of hours or centuries each: durations by the million, or a time scale of 1."""
    changed = bytearray(content)
    if rng.random() < 0.5:
        for at in _occurrences(content, b"mdhd") + _occurrences(content, b"mvhd"):
            struct.pack_into(">I", changed, at + 16, rng.choice([1, 2, 25]))
        return bytes(changed)
    for at in _occurrences(content, b"stts"):
        struct.pack_into(">I", changed, at + 16, rng.choice([10**6, 10**8, 2**31 - 1, 2**32 - 1]))
    return bytes(changed)


def compressed_header(rng: random.Random, content: bytes) -> bytes:
    """A ``cmov`` box: a small deflated header that becomes a large one."""
    n_bytes = rng.choice([10**5, 10**8])
    inside = zlib.compress(bytes(n_bytes))
    claimed = rng.choice([n_bytes, 2**31 - 1, 2**32 - 1])
    told = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", claimed), inside)
    return box(b"ftyp", b"qt  \0\0\0\0") + box(b"moov", box(b"cmov", told))


def outside_data(rng: random.Random, content: bytes, reference: str) -> bytes:
    """An mp4 whose samples are said to lie in another file (``dref`` of kind ``url `` or alis)."""
    kind = rng.choice([b"url ", b"alis", b"rsrc"])
    entry = box(kind, struct.pack(">I", 0), reference.encode() + b"\0")
    at = content.find(b"dref")
    if at < 0:
        return content
    old = struct.unpack(">I", content[at - 4 : at])[0]
    new = box(b"dref", struct.pack(">II", 0, 1), entry)
    changed = bytearray(content[: at - 4] + new + content[at - 4 + old :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        outer = content.rfind(name, 0, at)
        if outer >= 4:
            size = struct.unpack(">I", content[outer - 4 : outer])[0]
            struct.pack_into(">I", changed, outer - 4, (size + len(new) - old) & 0xFFFFFFFF)
    return bytes(changed)


def _occurrences(content: bytes, name: bytes) -> list[int]:
    found: list[int] = []
    at = content.find(name)
    while at >= 0 and len(found) < 16:
        found.append(at)
        at = content.find(name, at + 4)
    return found
