"""What Kaldi is told and how its answers are read: all that needs no Kaldi."""

import math
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model import DEMO_FOLDER, check_model_dir
from pipelines.decoding.kaldi_jobs import Ran
from pipelines.decoding.kaldi_results import results
from pipelines.decoding.kaldi_steps import LOOKAHEAD, OFFLINE, ONLINE, KaldiModel
from pipelines.decoding.word_symbols import word_symbols


def model(program: str, **changes: object) -> KaldiModel:
    return replace(KaldiModel.of(check_model_dir(DEMO_FOLDER), program), **changes)


def told(of: KaldiModel, program: str) -> list[str]:
    return list(next(step.arguments for step in of.steps() if step.program == program))


def test_the_search_is_as_model_conf_says_without_endpoints() -> None:
    lines = set(model(ONLINE).conf_files()["search.conf"].split())
    conf = set((DEMO_FOLDER / "conf/model.conf").read_text().split())
    raw = {"--phone-determinize=false", "--word-determinize=false"}
    assert lines == {line for line in conf if not line.startswith("--endpoint")} | raw
    assert "ivector.conf" not in model(ONLINE).conf_files()


def test_the_default_is_the_program_that_decodes_as_libvosk_does() -> None:
    assert KaldiModel.of(check_model_dir(DEMO_FOLDER), None).program == ONLINE


def test_both_programs_read_the_same_sounds_model_and_graph() -> None:
    assert told(model(ONLINE), ONLINE)[-5:] == [
        "model/am/final.mdl", "model/graph/HCLG.fst", "ark:spk2utt", "scp:wav.scp",
        "ark:raw.ark",
    ]  # fmt: skip
    assert told(model(OFFLINE), "compute-mfcc-feats") == [
        "--config=model/conf/mfcc.conf", "scp:wav.scp", "ark:feats.ark",
    ]  # fmt: skip
    assert told(model(OFFLINE), OFFLINE)[-4:] == [
        "model/am/final.mdl", "model/graph/HCLG.fst", "ark,s,cs:feats.ark", "ark:raw.ark",
    ]  # fmt: skip


def test_ivectors_are_made_as_libvosk_makes_them() -> None:
    online, offline = (model(program, takes_ivectors=True) for program in (ONLINE, OFFLINE))
    conf = online.conf_files()["ivector.conf"].split()
    assert "--max-count=100" in conf and "--ivector-extractor=model/ivector/final.ie" in conf
    assert "--ivector-silence-weighting.silence-phones=1" in told(online, ONLINE)
    assert "--ivector-extraction-config=ivector.conf" in told(online, ONLINE)
    assert "--online-ivectors=ark,s,cs:ivectors.ark" in told(offline, OFFLINE)
    assert [step.program for step in offline.steps()][:3] == [
        "compute-mfcc-feats", "ivector-extract-online2", OFFLINE,
    ]  # fmt: skip


def test_scores_are_weighed_as_libvosk_weighs_them() -> None:
    for program in ("lattice-best-path", "lattice-1best", "lattice-to-ctm-conf"):
        assert {"--acoustic-scale=0.7", "--lm-scale=0.9"} <= set(told(model(ONLINE), program))
    prune = told(model(ONLINE), "lattice-determinize-phone-pruned")
    assert {"--acoustic-scale=0.7", "--beam=4.0"} <= set(prune)
    assert "--frame-shift=0.03" in told(model(ONLINE), "nbest-to-ctm")


def test_a_graph_in_two_halves_wants_its_own_program(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    graph = folder / "graph"
    shutil.copy(graph / "HCLG.fst", graph / "HCLr.fst")
    (graph / "HCLG.fst").rename(graph / "Gr.fst")
    (graph / "disambig_tid.int").write_text("1\n")
    info = check_model_dir(folder)
    with pytest.raises(ModelError, match=f"in two halves.*--kaldi-program {OFFLINE}"):
        KaldiModel.of(info, ONLINE)
    for program in (OFFLINE, None):
        assert told(KaldiModel.of(info, program), LOOKAHEAD)[-5:-2] == [
            "model/graph/HCLr.fst", "model/graph/Gr.fst", "model/graph/disambig_tid.int",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["conf/pitch.conf", "am/global_cmvn.stats"])
def test_what_kaldi_would_be_told_wrongly_is_refused(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    (folder / name).write_text("--x=1\n")
    with pytest.raises(ModelError, match="use --engine vosk"):
        KaldiModel.of(check_model_dir(folder), ONLINE)


COST = (
    "LOG (lattice-best-path[5.5]:main():x.cc:1) For utterance {}, best cost 20 + -8.5 = 11.5 over "
    "50 frames.\n"
)
# Arcs of 5, 0, 9, 6 and 29 frames, and a last frame on the final state.
PATH = (
    "u1 \n0\t1\t0\t5,10,2_1_1_1_1\n1\t2\t1\t2,0,\n2\t3\t0\t0,9,9_9_9_9_9_9_9_9_9\n"
    f"3\t4\t0\t50,500,{'_'.join('111111')}\n4\t5\t3\t0,28,{'_'.join('3' * 29)}\n5\t6\t0\n"
    "6\t0,2,4\n\n"
)


def test_results_join_costs_times_and_posteriors(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("<eps> 0\nhello 1\n<UNK> 2\nthere 3\nyou 4\n")
    (tmp_path / "words.ctm").write_text(
        "u1 1 0.09 0.21 1\nu1 1 0.3 0.12 2\nu1 1 0.6 0.9 3\n"  # the last one runs over the end
    )
    (tmp_path / "posteriors.ctm").write_text(
        "u1 1 0.11 0.2 1 0.9\nu1 1 0.3 0.12 2 0.5\nu1 1 0.6 0.9 3 1.00\nu1 1 1.0 0.0 4 0.3\n"
        "u2 1 0.1 0.2 4 0.8\n"
    )
    ran = [Ran("lattice-best-path", 0, COST.format("u1") + COST.format("u2") + COST.format("u3"))]
    durations_s = {"u1": 1.2, "u2": 1.0, "u3": 1.0, "u4": 1.0}
    (tmp_path / "path.txt").write_text(PATH)
    demo = model(ONLINE, words=tmp_path / "words.txt")  # frames of 0.03 s, acoustic scale 0.7
    found = results(tmp_path, ran, demo, durations_s)
    assert found["u1"].words == [("hello", 0.09, 0.3, 0.9), ("there", 0.6, 1.2, 1.0)]
    # Words lie in frames 3 to 13 and 20 to 49. Of the arc of frames 0 to 4 two count, of that of
    # frames 14 to 19 none, of the rest all, and the entry into a word.
    speech = 0.7 * (10 * 2 / 5 + 9) + 0.9 * (5 * 2 / 5 + 2) + 0.7 * 30
    assert found["u1"].scores == {
        "log_likelihood_per_frame": pytest.approx(-11.5 / 50),
        "log_likelihood_per_speech_frame": pytest.approx(-speech / 41),
    }
    assert set(found["u2"].scores) == {"log_likelihood_per_frame"}
    assert found["u2"].text == "you"  # not aligned: the other list's times
    assert found["u3"].words == [] and found["u3"].n_frames == 50
    assert "u4" not in found
    (tmp_path / "posteriors.ctm").unlink()
    again = results(tmp_path, ran, demo, durations_s)["u1"].words
    assert [math.isnan(posterior) for *_, posterior in again] == [True, True]


def test_a_word_that_the_table_lacks_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("<eps> 0\n")
    (tmp_path / "words.ctm").write_text("u1 1 0.1 0.2 7\n")
    ran = [Ran("lattice-best-path", 0, COST.format("u1"))]
    with pytest.raises(ModelError, match="has no word 7"):
        results(tmp_path, ran, model(ONLINE, words=tmp_path / "words.txt"), {"u1": 1.0})


def packed(text: str) -> bytes:
    return struct.pack("<i", len(text.encode())) + text.encode()


def table(words: dict[str, int]) -> bytes:
    """A symbol table as OpenFst's SymbolTable::Write lays it down."""
    rows = b"".join(packed(word) + struct.pack("<q", number) for word, number in words.items())
    return struct.pack("<i", 2125658996) + packed("name") + struct.pack("<qq", 9, len(words)) + rows


def test_words_are_read_from_a_graph_that_has_them(tmp_path: Path) -> None:
    path = tmp_path / "Gr.fst"
    for flags, tables in (
        (3, [{"in": 1}, {"<eps>": 0, "wörd": 5}]),
        (2, [{"<eps>": 0, "wörd": 5}]),
    ):
        header = struct.pack("<i", 2125659606) + packed("ngram") + packed("standard")
        header += struct.pack("<iiQqqq", 4, flags, 0, 0, 1, 1)
        path.write_bytes(header + b"".join(map(table, tables)) + b"arcs")
        word_symbols.cache_clear()
        assert word_symbols(path) == {"0": "<eps>", "5": "wörd"}
    path.write_bytes(header)
    word_symbols.cache_clear()
    with pytest.raises(ModelError, match="no readable table of words"):
        word_symbols(path)
