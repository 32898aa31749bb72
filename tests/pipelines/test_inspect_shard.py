"""Inspect: its facts are the shard's, and its picture shows them."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featurize.errors import UsageError
from featurize.lfbe import LfbeConfig
from featurize.shards import NO_LABELS, TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from pipelines.inspect.picture import DPI, column_means, frame_start_s, known_end_s, norms, picture
from pipelines.inspect.shard import shard_facts
from pipelines.inspect.utterance import Seen, see, siblings, utterance_facts, values_in_short
from pipelines.inspect.words import Span, lanes, word_spans

WORDS = ("the", "band", "plays", "on")
TIMES = ((0.1, 0.3), (0.3, 0.7), (0.8, 1.2), (1.3, 1.5))
IDS = ("-a/1", "b$c/2", "0003")


def write(
    folder: Path, *, n_frames: int = 150, is_timed: bool = True, hop: bool = True, n_video: int = 3,
    encoding: str = "float16",
) -> Path:  # fmt: skip
    """WORK/features with one shard of three utterances and one reject; returns the folder."""
    rng = np.random.default_rng(0)
    times = np.array(TIMES) if is_timed else np.full((4, 2), np.nan)
    fields: dict = {
        "audio": {"features": ((40,), encoding)},
        "video": {"features": ((12,), encoding), "times_s": ((), "float32")},
        "text": {"features": ((8,), encoding), "times_s": ((2,), "float32")},
        "targets": TARGET_FIELDS,
    }
    config = {"audio": asdict(LfbeConfig()) if hop else {"importer": "npy"}}
    columns = {"speaker": "s$1", "fold": "dev", "labels": (1, 0, 2, 0, 0, 0, 0.5)}
    for modality, spec in fields.items():
        with ShardWriter(
            folder / f"shard-00042.{modality}.h5", modality=modality, fields=spec,
            config=config.get(modality, {}), fingerprint="f", tools={"av": "1"},
            columns=TARGET_COLUMNS if modality == "targets" else {},
        ) as writer:  # fmt: skip
            for i, utterance_id in enumerate(IDS):
                arrays = {
                    "audio": {"features": rng.normal(size=(n_frames + 10 * i, 40))},
                    "video": {
                        "features": rng.normal(size=(n_video, 12)),
                        "times_s": np.linspace(0.2, 1.2, n_video),
                    },
                    "text": {"features": rng.normal(size=(4, 8)), "times_s": times},
                    "targets": {"characters": np.frombuffer(" ".join(WORDS).encode(), np.uint8)},
                }
                writer.add(utterance_id, arrays[modality], columns)
            writer.reject("lost/1", "no sound")
    return folder


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write(tmp_path / "work" / "features")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder outside the workspace."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def seen(folder: Path, modality: str = "audio") -> Seen:
    found = see(folder / f"shard-00042.{modality}.h5", None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("encoding", "value_bytes"), [("float16", 2), ("float32", 4), ("int8_scaled", 1)]
)
def test_facts_are_those_of_the_shard(tmp_path: Path, encoding: str, value_bytes: int) -> None:
    path = write(tmp_path, encoding=encoding) / "shard-00042.audio.h5"
    facts = shard_facts(path)
    field = facts["fields"]["features"]
    assert (field["n_rows"], field["rows_min"], field["rows_max"]) == (480, 150, 170)
    assert field["rows_mean"] == pytest.approx(160)
    assert field["n_bytes"] == 480 * 40 * value_bytes
    assert (field["row_shape"], field["encoding"]) == ([40], encoding)
    assert facts["n_bytes"] == path.stat().st_size > field["stored_bytes"] >= field["n_bytes"]
    assert facts["rejects"] == [{"reason": "no sound", "n": 1}]
    assert facts["config"]["hop_s"] == 0.01
    assert facts["columns"] == []
    assert [entry["id"] for entry in facts["ids"]] == list(IDS)
    assert [entry["features"] for entry in facts["ids"]] == [150, 160, 170]
    assert shard_facts(tmp_path / "shard-00042.targets.h5")["columns"] == [
        "speaker",
        "fold",
        "labels",
    ]


def test_values_in_short_are_numpy_s() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(5000, 300)).astype(np.float16)  # more than one block
    array[::7] = 0
    short = values_in_short(array)
    exact = array.astype(np.float64)
    assert (short["min"], short["max"]) == (exact.min(), exact.max())
    assert short["mean"] == pytest.approx(exact.mean(), abs=1e-9)
    assert short["share_zero"] == pytest.approx((exact == 0).mean())
    times = np.array([[0.5, np.nan], [1.5, np.nan]], np.float32)
    assert values_in_short(times) == {
        "shape": [2, 2], "min": 0.5, "mean": 1.0, "max": 1.5, "share_zero": 0.0,
        "share_unknown": 0.5,
    }  # fmt: skip
    nothing = values_in_short(np.full((2, 2), np.nan))
    assert (nothing["min"], nothing["mean"], nothing["share_unknown"]) == (None, None, 1.0)
    assert values_in_short(np.zeros((0, 4)))["shape"] == [0, 4]


def test_an_utterance_is_found_in_all_shards_of_its_number(features: Path) -> None:
    for modality in ("audio", "video", "text", "targets"):
        found = see(features / f"shard-00042.{modality}.h5", "b$c/2")
        assert found is not None
        told = utterance_facts(found)
        assert (told["speaker"], told["fold"], told["transcript"]) == (
            "s$1",
            "dev",
            " ".join(WORDS),
        )
        assert told["labels"] == [1, 0, 2, 0, 0, 0, 0.5]
        assert told["values"]["audio features"]["shape"] == [160, 40]
        assert told["values"]["text times_s"]["max"] == pytest.approx(1.5)
        assert told["missing"] == {}


def test_what_is_missing_is_left_out_and_said(features: Path) -> None:
    (features / "shard-00042.video.h5").unlink()
    (features / "shard-00042.text.h5").write_bytes(b"none")
    found = seen(features)
    assert found.missing.keys() == {"video", "text"}
    assert "no such file" in found.missing["video"]
    assert "not a readable HDF5 file" in found.missing["text"]
    renamed = features / "mine.h5"
    shutil.copy(features / "shard-00042.audio.h5", renamed)
    assert siblings(renamed) == {}
    alone = see(renamed, None)
    assert alone is not None
    assert alone.arrays.keys() == {"audio"}


def test_an_unknown_utterance_says_how_to_list_them(features: Path) -> None:
    path = features / "shard-00042.audio.h5"
    with pytest.raises(
        UsageError, match=r"no utterance 'b\$c/3' \(there is b\$c/2\).*inspect .* --json"
    ):
        see(path, "b$c/3")
    with pytest.raises(UsageError, match="lost/1 was rejected: no sound"):
        see(path, "lost/1")


def test_words_are_where_the_text_shard_says_or_spread_evenly(tmp_path: Path) -> None:
    timed, caption = word_spans(seen(write(tmp_path / "a")), 2.0)
    assert [span.word for span in timed] == list(WORDS)
    np.testing.assert_allclose([(s.start, s.end) for s in timed], TIMES, rtol=1e-6)
    assert "unknown" not in caption
    spread, caption = word_spans(seen(write(tmp_path / "b", is_timed=False)), 2.0)
    assert [(s.start, s.end) for s in spread] == [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2)]
    assert "word times unknown" in caption
    (tmp_path / "a" / "shard-00042.targets.h5").unlink()
    nameless, caption = word_spans(seen(tmp_path / "a"), 2.0)
    assert {span.word for span in nameless} == {""}
    assert "not known" in caption


def test_texts_in_a_lane_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    starts = np.sort(rng.uniform(0, 60, 300))
    spans = [
        Span("x" * int(n), s, s + 0.2) for s, n in zip(starts, rng.integers(1, 9, 300), strict=True)
    ]
    ends: dict[int, float] = {}
    placed = lanes(spans, 60.2)
    for span, (lane, has_room) in zip(spans, placed, strict=True):
        if has_room:
            assert span.start >= ends.get(lane, 0.0) - 1e-6
            ends[lane] = span.start + len(span.word) * 60.2 / 165
    assert 50 < sum(has_room for _, has_room in placed) < 300


def test_the_time_axis_is_that_of_the_frames(features: Path) -> None:
    assert frame_start_s(asdict(LfbeConfig())) == pytest.approx(
        0.0075
    )  # window's middle +- hop / 2
    assert frame_start_s(asdict(LfbeConfig(snip_edges=False))) == 0
    assert known_end_s(seen(features)) == pytest.approx(0.0075 + 1.5)


def test_means_and_norms() -> None:
    rows = np.arange(20, dtype=np.float16).reshape(10, 2)
    np.testing.assert_array_equal(column_means(rows, 100), rows)
    np.testing.assert_array_equal(column_means(rows, 5), rows.reshape(5, 2, 2).mean(axis=1))
    assert column_means(np.ones((7, 3)), 3).tolist() == [[1, 1, 1]] * 3
    vectors = np.random.default_rng(0).normal(size=(3000, 700)).astype(np.float16)
    np.testing.assert_allclose(
        norms(vectors), np.linalg.norm(vectors.astype(np.float64), axis=1), rtol=1e-5
    )


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_the_picture_has_its_size_and_its_panels(features: Path, tmp_path: Path) -> None:
    picture(seen(features), tmp_path / "all.png")
    drawn = pixels(tmp_path / "all.png")
    assert drawn.shape == (round((0.9 + 3.2 + 1.7 + 1.5) * DPI), 12 * DPI, 3)
    top = drawn[150:500, 200:1500].reshape(-1, 3)  # inside the LFBE
    assert len(np.unique(top, axis=0)) > 100
    assert (top == 255).all(axis=1).mean() < 0.01
    bottom = drawn[800:1000, 100:1600].reshape(-1, 3)
    assert (bottom == (0xCF, 0xE3, 0xEE)).all(axis=1).any()  # the bars of the words
    silent = seen(features)
    silent.arrays["audio"]["features"] = np.zeros((150, 40), np.float16)
    picture(silent, tmp_path / "silent.png")
    blank = pixels(tmp_path / "silent.png")[150:500, 200:1500].reshape(-1, 3)
    assert len(np.unique(blank, axis=0)) < 5  # so the check above can fail


@pytest.mark.parametrize(
    "gone", [("video",), ("audio",), ("audio", "targets"), ("audio", "video", "text")]
)
def test_a_picture_of_what_there_is(tmp_path: Path, gone: tuple[str, ...]) -> None:
    folder = write(tmp_path / "f", is_timed=len(gone) == 1, hop=False)
    for modality in gone:
        (folder / f"shard-00042.{modality}.h5").unlink()
    left = next(m for m in ("targets", "text", "audio") if m not in gone)
    picture(seen(folder, left), tmp_path / "p.png")
    heights = {"audio": 3.2, "video": 1.7}
    height = 0.9 + 1.5 + sum(heights[m] for m in heights if m not in gone)
    assert pixels(tmp_path / "p.png").shape == (round(height * DPI), 12 * DPI, 3)


def test_an_hour_is_drawn_in_the_memory_of_a_minute(tmp_path: Path) -> None:
    def peak_bytes(seconds: int) -> int:
        long = Seen("long", config={"audio": asdict(LfbeConfig())})
        long.arrays["audio"] = {"features": np.zeros((100 * seconds, 40), np.float16)}
        long.arrays["video"] = {
            "features": np.zeros((2 * seconds, 4096), np.float16),
            "times_s": np.linspace(0, seconds, 2 * seconds, dtype=np.float32),
        }
        long.words = ["word"] * (2 * seconds)
        tracemalloc.start()
        picture(long, tmp_path / "p.png")
        utterance_facts(long)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(1)  # fonts and caches
    minute, hour = peak_bytes(60), peak_bytes(3600)
    assert hour < minute + 15e6  # as float32 the audio alone is 58 MB, the video 118 MB


def test_the_command_prints_and_draws(features: Path, elsewhere: Path, trimodal: Callable) -> None:
    path = features / "shard-00042.video.h5"
    result = trimodal("inspect", path)
    assert result.exit_code == 0, result.output
    for expected in ("format version 2", "no sound", "3 x 12", "the band plays on", "s$1", "-a/1"):
        assert expected in result.stdout, expected
    assert "\x1b" not in result.stdout
    assert pixels(elsewhere / "inspect.png").shape[1] == 12 * DPI
    assert [p.name for p in elsewhere.iterdir()] == ["inspect.png"]
    again = trimodal(
        "inspect", path, "--utterance", "-a/1", "--picture", elsewhere / "a.png", "--json"
    )
    told = json.loads(again.stdout)
    assert told["utterance"]["id"] == "-a/1"
    assert told["utterance"]["picture"] == str(elsewhere / "a.png")
    assert told["n_utterances"] == 3
    assert (elsewhere / "a.png").read_bytes() == (elsewhere / "inspect.png").read_bytes()


def test_nothing_is_drawn_into_the_workspace_unless_asked(
    features: Path, monkeypatch: pytest.MonkeyPatch, trimodal: Callable
) -> None:
    monkeypatch.chdir(features.parent)
    before = set(features.parent.rglob("*"))
    result = trimodal("inspect", "features/shard-00042.audio.h5")
    assert result.exit_code == 0
    assert "--picture" in result.stderr
    assert set(features.parent.rglob("*")) == before
    assert trimodal("inspect", "features/shard-00042.audio.h5", "--picture", "p.png").exit_code == 0
    assert (features.parent / "p.png").is_file()


def test_what_cannot_be_inspected_is_one_line(
    features: Path, elsewhere: Path, trimodal: Callable
) -> None:
    (elsewhere / "none.h5").write_bytes(b"none")
    for path, exit_code, words in (
        (elsewhere / "none.h5", 1, "not a readable HDF5 file"),
        (elsewhere / "gone.h5", 1, "gone.h5"),
    ):
        result = trimodal("inspect", path)
        assert result.exit_code == exit_code
        assert result.stderr.count("error: ") == 1
        assert words in result.stderr
    unknown = trimodal("inspect", features / "shard-00042.audio.h5", "--utterance", "no")
    assert unknown.exit_code == 2
    assert "--json` lists all ids" in unknown.stderr
    assert list(elsewhere.glob("*.png")) == []


def test_an_empty_shard(elsewhere: Path, trimodal: Callable) -> None:
    path = elsewhere / "shard-00000.targets.h5"
    with ShardWriter(
        path, modality="targets", fields=TARGET_FIELDS, config={}, fingerprint="f", tools={},
        columns=TARGET_COLUMNS,
    ) as writer:  # fmt: skip
        writer.reject("a", "why")
    result = trimodal("inspect", path)
    assert result.exit_code == 0, result.output
    assert "0 utterances, 1 rejected" in result.stdout
    assert not (elsewhere / "inspect.png").exists()


def test_unlabelled_utterances_have_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.targets.h5"
    with ShardWriter(
        path, modality="targets", fields=TARGET_FIELDS, config={}, fingerprint="f", tools={},
        columns=TARGET_COLUMNS,
    ) as writer:  # fmt: skip
        writer.add(
            "a", {"characters": np.zeros(0, np.uint8)},
            {"speaker": "s", "fold": "", "labels": NO_LABELS},
        )  # fmt: skip
    found = see(path, "a")
    assert found is not None
    told = utterance_facts(found)
    assert (told["labels"], told["fold"], told["transcript"], found.words) == (None, None, "", [])
    picture(found, tmp_path / "p.png")
    assert pixels(tmp_path / "p.png").size
