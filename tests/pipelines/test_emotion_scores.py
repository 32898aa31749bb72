"""Figures of emotions against scikit-learn and the metrics one by one."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from model.bootstrap import interval, resamples
from model.config import EMOTIONS
from model.metrics import choose_threshold
from model.predict import Predictions
from pipelines import emotion_scores as es


def answers(seed: int, n: int = 80, absent: str | None = None) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 6)) < 0.35
    if absent:
        labels[:, EMOTIONS.index(absent)] = False
    scores = (0.3 * labels + 0.7 * rng.random((n, 6))).astype(np.float32)
    return Predictions([str(i) for i in range(n)], scores, labels)


def test_thresholds_are_those_of_dev_per_emotion_and_metric():
    dev = answers(0)
    chosen = es.choose_thresholds(dev)
    assert set(chosen.of) == {"wa", "f1", "f1_positive", "accuracy"}
    for k in range(6):
        for name, metric in es.METRICS.items():
            expected = choose_threshold(dev.scores[:, k], dev.labels[:, k], metric)
            assert chosen.of[name][k] == expected
    assert len({tuple(values) for values in chosen.of.values()}) > 1


def test_figures_are_scikit_learn_s_at_these_thresholds():
    thresholds, test = es.choose_thresholds(answers(0)), answers(1)
    found = es.figures(test, thresholds)
    for k, emotion in enumerate(EMOTIONS):
        truth, scores, own = test.labels[:, k], test.scores[:, k], found["per_emotion"][emotion]
        decided = {name: scores >= thresholds.of[name][k] for name in es.METRICS}
        assert own["wa"] == pytest.approx(balanced_accuracy_score(truth, decided["wa"]))
        weighted = f1_score(truth, decided["f1"], average="weighted")
        assert own["f1"] == pytest.approx(weighted)
        assert own["f1_positive"] == pytest.approx(f1_score(truth, decided["f1_positive"]))
        assert own["accuracy"] == pytest.approx((truth == decided["accuracy"]).mean())
        assert own["average_precision"] == pytest.approx(average_precision_score(truth, scores))
    for name in es.NAMES:
        values = [found["per_emotion"][emotion][name] for emotion in EMOTIONS]
        assert found["average"][name] == pytest.approx(np.mean(values))


def test_every_figure_has_the_bootstrap_s_interval():
    thresholds, test = es.choose_thresholds(answers(0)), answers(1)
    times = resamples(len(test.ids), 40, 5)
    found = es.score(test, thresholds, times)
    drawn = [np.repeat(np.arange(len(test.ids)), row.astype(int)) for row in times]
    each = [
        es.figures(Predictions(test.ids, test.scores[rows], test.labels[rows]), thresholds)
        for rows in drawn
    ]
    for name in es.NAMES:
        of_sad = np.array([one["per_emotion"]["sad"][name] for one in each])
        assert found["per_emotion"]["sad"][f"{name}_ci"] == pytest.approx(interval(of_sad))
        averages = np.array([one["average"][name] for one in each])
        assert found["average"][f"{name}_ci"] == pytest.approx(interval(averages))


def test_thresholds_are_found_again_in_an_evaluation():
    thresholds, test = es.choose_thresholds(answers(0)), answers(1)
    told = es.thresholds_of(es.score(test, thresholds, resamples(80, 3, 0)))
    for name in es.METRICS:
        assert (told.decide(test, name) == thresholds.decide(test, name)).all()


def test_averages_leave_out_an_emotion_that_no_segment_shows_and_say_so():
    thresholds, test = es.choose_thresholds(answers(0, absent="fear")), answers(1, absent="fear")
    found = es.score(test, thresholds, resamples(80, 20, 0))
    fear = found["per_emotion"]["fear"]
    assert all(fear[name] is None and fear[f"{name}_ci"] is None for name in es.NAMES)
    assert "none of the 80 segments" in fear["undefined"] and "0.5 taken" in fear["note"]
    assert found["average"]["undefined"].endswith("without, fear")
    for name in es.NAMES:
        others = [found["per_emotion"][e][name] for e in EMOTIONS if e != "fear"]
        assert found["average"][name] == pytest.approx(np.mean(others))


def test_rank_is_the_mean_of_wa_and_f1_alone():
    assert es.rank({"wa": 0.6, "f1": 0.8, "roc_auc": 0.1}) == pytest.approx(0.7)
    assert es.rank({"wa": None, "f1": None}) == -1.0


def test_spread():
    assert es.spread([0.5, 0.7, None]) == pytest.approx((0.6, np.std([0.5, 0.7], ddof=1)))
    assert es.spread([0.5]) == (0.5, None)
    assert es.spread([None]) == (None, None)
