"""What is kept of the decoded tables is what they say, as long as they are the same."""

import os
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import UsageError
from pipelines.manifest import Table, Utterance, read_table, write_table
from pipelines.selection.decoded_scores import DecodedScores, read_scores
from pipelines.workspace import Workspace, create


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ten utterances in three shards; one score is not known of all."""
    utterances = [Utterance(f"s/{k}", "s", f"{k}.wav", None) for k in range(10)]
    create(tmp_path / "work", "x", tmp_path, utterances, [], shard_size=4, seed=1, settings={})
    found = Workspace(tmp_path / "work")
    for number in range(3):
        write(found, number, 0.5)
    return found


def write(workspace: Workspace, number: int, score: float) -> None:
    rows = [
        {"id": u.id, "text": "a", "words": [["a", 0, 1, 1]] * k, "n_frames": 3,
         "scores": {"first": score + k, **({"second": -1.0} if k else {})}}
        for k, u in enumerate(workspace.shard(number))
    ]  # fmt: skip
    write_table(workspace.decode_path(number), Table("decode", {"x": 1}, f"{score}", rows, []))


def same(a: DecodedScores, b: DecodedScores) -> bool:
    return (
        (a.ids, a.config, a.fingerprints) == (b.ids, b.config, b.fingerprints)
        and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("shards", "n_words"))
        and list(a.scores) == list(b.scores)
        and all(np.array_equal(a.scores[n], b.scores[n], equal_nan=True) for n in a.scores)
    )


def test_read_again_it_is_the_same_and_no_table_is_opened(
    workspace: Workspace, tmp_path: Path
) -> None:
    read: list[int] = []
    first = read_scores(workspace, tmp_path / "kept.npz", read.append)
    assert read == [1, 1, 1]
    assert first.ids == [u.id for u in workspace.utterances]
    assert first.shards.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert first.scores["first"].tolist() == [0.5, 1.5, 2.5, 3.5] * 2 + [0.5, 1.5]
    assert np.isnan(first.scores["second"]).tolist() == [True, False, False, False] * 2 + [
        True,
        False,
    ]
    again = read_scores(workspace, tmp_path / "kept.npz", read.append)
    assert read == [1, 1, 1] and same(first, again)


def test_another_table_is_read_again(workspace: Workspace, tmp_path: Path) -> None:
    read_scores(workspace, tmp_path / "kept.npz")
    write(workspace, 1, 7.5)
    assert read_scores(workspace, tmp_path / "kept.npz").scores["first"][4] == 7.5
    path = workspace.decode_path(2)
    write_table(path, Table("decode", {"x": 2}, "f", read_table(path).rows))
    with pytest.raises(UsageError, match="different models"):
        read_scores(workspace, tmp_path / "kept.npz")
    path.unlink()
    with pytest.raises(UsageError, match="1 of 3 shards are not decoded"):
        read_scores(workspace, tmp_path / "kept.npz")


def test_damage_costs_no_more_than_reading_again(workspace: Workspace, tmp_path: Path) -> None:
    kept = tmp_path / "kept.npz"
    first = read_scores(workspace, kept)
    content = kept.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        kept.write_bytes(damaged[: rng.integers(len(content))] if rng.random() < 0.3 else damaged)
        os.utime(kept)
        assert same(read_scores(workspace, kept), first)


def test_a_score_that_is_not_known_says_what_is(workspace: Workspace, tmp_path: Path) -> None:
    found = read_scores(workspace, tmp_path / "kept.npz")
    with pytest.raises(UsageError, match="has a third; this decoding has first, second"):
        found.of("third")
