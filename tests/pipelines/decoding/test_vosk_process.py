"""Decoders that are killed and that abort: each death costs one utterance, and no other changes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import MediaError, ModelError
from pipelines.decode import decode_shard
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.engine import Decoded
from pipelines.decoding.vosk_engine import VoskEngine
from pipelines.decoding.vosk_process import VoskProcess
from pipelines.manifest import Utterance


@pytest.fixture
def process() -> Iterator[VoskProcess]:
    made = VoskProcess(DEMO_FOLDER)
    yield made
    made.close()


@pytest.fixture
def corpus(tmp_path: Path, sentences: list[np.ndarray], write_wav) -> list[Utterance]:
    """Six sentences, and before the fourth a sound of minutes, open while its start is decoded."""
    for index, samples in enumerate(sentences):
        write_wav(tmp_path / f"{index}.wav", samples * 32768)
    write_wav(tmp_path / "poison.wav", np.tile(np.concatenate(sentences), 10) * 32768)
    names = ["0", "1", "2", "poison", "3", "4", "5"]
    return [Utterance(name, "s", f"{name}.wav", None) for name in names]


class Killer(threading.Thread):
    """Sends a signal to every process that is seen at the poisonous file."""

    def __init__(self, process: VoskProcess, number: signal.Signals) -> None:
        super().__init__(daemon=True)
        self.process, self.signal = process, number
        self.killed: set[int] = set()
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            for pid in self.process.pids:
                if pid not in self.killed and self._is_at_poison(pid):
                    os.kill(pid, self.signal)
                    self.killed.add(pid)
            time.sleep(0.002)

    def _is_at_poison(self, pid: int) -> bool:
        try:
            opened = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            return False
        return any(path.endswith("/poison.wav") for path in opened)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_costs_one_utterance_and_changes_no_other(
    process: VoskProcess, corpus: list[Utterance], tmp_path: Path, number: signal.Signals
) -> None:
    good = [utterance for utterance in corpus if utterance.id != "poison"]
    undisturbed = list(process.decode(good, tmp_path))
    killer = Killer(process, number)
    killer.start()
    found = list(process.decode(corpus, tmp_path))
    killer.is_over = True
    killer.join()
    assert [utterance for utterance, _ in found] == corpus
    assert len(killer.killed) == 2  # tried once more, in case that memory was short
    (_, error) = found.pop(3)
    assert isinstance(error, MediaError) and str(error) == f"decoder died ({number.name})"
    assert all(isinstance(heard, Decoded) for _, heard in found)
    assert repr(found) == repr(undisturbed)
    assert process.pids and process.pids[0] not in killer.killed


def test_one_process_serves_shard_after_shard(
    process: VoskProcess, corpus: list[Utterance], tmp_path: Path
) -> None:
    pids = set()
    for _ in range(3):
        assert len(list(process.decode(corpus[:2], tmp_path))) == 2
        pids.update(process.pids)
    assert len(pids) == 1


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped model that may be broken."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))


def test_a_model_that_ends_the_process_is_an_error_of_the_model(
    model: Path, tmp_path: Path, corpus: list[Utterance]
) -> None:
    # More filters than the Fourier transform has bins: Kaldi asserts it, no check foresees it.
    with (model / "conf/mfcc.conf").open("a") as config:
        config.write("--num-mel-bins=400\n")
    with pytest.raises(ModelError, match=r"loading it ended the process .*SIGABRT"):
        decode_shard(corpus[:1], tmp_path, VoskEngine(str(model)))


def test_a_setting_that_kaldi_refuses_is_an_error_of_the_model(
    model: Path, tmp_path: Path, corpus: list[Utterance]
) -> None:
    with (model / "conf/model.conf").open("a") as config:
        config.write("--max-active=100\n")  # fewer than Kaldi's --min-active
    with pytest.raises(ModelError, match="cannot decode with it"):
        decode_shard(corpus[:1], tmp_path, VoskEngine(str(model)))


def test_a_model_that_ends_at_every_sound_ends_the_stage_and_not_the_corpus(
    model: Path, tmp_path: Path, corpus: list[Utterance]
) -> None:
    # An arc of the graph's start leads to a state that is not there.
    graph = bytearray((model / "graph/HCLG.fst").read_bytes())
    arcs = graph.find(b"standard") + 8 + 4 + 4 + 8 + 8 + 8 + 8  # version ... number of arcs
    for arc in range(16):
        at = arcs + 12 + arc * 16 + 12
        graph[at : at + 4] = (2**31 - 100).to_bytes(4, "little")
    (model / "graph/HCLG.fst").write_bytes(bytes(graph))
    many = [replace(corpus[0], id=str(k)) for k in range(50)]
    with pytest.raises(ModelError, match=r"ended on each of the first 5 utterances .*SIGSEGV"):
        decode_shard(many, tmp_path, VoskEngine(str(model)))


def test_words_that_are_missing_are_not_decoded_as_nothing(
    model: Path, tmp_path: Path, corpus: list[Utterance]
) -> None:
    words = (model / "graph/words.txt").read_text().splitlines(keepends=True)
    (model / "graph/words.txt").write_text("".join(words[: len(words) // 4]))
    with pytest.raises(ModelError, match=r"words\.txt lacks words"):
        decode_shard(corpus[:3], tmp_path, VoskEngine(str(model)))


@pytest.mark.slow
def test_a_damaged_file_of_the_model_is_never_the_end_of_the_worker(
    model: Path, tmp_path: Path, corpus: list[Utterance]
) -> None:
    """Each file cut or changed at random: a named error, a reject, or words; nothing else."""
    rng = random.Random(0)
    files = sorted(path for path in model.rglob("*") if path.is_file() and path.name != "README.md")
    for path in files:
        content = path.read_bytes()
        for damage in ("cut", "changed"):
            at = rng.randrange(min(len(content), 4000))
            rest = b"" if damage == "cut" else bytes(b ^ 0x5A for b in content[at : at + 100])
            after = b"" if damage == "cut" else content[at + 100 :]
            path.write_bytes(content[:at] + rest + after)
            process = VoskProcess(model)
            try:
                VoskEngine(str(model))
                ((_, found),) = process.decode(corpus[:1], tmp_path)
                assert isinstance(found, Decoded | MediaError), (path, damage, at)
            except ModelError as error:
                assert str(model) in str(error)
            finally:
                process.close()
        path.write_bytes(content)


def test_the_process_ends_with_its_worker_however_that_ends(
    tmp_path: Path, corpus: list[Utterance]
) -> None:
    code = (
        "import json, sys, time; from pathlib import Path\n"
        "from pipelines.manifest import Utterance\n"
        "from pipelines.decoding.vosk_process import VoskProcess\n"
        "process = VoskProcess(Path(sys.argv[1]))\n"
        "list(process.decode([Utterance('0', 's', '0.wav', None)], Path(sys.argv[2])))\n"
        "print(json.dumps(process.pids), flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(DEMO_FOLDER), str(tmp_path)], stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        (pid,) = json.loads(worker.stdout.readline())
        worker.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
