"""Bad media files of every kind, made anew and read: what once failed must not fail again.

``python -m benchmarks.bad_media`` takes thousands of them through the stages.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bad_media.mutants import KINDS, Elsewhere, mutant
from benchmarks.bad_media.sources import FORMATS, write_sources
from benchmarks.bad_media.trap import Trap
from featurize.errors import MediaError, TrimodalError
from featurize.media import iter_audio, iter_frames
from featurize.vgg import prepare
from pipelines.ahead import FAILED, ITEM, Ahead
from pipelines.ahead_worker import DONE
from pipelines.memory_limit import within_memory

N_OF_EACH = 2
# Of seed 0 and the sources made here: endless pictures, 5 GB of index, 2 GB of picture, samples
# that are not numbers, sound at 2 Hz, a stream without a decoder.
ONCE_FAILED = (5, 13, 30, 56, 95, 126, 139, 170, 390, 425, 672, 771, 866)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("cv2")
    return write_sources(tmp_path_factory.mktemp("good"))


def test_good_files_are_good(sources: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in sources.items():
        (tmp_path / name).write_bytes(content)
        assert sum(map(len, iter_audio(tmp_path / name))) > 16000
        if FORMATS[name][1] is not None:
            assert len(list(iter_frames(tmp_path / name, fps=2))) >= 2


def test_a_mutant_is_made_again_from_its_number(sources: dict[str, bytes]) -> None:
    nowhere = Elsewhere("/nowhere", "http://127.0.0.1:9/")
    first = [mutant(0, k, sources, nowhere) for k in range(len(KINDS))]
    assert first == [mutant(0, k, sources, nowhere) for k in range(len(KINDS))]
    assert Counter(one.kind for one in first) == dict.fromkeys(KINDS, 1)
    n_same = sum(one.content == sources[one.source] for one in first)
    assert n_same < len(KINDS) / 2  # a byte may have been changed to itself


def test_every_kind_of_bad_file_ends_in_time_and_memory(
    sources: dict[str, bytes], tmp_path: Path
) -> None:
    trap = Trap(tmp_path)
    numbers = sorted({*range(N_OF_EACH * len(KINDS)), *ONCE_FAILED})
    paths = []
    for number in numbers:
        paths.append(tmp_path / f"{number:05d}.mp4")
        paths[-1].write_bytes(mutant(0, number, sources, trap.elsewhere).content)
    readers = Ahead(read_all, 2, timeout_s=60)
    try:
        ended = [(number, event) for number, *event in readers.map(paths) if event[0] != ITEM]
        items = [number for number, kind, _ in readers.map(paths[:1]) if kind == ITEM]
    finally:
        readers.close()
    trap.look()
    assert items and trap.touched == []
    bad = {paths[number].name: error for number, (kind, error) in ended if kind == FAILED}
    assert bad == {} and [number for number, _ in ended] == list(range(len(paths)))
    assert all(kind == DONE for _, (kind, _) in ended)


def read_all(path: Path) -> Iterator[str]:
    """In a worker: sound and pictures of a file; a MediaError is as good as either."""
    for read in (_sound, _pictures):
        try:
            yield str(read(path))
        except MediaError as error:
            assert str(error).isprintable()
            yield str(error)
        except TrimodalError as error:
            raise AssertionError(f"not an error of media: {error}") from error


def _sound(path: Path) -> int:
    n_samples = 0
    for samples in within_memory(iter_audio(path)):
        assert np.isfinite(samples).all()
        n_samples += len(samples)
    return n_samples


def _pictures(path: Path) -> int:
    return sum(len(prepare(one[None])) for _, one in within_memory(iter_frames(path, fps=0.1)))
