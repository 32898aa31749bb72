"""The contract of an engine, run over all of them; ``kaldi`` where KALDI_ROOT names one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import TrimodalError
from pipelines.decode import DecodeSettings, engine_of
from pipelines.decoding.engine import Decoded
from pipelines.decoding.kaldi_steps import PROGRAMS
from pipelines.manifest import Utterance

ROOT = Path(__file__).resolve().parents[3]
RATE_HZ = 16000
GOOD = ("-rf/00001", "a b/$(touch x)/00002", "id1/ü'\"/00003", "id1/silent/00004")
BAD = ("id1/short/00005", "id1/broken/00006", "id1/none/00007", "id1/outside/00008")
ENGINES = ["vosk", "import", *(pytest.param(f"kaldi {name}", id=name) for name in PROGRAMS)]
Found = list[tuple[Utterance, Decoded | TrimodalError | OSError]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, speech: Callable, write_wav: Callable) -> Path:
    """Sounds of awkward names; some cannot be decoded."""
    root = tmp_path_factory.mktemp("corpus") / "its root"
    for index, name in enumerate(GOOD[:3]):
        write_wav(root / f"{name}.wav", speech("en", index))
    write_wav(root / f"{GOOD[3]}.wav", np.zeros(RATE_HZ))
    write_wav(root / f"{BAD[0]}.wav", speech("en", 0)[:800])
    write_wav(root / "../outside.wav", speech("en", 0))
    (root / BAD[1]).parent.mkdir(parents=True)
    (root / f"{BAD[1]}.wav").write_bytes(b"no sound")
    return root


@pytest.fixture(scope="module")
def utterances() -> list[Utterance]:
    """All of them, good and bad by turns."""
    audio = {name: f"{name}.wav" for name in GOOD + BAD} | {BAD[3]: "../outside.wav"}
    ids = [name for pair in zip(GOOD, BAD, strict=True) for name in pair]
    return [Utterance(i, "id1", None if i == BAD[2] else audio[i], None) for i in ids]


@pytest.fixture(scope="module", params=ENGINES)
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DecodeSettings:
    """Of each engine."""
    name, _, program = request.param.partition(" ")
    if name == "vosk":
        return DecodeSettings("demo")
    if name == "kaldi":
        root = request.getfixturevalue("kaldi_root")
        return DecodeSettings("demo", "kaldi", kaldi_root=str(root), kaldi_program=program)
    scores = {"log_likelihood_per_frame": -1.5}
    words = [["hello", 0.1, 0.5, 0.9], ["there", 0.5, 0.9, 1.0]]
    rows = [{"id": i, "words": words, "n_frames": 33, "scores": scores} for i in GOOD[:3]]
    rows.append({**rows[0], "id": GOOD[3], "words": []})
    path = tmp_path_factory.mktemp("decoded") / "heard.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DecodeSettings(engine="import", decoded=str(path))


@pytest.fixture(scope="module")
def found(settings: DecodeSettings, utterances: list[Utterance], corpus: Path) -> Found:
    return list(engine_of(settings).decode(utterances, corpus))


def test_each_utterance_comes_once_in_the_order_given(
    found: Found, utterances: list[Utterance]
) -> None:
    assert [utterance for utterance, _ in found] == utterances


def test_what_cannot_be_decoded_is_told_and_costs_no_other(found: Found) -> None:
    for utterance, heard in found:
        assert isinstance(heard, Decoded) == (utterance.id in GOOD), (utterance.id, heard)
        assert isinstance(heard, Decoded) or str(heard).strip()


def test_the_neighbours_of_an_utterance_do_not_change_it(
    found: Found, settings: DecodeSettings, corpus: Path
) -> None:
    expected = {utterance.id: heard for utterance, heard in found}
    good = [utterance for utterance, _ in found if utterance.id in GOOD]
    for utterance, heard in engine_of(settings).decode(good[::-1], corpus):
        assert heard == expected[utterance.id]


def test_words_lie_in_order_inside_the_sound(found: Found) -> None:
    for utterance, heard in found:
        if isinstance(heard, Decoded):
            assert bool(heard.words) == (utterance.id != GOOD[3])
            times = [time_s for _, *span, _ in heard.words for time_s in span]
            assert times == sorted(times) and all(0 <= t <= 20 for t in times)
            assert all(0 < posterior <= 1 for *_, posterior in heard.words)
            assert heard.text.split() == [word for word, *_ in heard.words]


def test_scores_are_finite_and_named(found: Found) -> None:
    for _, heard in found:
        if isinstance(heard, Decoded):
            assert heard.n_frames > 0
            assert "log_likelihood_per_frame" in heard.scores
            assert all(np.isfinite(score) for score in heard.scores.values())


def test_the_result_is_the_same_twice(
    found: Found, settings: DecodeSettings, utterances: list[Utterance], corpus: Path
) -> None:
    again = engine_of(settings).decode(utterances, corpus)
    heard = [(u, h) for u, h in found if isinstance(h, Decoded)]
    assert [(u, h) for u, h in again if isinstance(h, Decoded)] == heard


def test_nothing_to_decode_is_nothing_heard(settings: DecodeSettings, corpus: Path) -> None:
    assert list(engine_of(settings).decode([], corpus)) == []


def test_its_configuration_is_the_same_in_another_process(settings: DecodeSettings) -> None:
    code = (
        "import json, sys; from pipelines.decode import DecodeSettings, engine_of;"
        "print(json.dumps(engine_of(DecodeSettings(**json.loads(sys.argv[1]))).config()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asdict(settings))],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    config = engine_of(settings).config()
    assert json.loads(done.stdout.splitlines()[-1]) == config
    assert {"engine", "likelihood"} <= set(config)


def test_it_says_what_to_know_in_short_lines(
    settings: DecodeSettings, utterances: list[Utterance]
) -> None:
    notes = engine_of(settings).notes([utterance.id for utterance in utterances])
    assert notes and all("\n" not in note and note for note in notes)
