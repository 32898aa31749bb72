"""1,000 utterances of half a second, decoding killed ten times, against an unbroken run.

    python -m benchmarks.interrupted [--n 1000] [--kills 10] [--seed 0]

Each kill is SIGKILL to the whole process group (the command, its workers, their decoders) at a
random instant; then the same command is typed again. Ends with exit code 1 if a byte differs, or
a process is left.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

from benchmarks.decode_corpus import spoken_sentences
from pipelines.manifest import Utterance
from pipelines.workspace import create

UTTERANCE_S = 0.5
SHARD_SIZE = 10


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000, help="utterances")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = _workspace(folder, options.n)
        unbroken = shutil.copytree(work, folder / "unbroken")
        started_s = time.monotonic()
        _finish(unbroken)
        unbroken_s = time.monotonic() - started_s
        n_more = _n_shards(unbroken) // options.kills - 1  # so that something is left for each
        done = [_killed(work, rng, n_more) for _ in range(options.kills)]
        _finish(work)
        expected, found = _files(unbroken), _files(work)
    different = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    print(f"unbroken: {len(expected)} files in {unbroken_s:.1f} s")
    print(f"killed {options.kills} times, with so many shards finished by then: {done}")
    print(f"different: {different or 'none'}")
    return 1 if different else 0


def _workspace(folder: Path, n: int) -> Path:
    utterances = []
    n_samples = int(UTTERANCE_S * 16000)
    pieces = (
        sound[start : start + n_samples]
        for sound in spoken_sentences(n)
        for start in range(0, len(sound) - n_samples, n_samples)
    )
    for number, samples in zip(range(n), pieces, strict=False):
        path = folder / "corpus" / f"{number:04d}.wav"
        path.parent.mkdir(exist_ok=True)
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())
        size = path.stat().st_size
        utterances.append(Utterance(f"s/{number:04d}", "s", path.name, None, audio_bytes=size))
    work = folder / "work"
    create(work, "x", folder / "corpus", utterances, [], shard_size=SHARD_SIZE, seed=0, settings={})
    return work


def _killed(work: Path, rng: random.Random, n_more: int) -> int:
    """Kills a run some time after up to ``n_more`` shards; returns the shards there are then."""
    wanted = _n_shards(work) + rng.randint(0, n_more)
    with _started(work) as process:
        time.sleep(rng.uniform(0, 1) if wanted == _n_shards(work) else 0)
        while process.poll() is None and _n_shards(work) < wanted:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        if process.poll() is not None:
            sys.exit(f"the run was over before it was to be killed (exit {process.returncode})")
        os.killpg(process.pid, signal.SIGKILL)
    _wait_for_the_end_of(process.pid)
    return _n_shards(work)


def _n_shards(work: Path) -> int:
    return len(list((work / "decode").glob("shard-*.jsonl")))


def _started(work: Path) -> subprocess.Popen:
    command = [
        *(sys.executable, "-m", "pipelines.cli", "decode", str(work)),
        *("--model", "demo", "--jobs", "2"),
    ]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)


def _finish(work: Path) -> None:
    with _started(work) as process:
        if process.wait() != 0:
            sys.exit(f"decoding failed (exit {process.returncode})")


def _wait_for_the_end_of(group: int) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    sys.exit(f"a process of the group {group} is left")


def _files(work: Path) -> dict[str, bytes]:
    found = (path for path in work.rglob("*") if path.is_file() and path.name != "manifest.jsonl")
    return {str(path.relative_to(work)): path.read_bytes() for path in found}


if __name__ == "__main__":
    sys.exit(main())
