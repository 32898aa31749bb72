"""Transcripts decoded elsewhere: every form, ids of others, and lines that are malformed."""

import json
from pathlib import Path

import pytest

from featurize.errors import TextError, UsageError
from pipelines.decoding.engine import Decoded
from pipelines.decoding.import_engine import ImportEngine
from pipelines.manifest import Utterance

# As Kaldi 5.5 writes them (git f40076610), with other numbers and names.
LOG_LIKE = (
    "LOG (nnet3-latgen-faster-parallel[5.5.1068~1-59299]:DecodeUtteranceLatticeFaster()"
    ":decoder-wrappers.cc:375) Log-like per frame for utterance a-1 is 1.25 over 40 frames.\n"
)
VERBOSE = (
    "VLOG[2] (online2-wav-nnet3-latgen-faster[5.5]:GetDiagnosticsAndPrintOutput()"
    ":online2-wav-nnet3-latgen-faster.cc:58) Likelihood per frame for utterance a-1 is -0.5 over "
    "40 frames, = -0.1,0.4\n"
)
BEST_COST = (
    "LOG (lattice-best-path[5.5.1068~1-59299]:main():lattice-best-path.cc:99) For utterance a-1, "
    "best cost 100 + -220.5 = -120.5 over 40 frames.\n"
)
NOISE = (
    "# Started at Wed Nov 25 06:00:00 UTC 2026\n"
    "WARNING (nnet3-latgen-faster[5.5]:main():x.cc:1) Failed to decode utterance with id a-2\n"
    "LOG (x[5.5]:main():x.cc:1) Overall log-likelihood per frame is 3.5 over 40 frames.\n"
    "a-1 hello there \n"
)


def heard(path: Path, *ids: str) -> dict[str, object]:
    utterances = [Utterance(i, "s", None, None) for i in ids]
    return {u.id: found for u, found in ImportEngine(str(path)).decode(utterances, path.parent)}


def one(path: Path, utterance_id: str = "a-1") -> Decoded:
    found = heard(path, utterance_id)[utterance_id]
    assert isinstance(found, Decoded), found
    return found


def test_text_has_words_without_times(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-1 hello <unk> thère\na-2\n")
    for path in (tmp_path, tmp_path / "text"):
        found = one(path)
        assert found.text == "hello thère" and found.scores == {} and found.n_frames == 0
        assert all(number != number for _, *numbers in found.words for number in numbers)
        assert one(path, "a-2").words == []


@pytest.mark.parametrize(
    "line, score", [(LOG_LIKE, 1.25), (VERBOSE, -0.5), (BEST_COST, 120.5 / 40)]
)
def test_every_form_of_log_gives_a_score(tmp_path: Path, line: str, score: float) -> None:
    (tmp_path / "text").write_text("a-1 hello there\n")
    (tmp_path / "log").mkdir()
    (tmp_path / "log/decode.1.log").write_text(NOISE + line)
    found = one(tmp_path)
    assert found.scores == {"log_likelihood_per_frame": pytest.approx(score)}
    assert found.n_frames == 40
    assert "natural logarithm" in ImportEngine(str(tmp_path)).config()["likelihood"]


def test_logs_of_two_definitions_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-1 hello\na-2 there\n")
    (tmp_path / "1.log").write_text(LOG_LIKE + BEST_COST + BEST_COST.replace("a-1", "a-2"))
    assert one(tmp_path).scores["log_likelihood_per_frame"] == pytest.approx(120.5 / 40)


def test_two_decodings_in_the_logs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-1 hello\n")
    (tmp_path / "1.log").write_text(LOG_LIKE)
    (tmp_path / "2.log").write_text(LOG_LIKE.replace("1.25", "1.5"))
    with pytest.raises(TextError, match="1 utterances two different likelihoods"):
        one(tmp_path)


def test_a_ctm_has_times_and_confidences(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text(
        ";; from a decoder\na-1 1 0.50 0.25 there 0.75\na-1 1 0.1 0.3 hello\na-2 A 0 0.5 you 1.00\n"
    )
    hello, there = one(tmp_path).words
    assert hello[:3] == ("hello", 0.1, 0.4) and hello[3] != hello[3]
    assert there == ("there", 0.5, 0.75, 0.75)
    assert one(tmp_path, "a-2").text == "you"


def test_without_a_word_an_utterance_is_in_the_text_or_the_log_alone(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("a-2 1 0 0.5 you\n")
    assert isinstance(heard(tmp_path, "a-1")["a-1"], TextError)
    (tmp_path / "1.log").write_text(LOG_LIKE)
    assert one(tmp_path).words == [] and one(tmp_path).n_frames == 40
    (tmp_path / "text").write_text("a-2 you\n")  # now the text would name it
    assert isinstance(heard(tmp_path, "a-1")["a-1"], TextError)
    (tmp_path / "text").write_text("a-2 you\na-1\n")
    assert one(tmp_path).words == []
    assert one(tmp_path, "a-2").words[0][1:3] == (0.0, 0.5)  # with the CTM's times


JSON_FORMS = {
    "ours": {"words": [["hello", 0.1, 0.4, 0.9], ["there", 0.5, 0.75, 0.8]]},
    "vosk": {
        "text": "hello there",
        "result": [
            {"word": "hello", "start": 0.1, "end": 0.4, "conf": 0.9},
            {"word": "there", "start": 0.5, "end": 0.75, "conf": 0.8},
        ],
    },
    "whisper": {
        "text": " Hello, there.",
        "segments": [
            {"words": [{"word": " hello,", "start": 0.1, "end": 0.4, "probability": 0.9}]},
            {"words": [{"word": " there.", "start": 0.5, "end": 0.75, "probability": 0.8}]},
        ],
    },
    "whisperx": {
        "segments": [
            {
                "words": [
                    {"word": "hello,", "start": 0.1, "end": 0.4, "score": 0.9},
                    {"word": "there", "start": 0.5, "end": 0.75, "score": 0.8},
                ]
            }
        ],
    },
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_lines_of_several_tools(tmp_path: Path, form: str) -> None:
    path = tmp_path / "heard.jsonl"
    path.write_text(json.dumps({"id": "a-1", **JSON_FORMS[form]}) + "\n")
    assert one(path).words == [("hello", 0.1, 0.4, 0.9), ("there", 0.5, 0.75, 0.8)]


def test_json_lines_with_scores_or_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    rows = [{"id": "a-1", "text": "hello", "n_frames": 9, "scores": {"mine": -3}},
            {"id": "a-2", "text": "Hi there", "segments": [{"text": "Hi there"}]}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert one(path).scores == {"mine": -3.0} and one(path).n_frames == 9
    assert one(path, "a-2").text == "Hi there"


@pytest.mark.parametrize(
    "name, second, reason",
    [
        ("text", b"\n", "is empty"),
        ("text", b"a-3 \xff\xfe\n", "utf-8"),
        ("text", b"a-1 again\n", "already there in line 1"),
        ("a.ctm", b"a-3 1 0.1 hello\n", "4 fields"),
        ("a.ctm", b"a-3 1 0.1 -0.5 hello x\n", "-0.5"),
        ("a.ctm", b"a-3 1 soon 0.5 hello\n", "soon"),
        ("a.ctm", b"a-3 1 0.1 0.5 hello 7\n", "confidence 7"),
        ("a.ctm", b"a-3 1 0 1 x\na-3 2 0 1 y\n", "channels 1 and 2"),
        ("a.jsonl", b"{\n", "no JSON: .* column 1"),
        ("a.jsonl", b"[1]\n", "no JSON object"),
        ("a.jsonl", b'{"id": "a-3"}\n', "neither"),
        ("a.jsonl", b'{"id": "a-3", "text": "x", "scores": {"s": NaN}}\n', "finite"),
        ("a.jsonl", b'{"id": "a-3", "words": [["x", 0.1]]}\n', "no word"),
        ("a.jsonl", b'{"id": "a-3", "text": "x", "n_frames": -1}\n', "n_frames"),
    ],
)
def test_a_malformed_line_is_told_with_file_and_number_before_decoding(
    tmp_path: Path, name: str, second: bytes, reason: str
) -> None:
    first = {
        "text": b"a-1 hello\n",
        "a.ctm": b"a-1 1 0 1 x\n",
        "a.jsonl": b'{"id":"a-1","text":""}\n',
    }
    (tmp_path / name).write_bytes(first[name] + second)
    with pytest.raises(TextError, match=f"{name}, line 2: .*{reason}"):
        ImportEngine(str(tmp_path)).config()


def test_the_line_of_a_ctm_is_the_faulty_one(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("a-1 1 0 1 x\na-1 1 1 1 y\na-1 1 2 z\na-1 1 3 1 z\n")
    with pytest.raises(TextError, match=r"a\.ctm, line 3: has 4 fields"):
        ImportEngine(str(tmp_path)).config()


def test_ids_are_translated_and_counted(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("s-a-1 hello\ns-a-2 you\nx y\n")
    (tmp_path / "utt2id").write_text("s-a-1 s/a b/1\ns-a-2 s/a/2\n")
    assert one(tmp_path, "s/a b/1").text == "hello"
    assert isinstance(heard(tmp_path, "s/a/3")["s/a/3"], TextError)
    line, _ = ImportEngine(str(tmp_path)).notes(["s/a b/1", "s/a/3"])
    assert "has 1 of 2 utterances; 2 others are not in the manifest" in line
    with pytest.raises(UsageError, match="none of its 3 ids.*utt2id"):
        ImportEngine(str(tmp_path)).notes(["s/other"])


def test_changed_files_are_read_again_and_make_another_configuration(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a-1 hello\n")
    before = ImportEngine(str(path)).config()
    path.write_text("a-1 goodbye\n")
    assert one(path).text == "goodbye"
    assert ImportEngine(str(path)).config() != before


@pytest.mark.parametrize("names", [[], ["readme.md"], ["1.log"], ["a.jsonl", "text"]])
def test_a_folder_without_one_kind_of_transcript_is_refused(
    tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="--decoded"):
        ImportEngine(str(tmp_path))


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing there"):
        ImportEngine(str(tmp_path / "no"))
