"""Which utterances are kept, and what is told about them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurize.errors import UsageError
from pipelines.manifest import Reject, Table, Utterance, read_table, write_table
from pipelines.select import Wish, select
from pipelines.selection.histograms import histogram, histogram_figure
from pipelines.selection.known_languages import is_english, precision_recall, read_languages
from pipelines.selection.rules import choose, otsu_threshold
from pipelines.workspace import Workspace, create

SCORES = st.lists(
    st.one_of(
        st.floats(-50, 10, allow_nan=False), st.integers(-4, 4).map(float)  # ties
    ),
    min_size=1,
    max_size=60,
)  # fmt: skip


def as_rows(scores: list[float], n_words: int = 1) -> list[tuple[str, float, int]]:
    return [(f"u{index:03d}", score, n_words) for index, score in enumerate(scores)]


def between_variance(scores: np.ndarray, threshold: float) -> float:
    """Otsu's criterion by its definition."""
    above = scores >= threshold
    if above.all() or not above.any():
        return 0.0
    share = above.mean()
    return share * (1 - share) * (scores[above].mean() - scores[~above].mean()) ** 2


@given(SCORES)
def test_otsu_finds_the_best_cut_of_all(scores: list[float]) -> None:
    values = np.array(scores)
    best = max(between_variance(values, candidate) for candidate in values)
    found = between_variance(values, otsu_threshold(scores))
    assert found == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_otsu_agrees_with_the_histogram_form() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(-1.5, 0.2, 300), rng.normal(-0.5, 0.2, 900)])
    counts, edges = np.histogram(scores, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)
    mean = np.cumsum(counts * centres)
    total, total_mean = weight[-1], mean[-1]
    below, above = weight[:-1], total - weight[:-1]
    variance = below * above * (mean[:-1] / below - (total_mean - mean[:-1]) / above) ** 2
    reference = edges[1:-1][np.argmax(variance)]
    assert otsu_threshold(scores) == pytest.approx(reference, abs=2 * (edges[1] - edges[0]))


@given(SCORES)
def test_without_settings_both_sides_of_the_cut_are_filled(scores: list[float]) -> None:
    chosen = choose(as_rows(scores))
    if len(set(scores)) > 1:
        assert chosen.kept and chosen.dropped
        assert min(scores) < chosen.threshold <= max(scores)
    else:
        assert not chosen.dropped


@given(scores=SCORES, share=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_a_share_is_kept_exactly_and_ties_go_by_id(
    scores: list[float], share: float, seed: int
) -> None:
    rows = as_rows(scores)
    n_kept = int(np.floor(share * len(rows) + 0.5))
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    if n_kept == 0:
        with pytest.raises(UsageError, match="nothing would be kept"):
            choose(shuffled, keep_fraction=share)
        return
    chosen = choose(shuffled, keep_fraction=share)
    expected = sorted(rows, key=lambda row: (-row[1], row[0]))[:n_kept]
    assert set(chosen.kept) == {row[0] for row in expected}
    assert chosen.threshold == expected[-1][1]
    assert chosen.kept == [row[0] for row in shuffled if row[0] in set(chosen.kept)]


@given(scores=SCORES, threshold=st.floats(-60, 20))
def test_a_threshold_keeps_what_reaches_it(scores: list[float], threshold: float) -> None:
    rows = as_rows(scores)
    reaching = [row[0] for row in rows if row[1] >= threshold]
    if not reaching:
        with pytest.raises(UsageError, match="their scores go from"):
            choose(rows, threshold=threshold)
        return
    chosen = choose(rows, threshold=threshold)
    assert chosen.kept == reaching and chosen.threshold == threshold
    assert sorted(chosen.kept + chosen.dropped) == [row[0] for row in rows]


def test_utterances_without_a_word_are_dropped_and_do_not_count() -> None:
    rows = [*as_rows([1.0, 2.0, 3.0, 4.0]), ("silence", 9.0, 0), ("noise", -99.0, 0)]
    assert choose(rows, threshold=2.5).kept == ["u002", "u003"]
    assert choose(rows, keep_fraction=0.5).kept == ["u002", "u003"]
    assert choose(rows).threshold == 2.5
    assert choose(rows, keep_fraction=1).dropped == ["silence", "noise"]


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 0.0, "keep_fraction": 0.5},
        {"threshold": float("nan")},
        {"keep_fraction": 0.0},
        {"keep_fraction": 1.01},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        choose(as_rows([1.0, 2.0]), **settings)


def test_nothing_with_a_word_is_refused() -> None:
    with pytest.raises(UsageError, match="no utterance has a word"):
        choose(as_rows([1.0, 2.0], n_words=0))


def test_precision_and_recall_by_hand() -> None:
    languages = {"a": "en", "b": "en-GB", "c": "de", "d": "English", "e": "fr"}
    assert precision_recall(["a", "b", "c", "unlabelled"], languages) == (2 / 3, 2 / 3)
    assert precision_recall([], languages) == (None, 0.0)
    assert precision_recall(["c"], {"c": "de"}) == (0.0, None)


def test_english_has_several_names() -> None:
    assert all(map(is_english, ["en", "EN_us", "eng", "English", " en-GB "]))
    assert not any(map(is_english, ["enm", "de", "", "engadin", "fr-en"]))


def test_languages_are_read_and_faults_named(tmp_path: Path) -> None:
    path = tmp_path / "languages.csv"
    path.write_text("\ufeffutterance,language\na/b , en\n\nc/d,de\n", encoding="utf-8")
    assert read_languages(path) == {"a/b": "en", "c/d": "de"}
    path.write_text("a,en\nb\n")
    with pytest.raises(UsageError, match="line 2"):
        read_languages(path)
    with pytest.raises(UsageError):
        read_languages(tmp_path / "none.csv")


@given(SCORES)
@example([1.0, 1.0 + 2**-52])
def test_histogram_counts_everything(scores: list[float]) -> None:
    edges, counts = histogram(scores)
    assert sum(counts) == len(scores) and len(edges) == len(counts) + 1 <= 81
    assert edges == sorted(edges) and edges[0] <= min(scores) and edges[-1] >= max(scores)


@pytest.mark.parametrize("languages", [None, {}, {"u001": "en", "u002": "de"}])
def test_figure_is_drawn(tmp_path: Path, languages: dict[str, str] | None) -> None:
    scores = {row[0]: row[1] for row in as_rows([0.0, 1.0, 2.0, 2.0])}
    histogram_figure(tmp_path / "h.png", scores, 1.5, languages, name="a_score")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["h.png"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A workspace of 7 decoded utterances in 3 shards; one more was rejected."""
    scores = dict(zip("abcdefg", [1.0, 1.1, 0.2, 1.2, 0.1, 5.0, 0.9], strict=True))
    utterances = [Utterance(name, "s", f"{name}.wav", None) for name in [*scores, "rejected"]]
    root = tmp_path / "corpus"
    work = tmp_path / "work"
    create(work, "x", root, utterances, [], shard_size=3, seed=1, settings={})
    workspace = Workspace(work)
    for number in range(3):
        rows = [
            {
                "id": u.id,
                "text": "",
                "words": [["yes", 0.0, 0.1, 1.0]] if u.id != "f" else [],
                "scores": {"log_likelihood_per_frame": scores[u.id]},
                "n_frames": 5,
            }
            for u in workspace.shard(number)
            if u.id in scores
        ]
        rejects = [
            Reject(u.id, "decode", "x") for u in workspace.shard(number) if u.id == "rejected"
        ]
        config = {"likelihood": "defined", "model_digest": "0"}
        table = Table("decode", config, f"f{number}", rows, rejects)
        write_table(workspace.decode_path(number), table)
    return work


def test_stage_writes_what_extraction_reads(work: Path) -> None:
    lines = select(work, Wish(threshold=0.95))
    assert "kept 3 of 7" in lines[0]
    workspace = Workspace(work)
    kept = [u.id for number in range(3) for u in workspace.selected_shard(number)]
    assert sorted(kept) == ["a", "b", "d"]
    rows = read_table(workspace.selected_path).rows
    assert all(set(row) == {"id", "shard", "score"} for row in rows)
    assert {path.name for path in (work / "select").iterdir()} == {
        "selected.jsonl",
        "select.json",
        "histogram.png",
        "scores.png",
        "scores.cache",
    }


def test_summary_tells_precision_and_languages(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "languages.csv"
    path.write_text("id,language\na,en\nb,de\nc,en\ne,de\nrejected,en\nelsewhere,en\n")
    lines = select(work, Wish(), languages=path)
    summary = json.loads((work / "select/select.json").read_text())
    assert summary["n_kept"] == 4 and summary["n_dropped"] == 3 and summary["n_without_words"] == 1
    assert summary["rule"] == "otsu" and 0.2 < summary["threshold"] <= 0.9
    assert (summary["precision"], summary["recall"]) == (0.5, 0.5)
    assert summary["languages"] == {
        "de": {"kept": 1, "dropped": 1},
        "en": {"kept": 1, "dropped": 1},
    }
    found = summary["scores"]["log_likelihood_per_frame"]
    assert sum(found["kept"]) == 4 and sum(found["dropped"]) == 2
    assert found["auc"] == 0.5  # English 1.0 and 0.2, German 1.1 and 0.1
    assert "precision 50.0%" in lines[1] and "AUC 0.500" in lines[2]


def test_selecting_again_replaces_and_repeats(work: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (work / "select").iterdir()}

    select(work, Wish())
    first = files()
    select(work, Wish(keep_fraction=0.5))
    assert files()["selected.jsonl"] != first["selected.jsonl"]
    select(work, Wish())
    assert files() == first


def test_missing_shards_are_refused(work: Path) -> None:
    Workspace(work).decode_path(1).unlink()
    with pytest.raises(UsageError, match=r"1 of 3 shards .* `trimodal decode"):
        select(work, Wish())
    assert not (work / "select").exists()


def test_scores_of_different_models_are_not_compared(work: Path) -> None:
    path = Workspace(work).decode_path(2)
    table = read_table(path)
    other = Table("decode", {**table.config, "model_digest": "1"}, "f", table.rows, table.rejects)
    write_table(path, other)
    with pytest.raises(UsageError, match="different models"):
        select(work, Wish())


def test_shards_of_another_manifest_are_refused(work: Path) -> None:
    workspace = Workspace(work)
    table = read_table(workspace.decode_path(0))
    write_table(workspace.decode_path(1), table)
    with pytest.raises(UsageError, match="another manifest"):
        select(work, Wish())


def test_languages_of_other_utterances_are_refused(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "languages.csv"
    path.write_text("somebody,en\n")
    with pytest.raises(UsageError, match="none of the decoded"):
        select(work, Wish(), languages=path)


def test_a_language_that_looks_like_a_formula_is_drawn_as_it_is(tmp_path: Path) -> None:
    scores = {f"v/{i}": float(i) for i in range(4)}
    languages = dict(zip(scores, ("$\\frac{$", "$", "a$b$c", "\x1b[2J"), strict=True))
    histogram_figure(tmp_path / "h.png", scores, 1.5, languages, name="a_score")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
