"""A stage on a real Dask cluster: the same bytes, a killed worker costs nothing, clear errors."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from featurize.errors import StageError, UsageError
from pipelines import backends
from pipelines.backends import Dask, Loky, backend_of
from pipelines.manifest import Utterance
from pipelines.options import StageOptions
from pipelines.runner import Unit
from pipelines.workspace import Workspace, create

REPOSITORY = Path(__file__).parents[2]
pytest.importorskip("distributed", reason="Dask is not installed: pip install '.[cluster]'")


class Cluster(NamedTuple):
    """A scheduler and two workers on this machine."""

    address: str
    scheduler: subprocess.Popen
    workers: list[subprocess.Popen]


def start(*words: object, log: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            cwd=log.parent, env=environment, stdout=stream, stderr=stream,
        )  # fmt: skip


def start_cluster(folder: Path, n_workers: int = 2, n_threads: int = 1) -> Cluster:
    found = folder / "scheduler.json"
    scheduler = start(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
        "--scheduler-file", found, log=folder / "scheduler.log",
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not found.is_file():
        assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
        time.sleep(0.1)
    address = json.loads(found.read_text())["address"]
    workers = [
        start(
            "distributed.cli.dask_worker", address, "--nthreads", n_threads, "--no-dashboard",
            "--local-directory", folder / f"scratch-{number}", log=folder / f"worker-{number}.log",
        )
        for number in range(n_workers)
    ]  # fmt: skip
    return Cluster(address, scheduler, workers)


def stop(cluster: Cluster) -> None:
    for process in (*cluster.workers, cluster.scheduler):
        process.terminate()
    for process in (*cluster.workers, cluster.scheduler):
        process.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = start_cluster(tmp_path_factory.mktemp("dask"))
    yield found
    stop(found)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 recordings of a minute: long enough to be caught while a shard of them is written."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for number in range(24):
        sound = rng.normal(0, 2000, 60 * 16000).astype(np.int16)
        soundfile.write(folder / f"{number}.wav", sound, 16000)
    return folder


def prepared(sounds: Path, work: Path, shard_size: int = 4) -> Workspace:
    utterances = [Utterance(f"s/{n}", "s", f"{n}.wav", None, text="a") for n in range(24)]
    create(work, "mosei", sounds, utterances, [], shard_size=shard_size, seed=0, settings={})
    return Workspace(work)


def files(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "features").glob("shard-*")}


def settings(**changed: object) -> StageOptions:
    given = {
        "jobs": None, "shards": None, "rank": None, "world_size": None, "backend": "dask",
        "scheduler": None, "redo": False, "max_reject_share": 0.5,
    }  # fmt: skip
    return StageOptions(**{**given, **changed})


@pytest.mark.slow
def test_the_same_bytes_with_a_worker_killed_in_mid_shard(
    sounds: Path, tmp_path: Path, trimodal: Callable, cluster: Cluster
) -> None:
    here, there = (prepared(sounds, tmp_path / name) for name in ("here", "there"))
    assert trimodal("extract", here.root, "audio", "--jobs", 1).exit_code == 0
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_writer, args=(there.root / "features", killed))
    killer.start()
    words = ("--backend", "dask", "--scheduler", cluster.address)
    found = trimodal("extract", there.root, "audio", *words)
    killer.join()
    assert found.exit_code == 0, found.output
    assert killed and killed[0] != os.getpid()
    assert files(there.root) == files(here.root)
    assert len(files(there.root)) == 6


def kill_one_writer(folder: Path, killed: list[int]) -> None:
    """Kills, with SIGKILL, the first process that is seen writing a shard there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in folder.glob(".shard-*.tmp*"):
            pid = re.search(r"-(\d+)-\d+\.tmp", path.name)
            if pid:
                os.kill(int(pid[1]), signal.SIGKILL)
                killed.append(int(pid[1]))
                return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_model_is_loaded_once_a_worker_not_once_a_shard(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable, cluster: Cluster
) -> None:
    from distributed import Client

    words = ("voxceleb2", tiny_corpora / "voxceleb2", tmp_path / "vox", "--shard-size", 2)
    assert trimodal("prepare", *words, "--preset", "demo").exit_code == 0
    words = ("decode", tmp_path / "vox", "--preset", "demo", "--max-reject-share", 0.5,
             "--backend", "dask", "--scheduler", cluster.address)  # fmt: skip
    n_shards = Workspace(tmp_path / "vox").n_shards
    assert n_shards > 4
    seen = []
    with Client(cluster.address, set_as_default=False) as client:
        for shards in (f":{n_shards // 2}", f"{n_shards // 2}:"):
            found = trimodal(*words, "--shards", shards)
            assert found.exit_code == 0, found.output
            seen.append(client.run(decoders))
    first, second = seen
    assert all(len(pids) == 1 for pids in second.values())
    assert first and all(second[worker] == pids for worker, pids in first.items() if pids)


def decoders() -> list[int]:
    """On a worker: the processes that decode for it, each with one model."""
    from pipelines.decoding.acoustic_model import DEMO_FOLDER
    from pipelines.decoding.vosk_process import process_of_this_worker

    if process_of_this_worker.cache_info().currsize == 0:
        return []
    return process_of_this_worker(DEMO_FOLDER.resolve()).pids


@pytest.mark.slow
def test_a_scheduler_that_dies_keeps_what_is_finished_and_says_what_to_do(
    sounds: Path, tmp_path: Path, trimodal: Callable
) -> None:
    own = start_cluster(tmp_path, n_workers=1)
    work = prepared(sounds, tmp_path / "work", shard_size=1)
    killer = threading.Thread(target=kill_after_the_first, args=(work.root, own.scheduler))
    killer.start()
    try:
        words = ("--backend", "dask", "--scheduler", own.address)
        found = trimodal("extract", work.root, "audio", *words)
    finally:
        killer.join()
        stop(own)
    assert found.exit_code == StageError.exit_code, found.output
    assert "scheduler" in found.output and "run the same command again" in found.output
    kept = files(work.root)
    assert 1 <= len(kept) < 24
    assert trimodal("extract", work.root, "audio", "--jobs", 1).exit_code == 0
    assert kept.items() <= files(work.root).items()
    assert len(files(work.root)) == 24


def kill_after_the_first(work: Path, scheduler: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not files(work):
        time.sleep(0.02)
    scheduler.kill()


@pytest.mark.slow
def test_workers_that_would_fail_later_are_refused(
    sounds: Path, tmp_path: Path, trimodal: Callable
) -> None:
    own = start_cluster(tmp_path, n_workers=1, n_threads=2)
    work = prepared(sounds, tmp_path / "work")
    try:
        words = ("--backend", "dask", "--scheduler", own.address)
        found = trimodal("extract", work.root, "audio", *words)
    finally:
        stop(own)
    assert found.exit_code == UsageError.exit_code
    assert "--nthreads 1" in found.output


def test_folders_that_workers_do_not_see_are_named(cluster: Cluster, tmp_path: Path) -> None:
    unit = Unit(0, tmp_path / "shard-00000.audio.h5", "", {}, tmp_path / "corpus", [])
    with pytest.raises(UsageError, match="does not see .*corpus; .*a folder that all share"):
        next(Dask(cluster.address).map(len, [unit]))


def test_no_scheduler_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(UsageError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        next(Dask("tcp://127.0.0.1:9").map(len, []))


def test_options_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="--scheduler is for --backend dask"):
        backend_of(settings(backend="loky", scheduler="tcp://a:1"))
    with pytest.raises(UsageError, match="add --scheduler ADDRESS"):
        backend_of(settings())
    with pytest.raises(UsageError, match="--jobs is for this machine"):
        backend_of(settings(scheduler="tcp://a:1", jobs=2))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://b:2")
    assert backend_of(settings()) == Dask("tcp://b:2")
    assert backend_of(settings(backend="loky", jobs=3), 7) == Loky(3)
    assert backend_of(settings(backend="loky"), 7) == Loky(7)


ALLOCATING = """
import resource
import numpy as np
from pipelines.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(1_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with_dasks_setting = faults()
keep_freed_memory()
print(with_dasks_setting, faults())
"""


def test_a_dask_worker_does_not_map_its_arrays_anew_each_time() -> None:
    from dask import config

    nanny = config.get("distributed.nanny.pre-spawn-environ")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **{k: str(nanny[k]) for k in nanny}}
    words = [sys.executable, "-c", ALLOCATING]
    printed = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    before, after = map(int, printed.stdout.split())
    assert after < before / 3
