"""Two evaluated runs against each other, by the command and by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import UsageError
from model.bootstrap import resamples
from model.metrics import weighted_accuracy
from pipelines.compare import N_RESAMPLES, SEED, compare
from pipelines.evaluate import evaluate
from pipelines.finetune import finetune


@pytest.fixture(scope="module")
def runs(features, tiny_model, tiny_train, tmp_path_factory) -> Path:
    """Evaluated runs "trained" and "late-fusion" of emotions, and "sentiment"."""
    folder = tmp_path_factory.mktemp("runs")
    common = {"seeds": [0], "model": tiny_model, "train": tiny_train, "device": "cpu"}
    options = {"trained": {}, "late-fusion": {"kind": "late-fusion"}}
    options["sentiment"] = {"task": "sentiment"}
    for name, of_run in options.items():
        finetune(features, folder / name, **common, **of_run)
        evaluate(features, folder / name, device="cpu", n_bootstrap=5)
    return folder


def test_difference_interval_and_p_are_those_of_paired_draws(runs: Path) -> None:
    found = compare(runs / "trained", runs / "late-fusion").differences
    sad = next(d for d in found if (d.emotion, d.name) == ("sad", "wa"))
    stored = [np.load(runs / name / "predictions.npz") for name in ("trained", "late-fusion")]
    assert stored[0]["ids"].tolist() == stored[1]["ids"].tolist()
    labels, decided = stored[0]["labels"][:, 1], [one["wa"][:, 1] for one in stored]
    ours, theirs = (weighted_accuracy(labels, mine) for mine in decided)
    assert (sad.ours, sad.theirs) == pytest.approx((ours, theirs))
    assert sad.value == pytest.approx(ours - theirs)
    differences = []
    for times in resamples(len(labels), N_RESAMPLES, SEED).astype(int):
        rows = np.repeat(np.arange(len(labels)), times)
        values = [weighted_accuracy(labels[rows], mine[rows]) for mine in decided]
        if None not in values:
            differences.append(values[0] - values[1])
    differences = np.array(differences)
    assert sad.interval == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    fewest = min((differences <= 0).sum(), (differences >= 0).sum())
    assert sad.p_value == pytest.approx(min(1, 2 * (fewest + 1) / (len(differences) + 1)))


def test_a_run_does_not_differ_from_itself_and_order_gives_the_sign(runs: Path) -> None:
    for d in compare(runs / "trained", runs / "trained").differences:
        assert d.value == 0 and d.p_value == 1.0 and d.interval == (0, 0)
    there, back = (
        {(d.emotion, d.name): d.value for d in compare(*pair).differences}
        for pair in ((runs / "trained", runs / "late-fusion"),
                     (runs / "late-fusion", runs / "trained"))
    )  # fmt: skip
    assert there.keys() == back.keys()
    assert all(there[key] == pytest.approx(-back[key]) for key in there)
    assert any(there.values())


def test_the_average_is_that_of_the_evaluation_in_every_condition(runs: Path) -> None:
    record = json.loads((runs / "trained" / "evaluation.json").read_text())
    for condition, figures in record["test"].items():
        found = compare(runs / "trained", runs / "late-fusion", condition).differences
        for d in found:
            if d.emotion == "average":
                assert d.ours == pytest.approx(figures["average"][d.name])


def test_segments_are_paired_by_their_ids(runs: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(runs / "trained", tmp_path / "moved"))
    stored = dict(np.load(moved / "predictions.npz"))
    order = np.random.default_rng(0).permutation(len(stored["ids"]))
    for name in ("ids", "labels", "scores"):
        stored[name] = stored[name][order]
    np.savez(moved / "predictions.npz", **stored)
    assert all(d.value == 0 for d in compare(runs / "trained", moved).differences)
    stored["ids"][0] = "another"
    np.savez(moved / "predictions.npz", **stored)
    with pytest.raises(UsageError, match="other test segments"):
        compare(runs / "trained", moved)
    (moved / "predictions.npz").write_bytes(b"PK damaged")
    with pytest.raises(UsageError, match="--redo"):
        compare(runs / "trained", moved)


def test_other_labels_of_the_same_segments_are_refused(runs: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(runs / "trained", tmp_path / "moved"))
    stored = dict(np.load(moved / "predictions.npz"))
    stored["labels"] = ~stored["labels"]
    np.savez(moved / "predictions.npz", **stored)
    with pytest.raises(UsageError, match="other labels"):
        compare(runs / "trained", moved)


def test_the_command_prints_every_score_with_its_definition(runs: Path, trimodal) -> None:
    said = trimodal("compare", runs / "trained", runs / "late-fusion", "--modalities", "A+V")
    assert said.exit_code == 0, said.output
    assert "WA: weighted accuracy" in said.output and "Hanley and McNeil" in said.output
    assert said.output.count("average") >= 6
    said = trimodal("compare", runs / "sentiment", runs / "sentiment").output
    assert "MAE: mean |y - t|" in said and "Tsai et al. 2019" in said


def test_what_cannot_be_compared_is_said(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="emotion, .*sentiment of sentiment"):
        compare(runs / "trained", runs / "sentiment")
    with pytest.raises(UsageError, match="trimodal evaluate"):
        compare(runs / "trained", tmp_path)
    with pytest.raises(UsageError, match="known are A"):
        compare(runs / "trained", runs / "late-fusion", "V+A")
