"""The evaluation protocol on tiny runs that were really trained, on made-up features."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import StaleError, TrainError, UsageError
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from model.config import EMOTIONS, ModelConfig, TrainConfig
from model.metrics import choose_threshold, weighted_accuracy, weighted_f1
from model.predict import Predictions
from pipelines import score_runs
from pipelines.emotion_scores import choose_thresholds, score, spread
from pipelines.evaluate import evaluate
from pipelines.finetune import finetune

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


def write_features(folder: Path, *, made_by: str = "", seed: int = 0) -> None:
    """60 segments whose words tell the emotions; fear is in none of them."""
    rng = np.random.default_rng(seed)
    labels = rng.random((len(FOLDS), 7)) < 0.4
    labels[:, 6] = False
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
    characters = np.frombuffer(b"hello", np.uint8)
    with _writer(folder, "targets", TARGET_FIELDS, made_by, TARGET_COLUMNS) as writer:
        for i, fold in enumerate(FOLDS):
            columns = {"speaker": "v", "fold": fold, "labels": labels[i]}
            writer.add(f"v/{i}", {"characters": characters}, columns)


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
    assert set(record["test"]) == {"A", "A+V", "A+T", "A+V+T"}
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
    assert [step[0] for step in steps] == list(range(7))
    assert {step[1] for step in steps} == {6}


def test_an_absent_emotion_is_undefined_with_its_reason(trained):
    record = evaluate(trained[0], trained[1], device="cpu", n_bootstrap=50)
    fear = record["test"]["A+V+T"]["per_emotion"]["fear"]
    assert fear["wa"] is None
    assert fear["wa_ci"] is None
    assert fear["roc_auc"] is None
    assert "none of the 20 segments" in fear["undefined"]
    assert "none of the 16 segments" in fear["note"]
    assert "fear" in record["test"]["A+V+T"]["average"]["undefined"]


def test_late_fusion_is_scored_with_all_modalities_and_one_run_has_no_spread(trained):
    work, _, run = trained
    record = evaluate(work, run, device="cpu", n_bootstrap=20)
    assert list(record["test"]) == ["A+V+T"]
    assert record["over_runs"]["wa_std"] is None
    assert record["over_runs"]["undefined"]


def test_kept_decisions_give_the_reported_scores(trained):
    work, run, _ = trained
    record = evaluate(work, run, device="cpu", n_bootstrap=50)
    kept = np.load(run / "predictions.npz", allow_pickle=False)
    happy = record["test"]["A+V+T"]["per_emotion"]["happy"]
    assert weighted_accuracy(kept["labels"][:, 0], kept["wa"][:, 0]) == happy["wa"]
    assert weighted_f1(kept["labels"][:, 0], kept["f1"][:, 0]) == happy["f1"]


@pytest.mark.parametrize("condition", ["A", "A+V", "A+T"])
def test_ablation_takes_the_weight_and_nothing_else(trained, monkeypatch, condition):
    from model import predict as prediction
    from model.build import load_model

    seen = []
    monkeypatch.setattr(prediction, "predict", lambda *_, **options: seen.append(options))
    model = load_model(trained[1] / "seed-00", "cpu")
    score_runs._predict(model, trained[0] / "features", "test", condition, "cpu")
    score_runs._predict(model, trained[0] / "features", "test", "A+V+T", "cpu")
    third = pytest.approx(1 / 3)
    expected = [third if letter in condition else 0 for letter in "AVT"]
    assert list(seen[0]["modality_weights"]) == expected
    assert seen[1]["modality_weights"] is None


def test_a_second_evaluation_is_read_not_made(trained, run, monkeypatch):
    first = evaluate(trained[0], run, device="cpu", n_bootstrap=20)

    def refuse(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(score_runs, "score_runs", refuse)
    assert evaluate(trained[0], run, device="cpu", n_bootstrap=20) == first
    with pytest.raises(AssertionError):
        evaluate(trained[0], run, device="cpu", n_bootstrap=21)


def test_shuffled_test_labels_change_no_threshold_and_not_the_chosen_run(trained, monkeypatch):
    from model import predict as prediction

    work, run, _ = trained
    honest = evaluate(work, run, device="cpu", n_bootstrap=20)
    predict = prediction.predict

    def shuffled(model, features, fold, **options):
        found = predict(model, features, fold, **options)
        if fold != "test":
            return found
        order = np.random.default_rng(3).permutation(len(found.ids))
        return Predictions(found.ids, found.scores, found.labels[order])

    monkeypatch.setattr(prediction, "predict", shuffled)
    record = evaluate(work, run, device="cpu", n_bootstrap=20, redo=True)
    assert record["best_seed"] == honest["best_seed"]
    assert record["dev"] == honest["dev"]
    for condition, figures in record["test"].items():
        for emotion, values in figures["per_emotion"].items():
            same = honest["test"][condition]["per_emotion"][emotion]
            assert values["threshold_wa"] == same["threshold_wa"]
            assert values["threshold_f1"] == same["threshold_f1"]
    assert record["test"] != honest["test"]


def test_thresholds_are_those_of_dev_per_emotion_and_metric():
    rng = np.random.default_rng(0)
    dev = Predictions(
        [str(i) for i in range(40)], rng.random((40, 6)).astype("f4"), rng.random((40, 6)) < 0.3
    )
    chosen = choose_thresholds(dev)
    for k in range(6):
        for name, metric in (("wa", weighted_accuracy), ("f1", weighted_f1)):
            expected = choose_threshold(dev.scores[:, k], dev.labels[:, k], metric)
            assert chosen.of[name][k] == expected
    figures = score(dev, chosen, np.ones((5, 40), np.float32))
    # Resamples that draw everything once leave no room: the interval is the value itself.
    assert figures["average"]["wa_ci"] == pytest.approx([figures["average"]["wa"]] * 2)


def test_best_run_is_the_one_best_on_dev_and_the_lower_seed_of_equals():
    def one(seed, dev, test):
        both = {"wa": test, "f1": test}
        return score_runs.Initialisation(seed, {"wa": dev, "f1": dev}, both)

    runs = [one(0, 0.6, 0.9), one(1, 0.7, 0.1), one(2, 0.7, 0.8)]
    assert max(runs, key=lambda run: run.rank).seed == 1


def test_spread():
    assert spread([0.5, 0.7, None]) == pytest.approx((0.6, np.std([0.5, 0.7], ddof=1)))
    assert spread([0.5]) == (0.5, None)
    assert spread([None]) == (None, None)


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
