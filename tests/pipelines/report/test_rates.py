"""Pictures of curves: a panel an emotion, a line a system, and what cannot be drawn is said."""

import re
from pathlib import Path

import numpy as np

from model.config import EMOTIONS
from pipelines.report.predictions import Predicted, Scores
from pipelines.report.rates import N_POINTS, precision_recall, roc, thresholds
from pipelines.report.runs import BASELINE, EMBEDDINGS, Run
from pipelines.report.spread import spread


def system(name: str, role: str, n: int = 400, has_dev: bool = True) -> Predicted:
    rng = np.random.default_rng(len(name))
    labels = rng.random((n, 6)) < 0.3
    labels[:, 5] = False  # nobody is afraid
    scores = (0.3 * labels + 0.7 * rng.random((n, 6))).astype(np.float32)
    kept = Scores(np.arange(n).astype(str), labels, scores)
    run = Run(Path(name), role, {}, Path("w"), evaluation={"test": {}})
    decided = {"wa": scores > 0.5, "f1": scores > 0.5}
    return Predicted(run, kept, decided, kept if has_dev else None)


SYSTEMS = [system("$scratch$", BASELINE), system("embeddings", EMBEDDINGS)]


def points(panel: str, line: int) -> list[np.ndarray]:
    """The points of the paths drawn in one line's colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*?stroke: var\(--line-{line}\)', panel)
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", path), float) for path in paths]


def test_a_panel_an_emotion_and_a_line_a_system() -> None:
    for draw in (roc, precision_recall):
        picture = draw(SYSTEMS)
        assert picture is not None
        assert picture.key == ("$scratch$", "embeddings")
        assert len(picture.panels) == len(EMOTIONS)
        for panel in picture.panels[:5]:
            for line in (1, 2):
                [drawn] = points(panel, line)
                assert 10 < len(drawn) <= 2 * N_POINTS
        assert not points(picture.panels[5], 1)
        assert "one class only in test" in picture.panels[5]
    assert roc([]) is None


def test_roc_rises_from_corner_to_corner() -> None:
    picture = roc(SYSTEMS)
    assert picture is not None
    [drawn] = points(picture.panels[0], 1)
    assert (np.diff(drawn[:, 0]) >= 0).all()
    assert (np.diff(drawn[:, 1]) <= 0).all()  # SVG counts from the top
    across, up = np.ptp(drawn, axis=0)
    assert across > 80 and up > 80  # the whole square, 1.04 of it being the plot


def test_thresholds_mark_what_dev_chose() -> None:
    picture = thresholds(SYSTEMS[1])
    assert picture is not None
    assert picture.key == ("WA", "F1")
    assert "one class only in dev" in picture.panels[5]
    assert thresholds(system("old", BASELINE, has_dev=False)) is None


def spread_run(name: str, values: list[float]) -> Run:
    runs = [{"seed": k, "test": {"wa": v, "f1": None}} for k, v in enumerate(values)]
    over = {"n": len(values), "wa_mean": float(np.mean(values)), "f1_mean": None}
    evaluation = {"runs": runs, "best_seed": 1, "over_runs": over}
    return Run(Path(name), BASELINE, {}, Path("w"), evaluation=evaluation)


def test_spread_needs_two_seeds_and_takes_any_name() -> None:
    assert spread([spread_run("one", [0.5])]) is None
    picture = spread([spread_run("$a_very_long_name<b>$", [0.5, 0.6, 0.7])])
    assert picture is not None
    assert len(picture.panels) == 2
    assert "$a_very_long_name…" in picture.panels[0]
    assert picture.panels[0].count("<use") >= 4  # three seeds, one of them filled as well
