"""A model directory is refused, with the fault named, before it can abort the process."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model import (
    DEMO_FOLDER,
    AcousticModelInfo,
    check_model_dir,
    model_digest,
)
from pipelines.decoding.acoustic_model_files import fst_header, phones, read_config

CHAIN_NETWORK = b"\0B<TransitionModel> ...<Nnet3> \ninput-node name=ivector dim=100\n" + (
    b"input-node name=input dim=40\n<NumComponents> "
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped model that may be broken."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))


def without_option(path: Path, option: str) -> None:
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in lines if not line.startswith(option)))


def flat(model: Path) -> Path:
    """The same model in the old layout."""
    for name in ("am/final.mdl", "conf/mfcc.conf", "graph/HCLG.fst", "graph/words.txt"):
        (model / name).rename(model / Path(name).name)
    for folder in ("am", "conf", "graph"):
        shutil.rmtree(model / folder)
    return model


def test_the_shipped_model_is_described() -> None:
    info = check_model_dir(DEMO_FOLDER)
    assert (info.sample_rate_hz, info.dither, info.has_ivectors) == (16000, 0, False)
    assert (info.frame_length_s, info.frame_shift_s, info.snip_edges) == (0.025, 0.01, True)
    assert info.warnings == ()
    assert {"am/final.mdl", "graph/HCLG.fst", "graph/words.txt"} <= set(info.files)


@pytest.mark.parametrize(
    "name", ["am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph/words.txt"]
)
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ModelError, match=name):
        check_model_dir(model)


@pytest.mark.parametrize("name", ["am/final.mdl", "graph/HCLG.fst", "graph/words.txt"])
def test_an_empty_file_is_named(model: Path, name: str) -> None:
    (model / name).write_bytes(b"")
    with pytest.raises(ModelError, match=name):
        check_model_dir(model)


def test_missing_silence_phones_are_refused(model: Path) -> None:
    without_option(model / "conf/model.conf", "--endpoint.silence-phones")
    with pytest.raises(ModelError, match="silence-phones is missing"):
        check_model_dir(model)


def test_silence_phones_by_name_are_refused(model: Path) -> None:
    with (model / "conf/model.conf").open("a") as config:
        config.write("--endpoint.silence-phones=SIL:SPN\n")
    with pytest.raises(ModelError, match="SIL:SPN"):
        check_model_dir(model)


def test_a_missing_graph_is_refused(model: Path) -> None:
    (model / "graph/HCLG.fst").unlink()
    with pytest.raises(ModelError, match="no decoding graph"):
        check_model_dir(model)
    (model / "graph/HCLr.fst").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no graph/Gr\.fst, graph/disambig_tid\.int"):
        check_model_dir(model)


def test_a_file_that_is_no_graph_is_refused(model: Path) -> None:
    (model / "graph/HCLG.fst").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="not an OpenFst graph"):
        check_model_dir(model)


def test_features_of_another_dimension_are_refused(model: Path) -> None:
    with (model / "conf/mfcc.conf").open("a") as config:
        config.write("--num_ceps=13\n")
    with pytest.raises(ModelError, match=r"13 features a frame, the network takes 40"):
        check_model_dir(model)


def test_a_gmm_is_refused(model: Path) -> None:
    (model / "am/final.mdl").write_bytes(b"\0B<TransitionModel> <DIMENSION> <NUMPDFS> <DiagGMM>")
    with pytest.raises(ModelError, match="nnet3"):
        check_model_dir(model)


def test_a_network_with_ivectors_needs_their_extractor(model: Path) -> None:
    (model / "am/final.mdl").write_bytes(CHAIN_NETWORK)
    with pytest.raises(ModelError, match=r"no ivector/final\.ie"):
        check_model_dir(model)


def test_dither_is_a_warning(model: Path) -> None:
    without_option(model / "conf/mfcc.conf", "--dither")
    info = check_model_dir(model)
    assert info.dither == 1 and "--dither=0" in info.warnings[0]


def test_a_setting_that_is_no_number_is_refused(model: Path) -> None:
    with (model / "conf/model.conf").open("a") as config:
        config.write("--acoustic-scale=high\n")
    with pytest.raises(ModelError, match="acoustic-scale=high"):
        check_model_dir(model)


def test_the_flat_layout_has_the_settings_libvosk_gives_it(model: Path) -> None:
    info = check_model_dir(flat(model))
    assert (info.acoustic_scale, info.frame_subsampling_factor) == (1.0, 3)
    assert set(info.files) == {"final.mdl", "mfcc.conf", "HCLG.fst", "words.txt"}
    assert "approximate" in info.warnings[0]


def test_the_folder_around_a_model_hints_at_it(model: Path) -> None:
    with pytest.raises(ModelError, match=f"did you mean {model}"):
        check_model_dir(model.parent)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        check_model_dir(tmp_path / "none")


def test_the_digest_follows_content_and_not_place(model: Path, tmp_path: Path) -> None:
    there = model_digest(check_model_dir(DEMO_FOLDER))
    assert model_digest(check_model_dir(model)) == there
    (model / "README").write_text("not read by the decoder")
    assert model_digest(check_model_dir(model)) == there
    with (model / "conf/model.conf").open("a") as config:
        config.write("# a comment\n")
    assert model_digest(check_model_dir(model)) != there


def test_kaldi_configuration_files_are_read_as_kaldi_does(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("# all\n--Num_Ceps=13 # few\n\n  --use-energy  \n--num-ceps=40\n")
    assert read_config(path).options == {"num-ceps": "40", "use-energy": "true"}
    path.write_text("num-ceps 40\n")
    with pytest.raises(ModelError, match="--name=value"):
        read_config(path)


def test_graph_headers_tell_whether_words_are_inside(tmp_path: Path) -> None:
    def header(flags: int) -> bytes:
        text = b"".join(len(t).to_bytes(4, "little") + t for t in (b"ngram", b"standard"))
        start = (2125659606).to_bytes(4, "little") + text
        return start + (4).to_bytes(4, "little") + flags.to_bytes(4, "little") + bytes(32)

    path = tmp_path / "Gr.fst"
    for flags, has_words in ((0, False), (1, False), (2, True), (3, True)):
        path.write_bytes(header(flags))
        assert fst_header(path).kind == "ngram" and fst_header(path).has_words is has_words


@given(n_samples=st.integers(0, 40_000), subsampling=st.integers(1, 4), snip=st.booleans())
def test_frames_are_counted_as_kaldi_counts_them(
    n_samples: int, subsampling: int, snip: bool
) -> None:
    import kaldi_native_fbank as knf
    import numpy as np

    options = knf.FrameExtractionOptions()
    options.snip_edges = snip
    fbank_options = knf.FbankOptions()
    fbank_options.frame_opts = options
    extractor = knf.OnlineFbank(fbank_options)
    extractor.accept_waveform(16000, np.zeros(n_samples, np.float32).tolist())
    extractor.input_finished()
    info = replace(DEMO, snip_edges=snip, frame_subsampling_factor=subsampling)
    subsampled = range(0, extractor.num_frames_ready, subsampling)
    assert info.n_decoded_frames(n_samples) == len(subsampled)


DEMO: AcousticModelInfo = check_model_dir(DEMO_FOLDER)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("conf/model.conf", "--frames-per-chunk=0"),
        ("conf/model.conf", "--acoustic-scale=-1"),
        ("conf/model.conf", "--frame-subsampling-factor=0"),
        ("conf/model.conf", "--extra-left-context-initial=-5"),
        ("conf/mfcc.conf", "--sample-frequency=1"),
        ("conf/mfcc.conf", "--frame-length=0.01"),
        ("conf/mfcc.conf", "--frame-shift=0.01"),
        ("conf/mfcc.conf", "--preemphasis-coefficient=2"),
    ],
)
def test_a_setting_that_ends_libvosk_is_refused(model: Path, file: str, line: str) -> None:
    with (model / file).open("a") as config:
        config.write(f"{line}\n")
    died = subprocess.run(
        [sys.executable, "-c", BARE_VOSK, str(model)], capture_output=True, timeout=60
    )
    assert died.returncode < 0, died  # else the check can be loosened
    with pytest.raises(ModelError, match=line.partition("=")[0]):
        check_model_dir(model)


BARE_VOSK = """
import random, sys, vosk
vosk.SetLogLevel(-9)
recogniser = vosk.KaldiRecognizer(vosk.Model(sys.argv[1]), 16000)
recogniser.AcceptWaveform(random.Random(0).randbytes(32000))
recogniser.FinalResult()
"""


def test_word_boundaries_must_cover_the_phones(model: Path) -> None:
    path = model / "graph/phones/word_boundary.int"
    lines = path.read_text().splitlines(keepends=True)
    n = len(lines)
    assert phones(model / "am/final.mdl") == set(range(1, n + 1))
    path.write_text("".join(lines[: n // 2]))
    with pytest.raises(ModelError, match=f"no entry for {n - n // 2} phones"):
        check_model_dir(model)
    path.write_text("".join(lines) + "end48 internal\n")
    with pytest.raises(ModelError, match="end48"):
        check_model_dir(model)


def test_what_rescoring_needs_is_named(model: Path) -> None:
    (model / "rescore").mkdir()
    (model / "rescore/G.carpa").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no rescore/G\.fst"):
        check_model_dir(model)
