"""Memory asked for in earnest, in a process of its own, and by FFmpeg on a file of a few KB."""

import resource
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from featurize.errors import MediaError
from pipelines import sound
from pipelines.manifest import Utterance
from pipelines.memory_limit import memory_limit, within_memory
from pipelines.sound import SoundTask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
MIB = 1 << 20
N_SAMPLES = 80_000_000  # more, and FFmpeg refuses by itself


def test_what_takes_more_is_a_media_error_and_the_limit_goes_with_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with (
        pytest.raises(MediaError, match=r"takes more than 0.0625 GiB of memory"),
        memory_limit(64 * MIB),
    ):
        bytearray(128 * MIB)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with memory_limit(256 * MIB):
        assert len(bytearray(128 * MIB)) == 128 * MIB


def test_each_item_is_made_under_the_limit_and_used_without_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    used = within_memory((bytearray(n * MIB) for n in (1, 2, 512)), 256 * MIB)
    assert len(next(used)) == MIB and len(next(used)) == 2 * MIB
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with pytest.raises(MediaError, match="memory"):
        next(used)


def test_a_tighter_limit_of_the_user_stays(start) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "from pipelines.memory_limit import memory_limit\n"
        "with memory_limit(): print(resource.getrlimit(resource.RLIMIT_DATA))"
    )
    out, _ = start(1, "-c", code).communicate(timeout=60)
    assert out.strip() == str((1 << 30, 1 << 30))


READ = """
import resource, sys
from featurize.media import read_audio
from pipelines.memory_limit import memory_limit
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with memory_limit(512 << 20):
        read_audio(sys.argv[1])
except Exception as error:
    print(type(error).__name__)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_an_index_of_millions_of_samples_told_in_a_few_bytes(tmp_path: Path, start) -> None:
    """FFmpeg would lay it out in 2.8 GB."""
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="ipod") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    for box, form, values in [
        (b"stsz", ">II", (1, N_SAMPLES)),  # bytes of each sample, samples
        (b"stsc", ">III", (1, 1, N_SAMPLES)),  # entries, first chunk, samples in it
        (b"stts", ">III", (1, N_SAMPLES, 512)),  # entries, samples, duration of each
    ]:
        struct.pack_into(form, content, content.index(box) + 8, *values)
    path.write_bytes(content)
    out, _ = start(1, "-c", READ, path).communicate(timeout=60)
    kind, n_mib = out.split()
    assert kind == "MediaError" and int(n_mib) < 600


def test_hours_of_silence_in_a_small_file_end_where_memory_would(
    tmp_path: Path, monkeypatch
) -> None:
    """FLAC holds four seconds of silence in 12 bytes: a megabyte of them would take 20 GB."""
    path = tmp_path / "a.flac"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * 600), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert path.stat().st_size < MIB / 8
    monkeypatch.setattr(sound, "LARGEST_BYTES", 4 * 16000 * 400)
    read = []
    with pytest.raises(MediaError, match=r"0\.1 hours of sound or more in one utterance"):
        for samples in sound.stretches(
            SoundTask(tmp_path, Utterance("u", "s", "a.flac", None), 16000)
        ):
            read.append(len(samples))
    assert 300 < sum(read) / 16000 <= 400
