"""The evaluation protocol on tiny runs that were really trained, on made-up features."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import StaleError, TrainError, UsageError
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from model.build import load_model
from model.config import EMOTIONS, ModelConfig, TrainConfig
from model.metrics import choose_threshold, weighted_accuracy, weighted_f1
from model.predict import predict
from model.sentiment_metrics import sentiment_scores
from pipelines import score_runs
from pipelines.emotion_scores import METRICS, NAMES
from pipelines.evaluate import evaluate
from pipelines.finetune import finetune
from pipelines.initialisation import Initialisation

FOLDS = ("train",) * 24 + ("dev",) * 16 + ("test",) * 20
MODEL = ModelConfig(
    d_model=8,
    n_heads=2,
    n_audio_layers=1,
    n_crossmodal_layers=1,
    d_ff=8,
    gru_size=4,
    late_fusion_hidden=4,
    dropout=0.0,
)
TRAIN = TrainConfig(
    max_epochs=3, warmup_steps=10, frames_per_batch=200, lr_scale=0.05, precision="float32"
)


def write_features(
    folder: Path, *, made_by: str = "", seed: int = 0, test_labels: str = "honest"
) -> None:
    """60 segments whose words tell the labels; fear is in none of them.

    ``test_labels`` of the fold test may be "shuffled" or "inverted" as well.
    """
    rng = np.random.default_rng(seed)
    labels = (rng.random((len(FOLDS), 7)) < 0.4).astype(np.float32)
    labels[:, 6] = 0
    labels[:, 0] = rng.integers(-9, 10, len(FOLDS)) / 3
    rows = {"audio": (8, 4), "video": (3, 6), "text": (4, 7)}
    for modality, (n_rows, width) in rows.items():
        fields = {"features": ((width,), "float16"), **_times(modality)}
        with _writer(folder, modality, fields, made_by) as writer:
            for i in range(len(FOLDS)):
                features = rng.normal(size=(n_rows, width))
                if modality == "text":
                    features += 2 * labels[i]
                times = {name: np.zeros((n_rows, *shape)) for name, (shape, _) in fields.items()}
                writer.add(f"v/{i}", {**times, "features": features})
    told = _told(labels, test_labels)
    characters = np.frombuffer(b"hello", np.uint8)
    with _writer(folder, "targets", TARGET_FIELDS, made_by, TARGET_COLUMNS) as writer:
        for i, fold in enumerate(FOLDS):
            columns = {"speaker": "v", "fold": fold, "labels": told[i]}
            writer.add(f"v/{i}", {"characters": characters}, columns)


def _told(labels, test_labels):
    told, is_test = labels.copy(), np.array(FOLDS) == "test"
    if test_labels == "shuffled":
        told[is_test] = np.random.default_rng(3).permutation(labels[is_test])
    elif test_labels == "inverted":
        told[is_test, 1:6] = 1 - labels[is_test, 1:6]
        told[is_test, 0] = -labels[is_test, 0]
    return told


def _times(modality):
    shape = {"audio": None, "video": (), "text": (2,)}[modality]
    return {} if shape is None else {"times_s": (shape, "float32")}


def _writer(folder, modality, fields, made_by, columns=None):
    return ShardWriter(
        folder / f"shard-00000.{modality}.h5",
        modality=modality,
        fields=fields,
        columns=columns,
        config={},
        fingerprint=made_by + modality,
        tools={},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(workspace, cross-modal run of two seeds, late-fusion run of one seed)."""
    root = tmp_path_factory.mktemp("evaluate")
    work = root / "work"
    (work / "features").mkdir(parents=True)
    write_features(work / "features")
    for kind, seeds in (("crossmodal", (0, 1)), ("late-fusion", (0,))):
        finetune(work, root / kind, kind=kind, seeds=seeds, model=MODEL, train=TRAIN, device="cpu")
    return work, root / "crossmodal", root / "late-fusion"


@pytest.fixture(scope="module")
def sentiment_run(trained):
    """Two seeds of a model of sentiment on the workspace of ``trained``."""
    work = trained[0]
    run = work.parent / "sentiment"
    finetune(work, run, task="sentiment", seeds=(0, 1), model=MODEL, train=TRAIN, device="cpu")
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the cross-modal run, not yet evaluated."""
    return Path(shutil.copytree(trained[1], tmp_path / "run"))


def test_evaluation_has_every_figure_of_the_tables(trained):
    work, run, _ = trained
    steps = []
    record = evaluate(
        work, run, device="cpu", n_bootstrap=50, progress=lambda *step: steps.append(step)
    )
    assert record == json.loads((run / "evaluation.json").read_text())
    assert set(record["test"]) == {"A", "V", "T", "A+V", "A+T", "V+T", "A+V+T"}
    assert record["best_seed"] in record["seeds"] == [0, 1]
    for figures in record["test"].values():
        assert set(figures["per_emotion"]) == set(EMOTIONS)
        happy = figures["per_emotion"]["happy"]
        assert 0 <= happy["wa_ci"][0] <= happy["wa"] <= happy["wa_ci"][1] <= 1
        assert happy["n"] == 20
        assert 0 < happy["n_positive"] < 20
        assert 0 <= figures["average"]["f1"] <= 1
    assert record["over_runs"]["n"] == 2
    assert record["over_runs"]["wa_std"] is not None
    assert [step[0] for step in steps] == list(range(4))
    assert {step[1] for step in steps} == {3}


def test_an_absent_emotion_is_undefined_with_its_reason(trained):
    record = evaluate(trained[0], trained[1], device="cpu", n_bootstrap=50)
    fear = record["test"]["A+V+T"]["per_emotion"]["fear"]
    assert fear["wa"] is None
    assert fear["wa_ci"] is None
    assert fear["roc_auc"] is None
    assert "none of the 20 segments" in fear["undefined"]
    assert "none of the 16 segments" in fear["note"]
    assert "fear" in record["test"]["A+V+T"]["average"]["undefined"]


def test_late_fusion_has_the_same_protocol_and_one_run_has_no_spread(trained):
    work, _, run = trained
    record = evaluate(work, run, device="cpu", n_bootstrap=20)
    assert set(record["test"]) == {"A", "V", "T", "A+V", "A+T", "V+T", "A+V+T"}
    assert record["runs"][0]["modality_weights"] is None
    assert record["over_runs"]["wa_std"] is None
    assert record["over_runs"]["undefined"]


def test_kept_decisions_give_the_reported_scores(trained):
    work, run, _ = trained
    record = evaluate(work, run, device="cpu", n_bootstrap=50)
    kept = np.load(run / "predictions.npz", allow_pickle=False)
    happy = record["test"]["A+V+T"]["per_emotion"]["happy"]
    assert weighted_accuracy(kept["labels"][:, 0], kept["wa"][:, 0]) == happy["wa"]
    assert weighted_f1(kept["labels"][:, 0], kept["f1"][:, 0]) == happy["f1"]
    assert len(kept["dev_ids"]) == FOLDS.count("dev")
    chosen = choose_threshold(kept["dev_scores"][:, 0], kept["dev_labels"][:, 0], weighted_accuracy)
    assert chosen == happy["threshold_wa"]


def test_a_second_evaluation_is_read_not_made(trained, run, monkeypatch):
    first = evaluate(trained[0], run, device="cpu", n_bootstrap=20)

    def refuse(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(score_runs, "score_runs", refuse)
    assert evaluate(trained[0], run, device="cpu", n_bootstrap=20) == first
    with pytest.raises(AssertionError):
        evaluate(trained[0], run, device="cpu", n_bootstrap=21)


@pytest.mark.parametrize("task", ["emotion", "sentiment"])
@pytest.mark.parametrize("change", ["shuffled", "inverted"])
def test_other_test_labels_change_no_threshold_and_not_the_chosen_run(
    trained, sentiment_run, trimodal, tmp_path, task, change
):
    """The leak test, through the command itself: only the labels in the shards are others."""
    source = {"emotion": trained[1], "sentiment": sentiment_run}[task]
    records = []
    for name in ("honest", change):
        work, run = tmp_path / name, tmp_path / f"run-{name}"
        write_features(work / "features", test_labels=name)
        shutil.copytree(source, run)
        (run / "evaluation.json").unlink(missing_ok=True)
        described = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**described, "work": str(work)}))
        result = trimodal("evaluate", work, run, "--device", "cpu")
        assert result.exit_code == 0, result.output
        records.append(json.loads((run / "evaluation.json").read_text()))
    honest, other = records
    assert other["best_seed"] == honest["best_seed"]
    assert other["dev"] == honest["dev"]
    assert [run["dev"] for run in other["runs"]] == [run["dev"] for run in honest["runs"]]
    for condition, figures in other["test"].items():
        for emotion, values in figures.get("per_emotion", {}).items():
            same = honest["test"][condition]["per_emotion"][emotion]
            for metric in ("wa", "f1", "f1_positive", "accuracy"):
                assert values[f"threshold_{metric}"] == same[f"threshold_{metric}"]
    assert other["test"] != honest["test"]
    if task == "emotion" and change == "inverted":
        auc = [record["test"]["A+V+T"]["average"]["roc_auc"] for record in records]
        assert auc[1] == pytest.approx(1 - auc[0])


def test_each_threshold_is_dev_s_best_for_its_emotion_metric_and_ablation(trained):
    work, run, _ = trained
    record = evaluate(work, run, device="cpu", n_bootstrap=50)
    best = load_model(run / f"seed-{record['best_seed']:02d}")
    for condition, weights in (("A+V+T", None), ("A+T", (1 / 3, 0.0, 1 / 3))):
        dev = predict(best, work / "features", "dev", modality_weights=weights)
        for k, emotion in enumerate(EMOTIONS):
            for name, metric in METRICS.items():
                expected = choose_threshold(dev.scores[:, k], dev.labels[:, k], metric)
                found = record["test"][condition]["per_emotion"][emotion][f"threshold_{name}"]
                assert found == expected


def test_over_runs_is_mean_and_deviation_of_the_runs(trained):
    record = evaluate(trained[0], trained[1], device="cpu", n_bootstrap=50)
    over = record["over_runs"]
    for name in NAMES:
        values = [run["test"][name] for run in record["runs"]]
        assert over[f"{name}_mean"] == pytest.approx(np.mean(values))
        assert over[f"{name}_std"] == pytest.approx(np.std(values, ddof=1))
        values = [run["ablation"]["A"][name] for run in record["runs"]]
        assert over["ablation"]["A"][f"{name}_mean"] == pytest.approx(np.mean(values))
        values = [run["per_emotion"]["sad"][name] for run in record["runs"]]
        assert over["per_emotion"]["sad"][f"{name}_std"] == pytest.approx(np.std(values, ddof=1))
    best = next(run for run in record["runs"] if run["seed"] == record["best_seed"])
    full = record["test"]["A+V+T"]["average"]
    assert best["test"] == {name: full[name] for name in NAMES}
    assert best["modality_weights"] == pytest.approx([1 / 3] * 3)
    assert set(record["definitions"]) == set(NAMES)


def test_sentiment_is_scored_by_the_same_command_and_protocol(trained, sentiment_run):
    record = evaluate(trained[0], sentiment_run, device="cpu", n_bootstrap=50)
    assert record["task"] == "sentiment"
    kept = np.load(sentiment_run / "predictions.npz", allow_pickle=False)
    expected = sentiment_scores(kept["scores"][:, 0], kept["labels"][:, 0])
    average = record["test"]["A+V+T"]["average"]
    assert {name: average[name] for name in expected} == expected
    low, high = average["mae_ci"]
    assert low < average["mae"] < high
    on_dev = sentiment_scores(kept["dev_scores"][:, 0], kept["dev_labels"][:, 0])
    assert record["dev"] == on_dev
    assert on_dev["mae"] == min(run["dev"]["mae"] for run in record["runs"])
    assert set(record["test"]) == {"A", "V", "T", "A+V", "A+T", "V+T", "A+V+T"}
    assert record["over_runs"]["mae_std"] > 0


def test_the_command_tells_the_best_run_and_the_spread(trained, sentiment_run, trimodal):
    said = trimodal("evaluate", trained[0], trained[1], "--device", "cpu").output
    assert re.search(r"best seed [01]; on test: WA \d+\.\d \(runs .* \u00b1 .*\), F1 ", said), said
    said = trimodal("evaluate", trained[0], sentiment_run, "--device", "cpu").output
    assert re.search(r"on test: MAE \d\.\d{3} .*, Corr -?\d\.\d{3} .*, Acc-2 ", said), said


def test_best_run_is_the_one_best_on_dev_and_the_lower_seed_of_equals():
    def one(seed, dev, test):
        on_test = {"A+V+T": {"average": {"wa": test, "f1": test, "mae": test}}}
        return Initialisation(seed, {"wa": dev, "f1": dev, "mae": dev}, on_test, None)

    runs = [one(0, 0.6, 0.9), one(1, 0.7, 0.1), one(2, 0.7, 0.8)]
    assert score_runs.best_on_dev(runs, "emotion").seed == 1
    assert score_runs.best_on_dev(runs, "sentiment").seed == 0
    assert score_runs.best_on_dev(runs[1:], "sentiment").seed == 1


def test_errors_say_what_to_do(trained, run, tmp_path):
    work = trained[0]
    with pytest.raises(UsageError, match="no such folder"):
        evaluate(tmp_path / "nowhere", run)
    with pytest.raises(UsageError, match="finetune"):
        evaluate(work, tmp_path)
    with pytest.raises(UsageError, match="n_bootstrap"):
        evaluate(work, run, n_bootstrap=0)
    for done in run.glob("*/done.json"):
        done.unlink()
    with pytest.raises(TrainError, match="no finished initialisation"):
        evaluate(work, run)


def test_a_run_with_an_unfinished_seed_is_evaluated_without_it(trained, run):
    (run / "seed-01" / "done.json").unlink()
    record = evaluate(trained[0], run, device="cpu", n_bootstrap=20)
    assert record["seeds"] == [0]
    assert record["unfinished_seeds"] == [1]


def test_changed_features_are_refused(trained, run, tmp_path):
    work = Path(shutil.copytree(trained[0], tmp_path / "work"))
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**described, "work": str(work)}))
    write_features(work / "features", made_by="other settings")
    with pytest.raises(StaleError, match="changed since"):
        evaluate(work, run, device="cpu")
