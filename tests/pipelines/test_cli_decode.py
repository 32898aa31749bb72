"""``trimodal decode`` with each engine: what contradicts is told in a line, the rest is decoded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from featurize.errors import UsageError
from pipelines.decode import DecodeSettings, decode_shard, engine_of
from pipelines.decoding.kaldi_steps import PROGRAMS
from pipelines.manifest import Utterance, read_table
from pipelines.workspace import Workspace, create

Trimodal = Callable[..., Result]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Ten utterances, whose sounds are not there."""
    utterances = [Utterance(f"s/{i}", "s", f"{i}.wav", None) for i in range(10)]
    (tmp_path / "corpus").mkdir()
    work = tmp_path / "work"
    create(work, "x", tmp_path / "corpus", utterances, [], shard_size=4, seed=0, settings={})
    return work


def failure(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("error: "))
    return line


@pytest.mark.parametrize(
    "words, said",
    [
        (["--decoded", "x", "--model", "demo"], "--decoded is for --engine import, not vosk"),
        (["--engine", "kaldi", "--decoded", "x"], "--decoded is for --engine import, not kaldi"),
        (["--engine", "import", "--model", "demo"], "--model is for --engine vosk or kaldi"),
        (["--engine", "import"], "give --decoded PATH"),
        (["--engine", "kaldi"], "give --model DIR"),
        (["--model", "demo", "--kaldi-root", "x"], "--kaldi-root is for --engine kaldi, not vosk"),
        (["--model", "demo", "--kaldi-cmd", "run.pl"], "--kaldi-cmd is for --engine kaldi"),
        (["--engine", "kaldi", "--model", "demo", "--kaldi-program", "x"], " or ".join(PROGRAMS)),
        (["--engine", "import", "--decoded", "nowhere"], "nothing there"),
    ],
)
def test_what_contradicts_or_is_missing_is_one_line(
    trimodal: Trimodal, work: Path, words: list[str], said: str
) -> None:
    assert said in failure(trimodal("decode", work, *words))


def test_transcripts_made_elsewhere_become_decoded_shards(
    trimodal: Trimodal, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("".join(f"s/{i} word{i}\n" for i in range(9)) + "s/x you\n")
    decode = ["decode", work, "--engine", "import", "--decoded", tmp_path / "text", "--jobs", "1"]
    result = trimodal(*decode, "--preset", "demo")  # whose model does not matter
    assert result.exit_code == 0, result.output
    assert "has 9 of 10 utterances; 1 others are not in the manifest" in result.output
    assert "no likelihoods" in result.output
    rows, rejects = {}, []
    for number in range(3):
        table = read_table(Workspace(work).decode_path(number))
        rows |= {row["id"]: row for row in table.rows}
        rejects += table.rejects
        assert table.config["engine"] == "import"
    assert rows["s/3"]["words"] == [["word3", None, None, None]]  # no time, and JSON has no NaN
    assert [(r.id, r.reason) for r in rejects] == [
        ("s/9", "no transcript in what was decoded elsewhere")
    ]
    assert "3 of them already there" in trimodal(*decode, "--preset", "demo").output
    (tmp_path / "text").write_text("".join(f"s/{i} other{i}\n" for i in range(9)))
    assert "--redo" in failure(trimodal(*decode, "--preset", "demo"))


def test_decoded_shards_can_be_imported_again(work: Path, tmp_path: Path) -> None:
    """A row of ours is a line of the JSON that is read, also when a time is not known."""
    scores = {"log_likelihood_per_frame": -1.0, "english_word_share": 0.5,
              "mean_word_posterior": 0.9}  # fmt: skip
    row = {"id": "s/1", "text": "a nicht", "n_frames": 7, "scores": scores,
           "words": [["a", 0.1, 0.2, 0.9], ["nicht", None, None, None]]}  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    settings = DecodeSettings(engine="import", decoded=str(tmp_path / "a.jsonl"))
    rows, rejects = decode_shard([Utterance("s/1", "s", None, None)], tmp_path, engine_of(settings))
    assert rows == [row] and rejects == []


def test_settings_of_a_file_are_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--kaldi-cmd is for --engine kaldi"):
        DecodeSettings("demo", kaldi_cmd="run.pl")
