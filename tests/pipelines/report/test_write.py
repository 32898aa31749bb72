"""The report from run folders written by hand, so that every odd case can be had."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from featurize.errors import TrainError, UsageError
from pipelines.report import tables as rt
from pipelines.report.figures import curves, scores
from pipelines.report.frames import jpeg
from pipelines.report.further_tables import SUBSET_CONDITIONS
from pipelines.report.runs import BASELINE, EMBEDDINGS, LATE_FUSION, PRETRAINING, Run, read_run
from pipelines.report.text import Source, caveats, is_toy
from pipelines.report.write import write_report

EVIL = '<script>alert("x")</script><img src=x onerror=y>'


def figures(wa=0.6, f1=0.7, **more):
    return {
        "wa": wa, "f1": f1, "wa_ci": [0.5, 0.65], "f1_ci": None, "f1_positive": 0.3,
        "average_precision": 0.4, "roc_auc": None, "threshold_wa": 0.5, "threshold_f1": 0.25,
        "n": 20, "n_positive": 5, **more,
    }  # fmt: skip


def evaluation(**average):
    conditions = SUBSET_CONDITIONS
    emotions = {emotion: figures() for emotion in rt.EMOTIONS}
    emotions["fear"] = figures(None, None, wa_ci=None, undefined="in test, nobody is afraid")
    mean = {"wa": 0.612, "f1": 0.734, "wa_ci": [0.5, 0.7], "f1_ci": [0.6, 0.8], **average}
    both = {"wa": 0.6, "f1": 0.7}
    return {
        "task": "emotion", "emotions": list(rt.EMOTIONS), "seeds": [0, 1], "best_seed": 1,
        "dev": both, "runs": [{"seed": s, "dev": both, "test": both} for s in (0, 1)],
        "test": {c: {"per_emotion": emotions, "average": mean} for c in conditions},
        "over_runs": {"n": 2, "wa_mean": 0.6, "wa_std": 0.01, "f1_mean": 0.7, "f1_std": 0.02},
    }  # fmt: skip


def write_run(folder, kind="crossmodal", init=None, name=None, scored=True, log=True):
    path = folder / (name or kind)
    (path / "seed-00").mkdir(parents=True)
    described = {"kind": kind, "init": init, "seeds": [0, 1], "work": str(folder / "work")}
    (path / "run.json").write_text(json.dumps(described))
    config = {"kind": kind, "model": {"d_model": 8}, "features": str(folder / "work" / "features")}
    (path / "seed-00" / "config.json").write_text(json.dumps(config))
    lines = [{"epoch": e, "train_loss": 1 / e, "dev_loss": 2 / e, "dev_wa": None} for e in (1, 2)]
    if log:
        (path / "seed-00" / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    if scored:
        (path / "evaluation.json").write_text(json.dumps(evaluation()))
    return path


def write_predictions(path, labels, scores=None, **decided):
    """RUN/predictions.npz as ``evaluate`` leaves it, dev being the same as test."""
    ids = np.arange(len(labels)).astype(str)
    scores = np.full(labels.shape, 0.5, np.float32) if scores is None else scores
    for name in ("wa", "f1"):
        decided.setdefault(name, scores >= 0.5)
    dev = {"dev_ids": ids, "dev_labels": labels, "dev_scores": scores}
    np.savez(path, ids=ids, labels=labels, scores=scores, **decided, **dev)


def write_pretraining(folder):
    path = folder / "pretrained"
    path.mkdir()
    config = {"kind": "multitask", "features": str(folder / "vox" / "features"), "speakers": [EVIL]}
    (path / "config.json").write_text(json.dumps(config))
    line = {"epoch": 1, "train_loss": 3.0, "dev_loss": 2.0, "dev_cer": 0.9}
    (path / "log.jsonl").write_text(json.dumps(line) + "\n")
    return path


def status_of(work):
    return {
        "work": str(work), "corpus": EVIL, "is_demo": True, "n_utterances": 12, "hours": 0.5,
        "stages": [{"stage": "prepare", "in": 12, "done": 11, "rejected": 1, "pending": 0}],
        "rejects": [{"stage": "prepare", "reason": f"no sound {EVIL}", "n": 1}],
    }  # fmt: skip


def differences_of(ours, theirs):
    assert (ours.name, theirs.name) == ("embeddings", "scratch")
    values = {"value": -0.031, "interval": (-0.05, 0.012), "p_value": 0.25}
    return [
        SimpleNamespace(emotion=emotion, name=name, **values)
        for name in ("wa", "f1", "roc_auc")
        for emotion in (*rt.EMOTIONS, "average")
    ]


@pytest.fixture
def all_runs(tmp_path):
    return [
        write_pretraining(tmp_path),
        write_run(tmp_path, "late-fusion"),
        write_run(tmp_path, name="scratch"),
        write_run(tmp_path, name="embeddings", init="pretrained"),
    ]


def screen():
    return Console(file=io.StringIO(), width=118)


class _Page(HTMLParser):
    """Tags, and the text of table rows."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self._in_cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_runs_are_told_apart(all_runs):
    roles = [read_run(path).role for path in all_runs]
    assert roles == [PRETRAINING, LATE_FUSION, BASELINE, EMBEDDINGS]


def test_page_holds_the_papers_rows_and_ours(all_runs, tmp_path):
    console = screen()
    page = write_report(tmp_path / "out", all_runs, status_of, differences_of, screen=console)
    assert page == tmp_path / "out" / "index.html"
    found = _Page(page.read_text())
    paper = next(row for row in found.rows if row and row[0].startswith("Graph-MFN"))
    assert paper[1:] == rt.PAPER_1["Graph-MFN [21]"].split()
    ours = next(row for row in found.rows if row and row[0] == "TFours: scratch")
    assert ours[1] == "60.050.0–65.0"
    assert ours[11:13] == ["-", "-"]
    assert ours[13] == "61.250.0–70.0"
    spread = next(row for row in found.rows if row and row[0] == "mean ± std of 2 runs")
    assert spread[-2:] == ["60.0± 1.0", "70.0± 2.0"]
    assert "nobody is afraid" in page.read_text()
    shown = console.file.getvalue()
    assert "Table 1" in shown and "Table 2" in shown and "Table 3" in shown
    assert "61.2 73.4" in shown
    assert max(map(len, shown.splitlines())) <= 118


def test_page_needs_no_other_file_and_no_network(all_runs, tmp_path):
    text = write_report(
        tmp_path / "out", all_runs, status_of, differences_of, screen=screen()
    ).read_text()
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"index.html", "tables.md", "tables.tex"}
    tags = _Page(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base"}
    for _, attributes in tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("xlink:href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(http" not in text and "@import" not in text


def test_text_from_outside_is_escaped(tmp_path):
    run = write_run(tmp_path, name="<b>run")
    record = evaluation()
    record["test"]["A+V+T"]["per_emotion"]["fear"]["undefined"] = EVIL
    record["test"]["A+V+T"]["per_emotion"]["fear"]["note"] = EVIL
    (run / "evaluation.json").write_text(json.dumps(record))
    config = json.loads((run / "seed-00" / "config.json").read_text())
    (run / "seed-00" / "config.json").write_text(json.dumps({**config, EVIL: {EVIL: [EVIL]}}))
    text = write_report(
        tmp_path / "out", [run], status_of, differences_of, screen=screen()
    ).read_text()
    found = {tag for tag, _ in _Page(text).tags}
    assert EVIL not in text
    assert "<b>run" not in text
    assert "script" not in found and "img" not in found
    assert "&lt;script&gt;" in text


def test_text_from_outside_is_escaped_in_markdown_and_latex_too(tmp_path):
    run = write_run(tmp_path, name="a|b_{}$%&#~^--<b>[x](y)`")
    record = evaluation()
    record["test"]["A+V+T"]["per_emotion"]["fear"]["undefined"] = "two\nlines |"
    (run / "evaluation.json").write_text(json.dumps(record))
    write_report(tmp_path / "out", [run], status_of, differences_of, screen=screen())
    lines = (tmp_path / "out" / "tables.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| TF *(a"))
    assert r"*(a\|b\_{}\$%\&#\~^--\<b\>\[x\](y)\`)*" in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 16  # 15 columns
    assert "two lines \\|" in "\n".join(lines)
    text = (tmp_path / "out" / "tables.tex").read_text()
    escaped = r"(a\textbar{}b\_\{\}\$\%\&\#\textasciitilde{}\textasciicircum{}-{}-\textless{}b"
    assert escaped in text


def test_differences_stand_below_table_2_in_the_order_of_the_emotions(all_runs, tmp_path):
    page = write_report(tmp_path / "out", all_runs, status_of, differences_of, screen=screen())
    rows = [row for row in _Page(page.read_text()).rows if row and "-5.0 to +1.2" in row]
    assert [row[0] for row in rows] == [*(e.capitalize() for e in rt.EMOTIONS), "Average"]
    assert rows[0][1:] == ["-3.1", "-5.0 to +1.2", "0.250"] * 2


def test_runs_that_cannot_be_compared_are_not(all_runs, tmp_path):
    def refuse(ours, theirs):
        raise UsageError("scored on other test segments")

    page = write_report(tmp_path / "out", all_runs, status_of, refuse, screen=screen())
    assert "less baseline" not in page.read_text()


def test_square_brackets_in_a_name_are_no_markup_on_the_screen(tmp_path):
    console = screen()
    run = write_run(tmp_path, name="[red]run")
    write_report(tmp_path / "out", [run], status_of, differences_of, screen=console)
    assert "([red]run)" in console.file.getvalue()


def test_what_is_missing_is_a_dash_not_a_crash(tmp_path):
    run = write_run(tmp_path, "late-fusion", log=False)
    console = screen()

    def gone(work):
        raise UsageError("no such workspace")

    text = write_report(tmp_path / "out", [run], gone, differences_of, screen=console).read_text()
    rows = _Page(text).rows
    baseline = [row for row in rows if row and row[0] == "Baselineours: no such run given"]
    assert len(baseline) == 2
    assert set(baseline[0][1:]) == {"-"}
    assert [len(row) for row in baseline] == [15, 9]


def test_runs_not_evaluated_yet_are_said_to_be_so(tmp_path):
    run = write_run(tmp_path, scored=False)
    text = write_report(
        tmp_path / "out", [run], status_of, differences_of, screen=screen()
    ).read_text()
    assert "has been evaluated yet" in text


def test_demo_statement_comes_before_the_tables_and_only_for_a_demo(all_runs, tmp_path):
    text = write_report(
        tmp_path / "out", all_runs, status_of, differences_of, screen=screen()
    ).read_text()
    assert text.index("synthesised speech and drawn faces") < text.index("Table 1.")
    real = lambda work: {**status_of(work), "is_demo": False}  # noqa: E731
    text = write_report(
        tmp_path / "out", all_runs, real, differences_of, screen=screen()
    ).read_text()
    assert "synthesised speech" not in text
    assert text.index("Table 3.") < text.index("What these figures mean")


def test_the_same_input_gives_the_same_page(all_runs, tmp_path):
    pages = [
        write_report(
            tmp_path / out, all_runs, status_of, differences_of, screen=screen()
        ).read_bytes()
        for out in ("a", "b")
    ]
    assert pages[0] == pages[1]


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="no runs given"):
        write_report(tmp_path / "out", [], status_of, differences_of)
    with pytest.raises(UsageError, match="not a finished run"):
        write_report(tmp_path / "out", [tmp_path], status_of, differences_of)
    run = write_run(tmp_path)
    (run / "evaluation.json").write_text("{")
    with pytest.raises(TrainError, match="not readable as JSON"):
        write_report(tmp_path / "out", [run], status_of, differences_of)


def test_papers_averages_are_those_of_its_rows():
    """A slip in copying would show: the printed average is the mean of the printed figures."""
    for rows in (rt.PAPER_1, rt.PAPER_2):
        for label, text in rows.items():
            values = np.array([float(figure) for figure in text.split()])
            assert len(values) == 14
            for column in (0, 1):
                mean = values[column:12:2].mean()
                assert abs(mean - values[12 + column]) < 0.1, (label, mean)


def test_curves_take_their_colours_from_the_page(all_runs):
    picture = curves(read_run(all_runs[0]))
    assert len(picture.panels) == 3
    for panel in picture.panels:
        assert panel.startswith("<svg")
        assert not re.search(r"#0102\d\d", panel)
        assert "var(--ink)" in panel


def test_curves_say_whose_character_error_rate_it_is(tmp_path):
    lines = [
        {"epoch": n, "train_loss": 3 / n, "dev_loss": 4 / n, "dev_cer": 1 / n,
         "dev_speaker_accuracy": 1 - 1 / n}
        for n in (1, 2, 3)
    ]  # fmt: skip
    for whose, config in (("dev", {}), ("unseen speakers", {"unseen_speakers": ["id00001"]})):
        run = Run(tmp_path, PRETRAINING, config, tmp_path, {0: lines})
        text = "".join(curves(run).panels)
        assert f"character error rate, {whose}" in text
        assert "speaker accuracy, dev" in text


def test_histograms_of_the_scores():
    edges = [0.0, 0.5, 1.0]
    one = {"bin_edges": edges, "kept": [0, 4], "dropped": [3, 0], "auc": 0.9}
    damaged = {"bin_edges": edges, "kept": [0], "dropped": [3, 0]}
    chosen = {"threshold": 0.5, "score": "a_score", "n_kept": 4, "n_dropped": 3}
    told = {"precision": 1.0, "recall": None, "definition": "log p a frame", "n_without_words": 2}
    columns = {"a_score": one, "other": {**one, "auc": None}, "damaged": damaged}
    picture = scores({**chosen, **told, "scores": columns})
    assert picture.caption == (
        "4 utterances kept, 3 not (2 of them without words); against the known languages: "
        "precision 100.0%. Selected by a score: log p a frame."
    )
    assert len(picture.panels) == 2
    assert "AUC 0.900" in picture.panels[0] and "0.500 on" not in picture.panels[1]
    assert scores({}) is None


def test_frames_are_small_images():
    frame = np.zeros((400, 300, 3), np.uint8)
    assert jpeg(frame).startswith("data:image/jpeg;base64,")


def test_random_vgg_weights_are_said_first_with_their_seed():
    random = Source(Path("w"), {"video": {"weights": "random:7"}})
    real = Source(Path("w"), {"video": {"weights": "IMAGENET1K_V1"}})
    assert is_toy([real, random], [])
    assert not is_toy([real], [])
    said = caveats([], [real, random], [])
    assert any("random (random:7)" in line for line in said)
    assert not any("random (" in line for line in caveats([], [real], []))


def test_a_score_named_as_a_formula_is_drawn_as_it_is():
    from pipelines.report.figures import scores

    found = {"bin_edges": [0, 1], "kept": [1], "dropped": [1]}
    picture = scores({"score": "$x_{$", "scores": {"$x_{$": {**found, "definition": EVIL}}})
    assert picture is not None and "script" not in {tag for tag, _ in _Page(picture.panels[0]).tags}


def test_ids_words_and_speakers_from_shards_are_escaped_in_the_page(tmp_path):
    from pipelines.report.drawing import Picture
    from pipelines.report.page import Findings, render
    from pipelines.report.text import Source
    from pipelines.report.worst import Mistake, WorstSegment

    mistake = Mistake("happy", True, 0.1, 0.5)
    found = Findings(
        maps=[Picture(EVIL, ("<svg></svg>",), key=(EVIL,), marks=("o",))],
        worst=(EVIL, [WorstSegment(EVIL, (mistake,), (EVIL,), words=EVIL)]),
        sources=[Source(tmp_path, {"text": {EVIL: EVIL}})],
        said=[EVIL],
    )
    text = render([], [], found)
    assert EVIL not in text and text.count("&lt;script&gt;") >= 7
    assert not {tag for tag, _ in _Page(text).tags} & {"script", "img"}
