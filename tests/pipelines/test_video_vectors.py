"""The path from files to vectors: batches, sizes, deaths, lengths."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest
import torch

from featurize.errors import MediaError
from featurize.media import read_frames
from featurize.vgg import prepare
from pipelines.ahead import Ahead
from pipelines.video_clips import ClipTask, clips
from pipelines.video_vectors import device_of, video_vectors


class MeanColour:
    """In the network's place where its weights do not matter: 3 numbers a picture, at once."""

    batch_size = 8

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def launch(self, pictures: np.ndarray) -> torch.Tensor:
        assert pictures.shape[1:] == (224, 224, 3) and pictures.dtype == np.uint8
        self.sizes.append(len(pictures))
        return torch.tensor(pictures.mean(axis=(1, 2)))


def write_clip(path: Path, width: int, height: int, n_frames: int, fps: int = 25) -> Path:
    """A grey that grows lighter with time over noise that stays the same."""
    noise = np.random.default_rng(width).integers(0, 50, (height, width, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for k in range(n_frames):
            picture = (noise + k * 200 / n_frames).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def task(path: Path | None, **changes) -> ClipTask:
    usual = {"fps": 5.0, "start_s": 0.0, "end_s": None, "faces": "none", "face_scale": 1.4}
    return ClipTask(path=path, **{**usual, **changes})


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sizes")
    shapes = [(64, 48), (48, 64), (224, 224), (300, 200), (226, 98), (64, 48)]
    return [write_clip(folder / f"{k}.mp4", *shape, 30 + k) for k, shape in enumerate(shapes)]


@pytest.fixture(scope="module")
def decoders() -> Iterator[dict[int, Ahead]]:
    pools = {n: Ahead(clips, n, max_waiting=4) for n in (1, 3)}
    yield pools
    for pool in pools.values():
        pool.close()


def test_batches_are_full_whatever_the_sizes_of_the_pictures(sizes, decoders) -> None:
    network = MeanColour()
    found = list(video_vectors(network, decoders[1], [task(path) for path in sizes]))
    n_pictures = sum(len(arrays["features"]) for arrays in found)
    full, rest = divmod(n_pictures, 8)
    assert network.sizes == [8] * full + [rest]
    for path, arrays in zip(sizes, found, strict=True):
        times_s, pictures = read_frames(path, fps=5)
        np.testing.assert_array_equal(arrays["times_s"], times_s)
        expected = prepare(pictures).mean(axis=(1, 2))
        np.testing.assert_array_equal(arrays["features"], expected)
        assert arrays["n_without_face"] == 0


def test_broken_files_are_rejected_among_the_others(sizes, decoders, tmp_path, shared_data) -> None:
    (tmp_path / "text.mp4").write_text("no media" * 1000)
    broken = shared_data / "video" / "bad" / "decord_corrupted.mp4"  # pictures come first, then not
    tasks = [
        task(sizes[0]), task(tmp_path / "text.mp4"), task(broken, fps=25.0), task(sizes[1]),
        task(None, problem=MediaError("no video file")), task(tmp_path / "absent.mp4"),
    ]  # fmt: skip
    found = list(video_vectors(MeanColour(), decoders[3], tasks))
    assert [isinstance(arrays, dict) for arrays in found] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    reasons = [str(arrays) for arrays in found if not isinstance(arrays, dict)]
    for reason, expected in zip(
        reasons,
        ["cannot be opened", "decoding failed after", "no video file", "no such regular file"],
        strict=True,
    ):
        assert expected in reason


def test_bits_do_not_depend_on_the_workers_nor_on_kills(sizes, decoders) -> None:
    """All workers are killed once a run: a task that is hit twice would rightly be given up."""

    def content(pool: Ahead, killed_at: int | None = None) -> bytes:
        network, result = MeanColour(), b""
        for k, arrays in enumerate(video_vectors(network, pool, [task(p) for p in sizes * 3])):
            result += b"".join(array.tobytes() for array in arrays.values())
            for pid in pool.pids if k == killed_at else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return result + bytes(network.sizes)

    expected = content(decoders[1])
    assert content(decoders[3]) == expected
    for killed_at in (0, 7, 13):
        assert content(decoders[3], killed_at) == expected


def test_a_file_that_kills_its_decoder_costs_itself_alone(sizes, tmp_path) -> None:
    """Whichever process opens the poisonous file is killed, as a crash in FFmpeg would."""
    poison = write_clip(tmp_path / "poison.mp4", 640, 480, 500)
    pool = Ahead(clips, 2)
    done, killed = Event(), set()

    def watch() -> None:
        while not done.wait(0.001):
            for pid in pool.pids:
                if pid not in killed and _has_open(pid, poison):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        tasks = [task(sizes[0]), task(poison, fps=25.0), task(sizes[1]), task(sizes[2])]
        found = list(video_vectors(MeanColour(), pool, tasks))
    finally:
        done.set()
        watcher.join()
        pool.close()
    assert len(killed) == 2  # it was tried twice
    assert str(found[1]) == "decoder died (SIGKILL)"
    assert all(isinstance(found[k], dict) for k in (0, 2, 3))


def _has_open(pid: int, path: Path) -> bool:
    try:
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


class Watched(MeanColour):
    """Looks at each batch how much memory this process and the decoders take."""

    def __init__(self, pool: Ahead) -> None:
        super().__init__()
        self.pool = pool
        self.peak_mb = 0.0

    def launch(self, pictures: np.ndarray) -> torch.Tensor:
        if not self.sizes:
            time.sleep(3)
        now_mb = _resident_mb(os.getpid()) + sum(map(_resident_mb, self.pool.pids))
        self.peak_mb = max(self.peak_mb, now_mb)
        return super().launch(pictures)


@pytest.mark.slow
def test_half_an_hour_of_video_needs_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    """3,600 pictures would be 540 MB; the consumer waits at first, so that the queue fills up."""
    path = write_clip(tmp_path / "half_an_hour.mp4", 64, 48, 1800 * 2, fps=2)
    pool = Ahead(clips, 1)
    peaks_mb = []
    for length_s in (60, 1800):
        before = _resident_mb(os.getpid())
        network = Watched(pool)
        (arrays,) = video_vectors(network, pool, [task(path, fps=2.0, end_s=float(length_s))])
        assert len(arrays["features"]) == 2 * length_s
        peaks_mb.append(network.peak_mb - before)
    pool.close()
    assert peaks_mb[1] < peaks_mb[0] + 200


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_gpus_are_shared_out_over_joblib_s_processes(tmp_path: Path) -> None:
    from joblib import Parallel, delayed

    def name(k: int) -> str:
        """Ends when all three are there, so that each process gets one."""
        import time
        from multiprocessing import current_process

        (tmp_path / str(k)).touch()
        while len(list(tmp_path.iterdir())) < 3:
            time.sleep(0.01)
        return current_process().name

    names = set(Parallel(n_jobs=3)(delayed(name)(k) for k in range(3)))
    assert {device_of(n, "cuda", 3) for n in names} == {"cuda:0", "cuda:1", "cuda:2"}
    for device, n_devices in [("cpu", 0), ("cuda:1", 1), ("cuda", 1)]:
        assert device_of("LokyProcess-3", device, n_devices) == device
    assert device_of("MainProcess", "cuda", 4) == "cuda"


def test_names_outside_ascii(sizes, decoders, tmp_path) -> None:
    path = tmp_path / "vidéo 视频 \U0001f600.mp4"
    shutil.copy(sizes[0], path)
    (arrays,) = video_vectors(MeanColour(), decoders[1], [task(path)])
    assert len(arrays["features"]) == 6
