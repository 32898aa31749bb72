"""Tables of wrong content under right digests, as a faulty or hostile program writes them."""

from pathlib import Path
from typing import Any

import pytest

from featurize.errors import CorpusError, ShardError
from pipelines.manifest import Reject, Table, Utterance, read_header, read_table, write_table
from pipelines.workspace import Workspace

PREPARED: dict[str, Any] = {"id": "a", "speaker": "s", "audio": "a.wav", "video": None}
WORDS = [["hello", 0.0, 0.5, None]]
DECODED: dict[str, Any] = {"id": "a", "words": WORDS, "scores": {"x": 1.5}}
CONFIG: dict[str, Any] = {"root": "r", "shard_size": 2, "corpus": "x"}


@pytest.mark.parametrize(
    ("stage", "good", "bad"),
    [
        ("prepare", PREPARED, {"id": 3}),
        ("prepare", PREPARED, {"audio": ["a"]}),
        ("prepare", PREPARED, {"start_s": "0"}),
        ("prepare", PREPARED, {"labels": [1, "a"]}),
        ("prepare", PREPARED, {"audio_bytes": 10**400}),
        ("decode", DECODED, {"words": None}),
        ("decode", DECODED, {"words": [["a", 0.0, 1.0]]}),
        ("decode", DECODED, {"words": [[["a"], 0.0, 1.0, 1.0]]}),
        ("decode", DECODED, {"scores": {"x": "1"}}),
        ("select", {"id": "a", "shard": 0}, {"shard": "0"}),
    ],
)
def test_a_row_that_no_stage_writes_is_named(
    tmp_path: Path, stage: str, good: dict, bad: dict
) -> None:
    path = tmp_path / "t.jsonl"
    config = {"prepare": CONFIG, "select": {"manifest": "f", "decoding": {}}}.get(stage, {})
    write_table(path, Table(stage, config, "f", [good]))
    assert read_table(path).rows == [good]
    write_table(path, Table(stage, config, "f", [good, good | bad]))
    with pytest.raises(ShardError, match=r"t\.jsonl: not a readable table \(row 2 has no proper"):
        read_table(path)


@pytest.mark.parametrize(
    "config",
    [
        {"shard_size": 0},
        {"shard_size": "2"},
        {"root": 1},
        {"shard_size": 10**400},
        {"corpus": None},
    ],
)
def test_a_setting_that_no_stage_writes_is_named(tmp_path: Path, config: dict) -> None:
    write_table(tmp_path / "t.jsonl", Table("prepare", CONFIG | config, "f"))
    for read in (read_table, read_header):
        with pytest.raises(ShardError, match="its setting"):
            read(tmp_path / "t.jsonl")


def test_rejects_are_texts(tmp_path: Path) -> None:
    write_table(tmp_path / "t.jsonl", Table("x", {}, "f", [], [Reject("a", "x", 3)]))  # type: ignore[arg-type]
    with pytest.raises(ShardError, match="its list of rejects is none"):
        read_header(tmp_path / "t.jsonl")


def test_an_utterance_made_of_other_types_is_refused() -> None:
    assert Utterance.from_row(PREPARED | {"labels": [0, 1.5]}).labels == (0, 1.5)
    for wrong in ({"id": ["a"]}, {"end_s": "1"}, {"text": 3}, {"labels": "1234567"}):
        with pytest.raises(CorpusError, match="no proper"):
            Utterance.from_row(PREPARED | wrong)


def test_a_table_of_another_stage_is_no_manifest(tmp_path: Path) -> None:
    """Its settings were checked as those of that stage."""
    write_table(tmp_path / "manifest.jsonl", Table("decode", {"root": {}}, "f"))
    with pytest.raises(ShardError, match="not a manifest"):
        _ = Workspace(tmp_path).corpus_root
