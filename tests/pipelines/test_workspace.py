"""A workspace that no `prepare` made."""

from pathlib import Path

import pytest

from featurize.errors import ShardError
from pipelines.manifest import Table, write_table
from pipelines.workspace import Workspace

CONFIG = {"corpus": "mosei", "root": "/data", "shard_size": 4, "seed": 0}
WRONG = [
    ("shard_size", 0), ("shard_size", -3), ("shard_size", "4"), ("shard_size", True),
    ("shard_size", None), ("root", 5), ("root", None), ("corpus", ["mosei"]), ("seed", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_settings_of_a_manifest_that_cannot_be_used(
    tmp_path: Path, name: str, value: object
) -> None:
    """Whoever writes one can write its digests too; it is refused before anything goes by it."""
    write_table(tmp_path / "manifest.jsonl", Table("prepare", CONFIG, "f"))
    assert Workspace(tmp_path).n_shards == 0
    write_table(tmp_path / "manifest.jsonl", Table("prepare", {**CONFIG, name: value}, "f"))
    workspace = Workspace(tmp_path)
    with pytest.raises(ShardError, match=f"its {name} cannot be used"):
        _ = workspace.n_shards


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    write_table(tmp_path / "manifest.jsonl", Table("prepare", {}, "f"))
    with pytest.raises(ShardError, match="its corpus, root, shard_size, seed cannot be used"):
        _ = Workspace(tmp_path).utterances
