"""``trimodal select``: what contradicts is told in a line, the rest is chosen and told."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pipelines.decoding.scores import PER_FRAME, POSTERIOR
from pipelines.manifest import Table, Utterance, read_table, write_table
from pipelines.workspace import Workspace, create

Trimodal = Callable[..., Result]
IDS = [f"id{k // 10}/abc/{k:05d}" for k in range(80)]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Eighty decoded utterances; the first forty, in English, have the better posteriors."""
    work = tmp_path / "work"
    utterances = [Utterance(i, "s", f"{i}.wav", None) for i in IDS]
    create(work, "x", tmp_path, utterances, [], shard_size=16, seed=0, settings={})
    rng = np.random.default_rng(0)
    posterior = dict(
        zip(IDS, (rng.normal(0, 1, 80) + 3 * (np.arange(80) < 40)).tolist(), strict=True)
    )
    likelihood = dict(zip(IDS, rng.normal(0, 1, 80).tolist(), strict=True))
    workspace = Workspace(work)
    for number in range(workspace.n_shards):
        rows = [
            {"id": u.id, "text": "a", "words": [["a", 0, 1, 1]], "n_frames": 9,
             "scores": {PER_FRAME: likelihood[u.id], POSTERIOR: posterior[u.id]}}
            for u in workspace.shard(number)
        ]  # fmt: skip
        config = {"likelihood": "log p a frame; per speech frame: of speech"}
        table = Table("decode", config, f"f{number}", rows)
        write_table(workspace.decode_path(number), table)
    (tmp_path / "known.csv").write_text(
        "".join(f"{i},{'en' if k < 40 else 'de'}\n" for k, i in enumerate(IDS))
    )
    (tmp_path / "published.txt").write_text("".join(f"dev/{i}.mp4\n" for i in IDS[:40]))
    return work


def failure(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("error: "))
    return line


def summary(work: Path) -> dict:
    return json.loads((work / "select/select.json").read_text())


def test_another_score_is_another_choice(work: Path, trimodal: Trimodal) -> None:
    known = work.parent / "known.csv"
    first = trimodal("select", work, "--keep-fraction", 0.5, "--languages", known)
    assert first.exit_code == 0, first.output
    assert "log likelihood per frame (AUC 0." in first.output and "log p a frame\n" in first.output
    by_likelihood = summary(work)["precision"]
    words = ("--score", POSTERIOR, "--keep-fraction", 0.5, "--languages", known)
    assert trimodal("select", work, *words).exit_code == 0
    found = summary(work)
    assert found["precision"] > 0.75 > by_likelihood
    assert found["scores"][POSTERIOR]["auc"] > 0.85 > found["scores"][PER_FRAME]["auc"]
    kept = [row["score"] for row in read_table(work / "select/selected.jsonl").rows]
    assert len(kept) == 40 and min(kept) == found["threshold"]


def test_calibrated_on_a_few_it_weighs_what_tells(work: Path, trimodal: Trimodal) -> None:
    few = work.parent / "few.csv"
    lines = (work.parent / "known.csv").read_text().splitlines()
    few.write_text("\n".join(lines[::2]))
    result = trimodal("select", work, "--calibrate", few)
    assert result.exit_code == 0, result.output
    assert "calibrated on 20 English and 20 other utterances, five-fold: AUC 0." in result.output
    weights = dict(
        zip(*(summary(work)["calibration"][k] for k in ("names", "weights")), strict=True)
    )
    assert weights[POSTERIOR] > 1 > abs(weights[PER_FRAME])
    assert trimodal("select", work, "--calibrate", few, "--precision", 1).exit_code == 0
    assert summary(work)["calibration"]["precision"] == 1.0
    few.write_text("\n".join(lines[:12]))
    assert "12 of the labelled" in failure(trimodal("select", work, "--calibrate", few))


def test_a_published_list_beside_ours(work: Path, trimodal: Trimodal) -> None:
    published = work.parent / "published.txt"
    words = ("--score", POSTERIOR, "--keep-fraction", 1, "--compare", published)
    result = trimodal("select", work, *words)
    assert (
        "40 kept by both, 40 only here, 0 only there, 0 by neither; Jaccard 0.500" in result.output
    )
    published.write_text("nobody\n")
    assert "names none of the decoded" in failure(trimodal("select", work, *words))


@pytest.mark.parametrize(
    "words, said",
    [
        (["--calibrate", "x", "--score", POSTERIOR], "leave out --score"),
        (["--calibrate", "x", "--threshold", "1"], "leave out --threshold"),
        (["--calibrate", "x", "--keep-fraction", "1"], "leave out --keep-fraction"),
        (["--precision", "0.9"], "needs a labelled list"),
        (["--score", "words_per_second"], "no utterance has a words_per_second; this decoding has"),
        (["--compare", "nothing.txt"], "not a readable list"),
    ],
)
def test_what_contradicts_or_is_not_there(
    work: Path, trimodal: Trimodal, words: list[str], said: str
) -> None:
    assert said in failure(trimodal("select", work, *words))
