"""The demo's corpora at the scale of a few utterances: layouts, streams, determinism, resuming."""

import csv
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

from featurize.errors import StaleError, UsageError
from pipelines.demo import voxceleb2_corpus
from pipelines.demo.corpora import FULL, TINY, DemoSize, make_mosei, make_voxceleb2
from pipelines.demo.face_motion import mouth_opening
from pipelines.demo.mosei_plan import AWKWARD_IDS
from pipelines.demo.voxceleb2_corpus import plan_voxceleb2

SEED = 7


def _quiet(done: int, in_all: int) -> None:
    assert 0 <= done <= in_all


@pytest.fixture(scope="module")
def voxceleb2(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("corpora") / "voxceleb2"
    make_voxceleb2(root, TINY, SEED, _quiet, n_processes=1)
    return root


@pytest.fixture(scope="module")
def mosei(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("corpora") / "mosei"
    make_mosei(root, TINY, SEED, _quiet, n_processes=1)
    return root


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def _stream_facts(path: Path) -> dict[str, object]:
    with av.open(str(path)) as file:
        facts: dict[str, object] = {}
        for stream in file.streams.video:
            frames = sum(1 for _ in file.decode(stream))
            facts["video"] = (stream.codec_context.name, float(stream.average_rate), frames)
            facts["picture"] = (stream.width, stream.height, stream.pix_fmt)
    with av.open(str(path)) as file:
        for stream in file.streams.audio:
            n_samples = sum(frame.samples for frame in file.decode(stream))
            facts["audio"] = (stream.codec_context.name, stream.rate, stream.channels)
            facts["audio_s"] = n_samples / stream.rate
    return facts


def _is_broken(path: Path) -> bool:
    try:
        facts = _stream_facts(path)
    except (av.error.FFmpegError, EOFError):
        return True
    return "audio" not in facts


def _assert_good_mp4(path: Path) -> None:
    facts = _stream_facts(path)
    codec, fps, n_frames = facts["video"]
    assert (codec, fps) == ("h264", 25.0)
    assert facts["picture"] == (224, 224, "yuv420p")
    assert facts["audio"] == ("aac", 16000, 1)
    assert facts["audio_s"] == pytest.approx(n_frames / 25, abs=0.13)  # AAC rounds up to blocks


def test_voxceleb2_layout_and_streams(voxceleb2):
    with open(voxceleb2 / "languages.csv") as file:
        languages = {row["utterance"]: row["language"] for row in csv.DictReader(file)}
    assert len(languages) == TINY.n_speakers * TINY.utterances_per_speaker
    assert {"en", "de"} <= set(languages.values())
    for name in languages:
        assert re.fullmatch(r"id\d{5}/[A-Za-z0-9_-]{11}/\d{5}", name)
        _assert_good_mp4(voxceleb2 / "dev" / "mp4" / f"{name}.mp4")
    m4a = sorted((voxceleb2 / "dev" / "aac").rglob("*.m4a"))
    assert len(languages) > len(m4a) > len(languages) / 2  # some have the mp4 alone
    assert all(_stream_facts(path)["audio"] == ("aac", 16000, 1) for path in m4a)
    stems = [name.split("/")[2] for name in languages]
    assert len(set(stems)) < len(stems)


def test_voxceleb2_meta_has_the_real_ones_header_and_spaces(voxceleb2):
    lines = (voxceleb2 / "vox2_meta.csv").read_text().splitlines()
    assert lines[0] == "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "
    speakers = {path.name for path in (voxceleb2 / "dev" / "mp4").iterdir()}
    assert {line.split(",")[0].strip() for line in lines[1:]} == speakers
    assert all(re.fullmatch(r"id\d{5} ,n\d{6} ,[fm] ,dev ", line) for line in lines[1:])


def test_three_broken_files_lie_among_the_good_ones(voxceleb2, mosei):
    for root in (voxceleb2, mosei):
        broken = [path for path in sorted(root.rglob("*.mp4")) if _is_broken(path)]
        assert len(broken) == 3
        assert sum(path.stat().st_size == 0 for path in broken) == 1
    for path in (voxceleb2 / "dev" / "mp4").rglob("*.mp4"):
        relative = path.relative_to(voxceleb2 / "dev" / "mp4").with_suffix(".m4a")
        assert not (_is_broken(path) and (voxceleb2 / "dev" / "aac" / relative).exists())


def _transcript(mosei: Path, video: str) -> list[tuple[int, float, float, str]]:
    text = (mosei / f"Raw/Transcript/Segmented/Combined/{video}.txt").read_text()
    rows = [line.split("___") for line in text.splitlines()]
    assert all(len(row) == 5 and row[0] == video for row in rows)
    return [(int(n), float(start), float(end), words) for _, n, start, end, words in rows]


def _good_videos(mosei: Path) -> list[str]:
    return sorted(path.stem for path in (mosei / "Raw/Videos/Full/Combined").iterdir())


def test_mosei_layout_and_streams(mosei):
    videos = _good_videos(mosei)
    assert len(videos) == TINY.n_mosei_videos and set(AWKWARD_IDS) <= set(videos)
    cut = {path.stem for path in (mosei / "Raw/Videos/Segmented/Combined").iterdir()}
    n_uncut = 0
    for video in videos:
        full = mosei / f"Raw/Videos/Full/Combined/{video}.mp4"
        _assert_good_mp4(full)
        rows = _transcript(mosei, video)
        assert [row[0] for row in rows] == list(range(TINY.segments_per_video))
        assert rows[-1][2] <= _stream_facts(full)["video"][2] / 25
        names = [f"{video}_{n}" for n, *_ in rows]
        n_uncut += not set(names) & cut
        for name, (_, start_s, end_s, _) in zip(names, rows, strict=True):
            if name in cut:
                path = mosei / f"Raw/Videos/Segmented/Combined/{name}.mp4"
                _assert_good_mp4(path)
                n_frames = _stream_facts(path)["video"][2]
                assert n_frames == round((end_s - max(start_s, 0)) * 25)
    assert n_uncut == 1


def test_mosei_labels_match_the_transcripts_in_another_order(mosei):
    folds = json.loads((mosei / "folds.json").read_text())
    assert set(folds) == {"train", "valid", "test"} and all(folds.values())
    listed = [video for fold in folds.values() for video in fold]
    assert len(listed) == len(set(listed)) == TINY.n_mosei_videos + 3
    n_negative, in_order = 0, []
    with h5py.File(mosei / "CMU_MOSEI_Labels.csd") as file:
        assert set(file["All Labels/data"]) == set(listed)
        metadata = {k: json.loads(v[0]) for k, v in file["All Labels/metadata"].items()}
        for video in listed:
            group = file["All Labels/data"][video]
            rows = _transcript(mosei, video)
            assert group["features"].shape == (len(rows), 7)
            intervals = group["intervals"][:]
            expected = np.array([[start, end] for _, start, end, _ in rows])
            order = np.argsort(intervals[:, 0])
            np.testing.assert_allclose(intervals[order], expected, atol=1e-9)
            n_negative += int((intervals < 0).sum())
            in_order.append((order == np.arange(len(rows))).all())
    assert n_negative == 1 and not all(in_order)
    assert metadata["root name"] == "All Labels"
    assert metadata["dimension names"][:3] == ["sentiment", "happy", "sad"]


def test_a_segment_cut_from_the_full_video_is_the_segment_file(mosei):
    video = next(v for v in _good_videos(mosei) if v in AWKWARD_IDS[:3])
    _, start_s, end_s, _ = _transcript(mosei, video)[1]
    full = _decoded(mosei / f"Raw/Videos/Full/Combined/{video}.mp4")
    segment = _decoded(mosei / f"Raw/Videos/Segmented/Combined/{video}_1.mp4")
    sound = full[1][round(start_s * 16000) : round(end_s * 16000)]
    assert np.corrcoef(sound, segment[1][: len(sound)])[0, 1] > 0.95
    pictures = full[0][round(start_s * 25) : round(end_s * 25)].astype(int)
    assert np.abs(pictures - segment[0]).mean() < 4


def _decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with av.open(str(path)) as file:
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
    with av.open(str(path)) as file:
        return pictures, np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])


def test_the_mouth_seen_in_the_file_follows_the_sound_heard_in_it(voxceleb2):
    correlations = []
    for path in sorted((voxceleb2 / "dev" / "mp4").rglob("*.mp4")):
        if not _is_broken(path):
            pictures, sound = _decoded(path)
            opening = mouth_opening(sound, 16000, len(pictures), 25)
            red, green = pictures[..., 0].astype(int), pictures[..., 1].astype(int)
            lower = np.s_[:, 112:180, 60:164]
            inside = ((red < 110) & (red - green > 40))[lower].sum(axis=(1, 2))
            correlations.append(np.corrcoef(opening, inside)[0, 1])
    assert np.median(correlations) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_voxceleb2, make_mosei])
def test_the_same_bytes_whatever_the_number_of_processes(make, voxceleb2, mosei, tmp_path):
    make(tmp_path / "again", TINY, SEED, _quiet, n_processes=2)
    first = voxceleb2 if make is make_voxceleb2 else mosei
    assert _files(tmp_path / "again") == _files(first)


def test_an_interrupted_corpus_is_completed_with_the_same_bytes(voxceleb2, tmp_path):
    root = tmp_path / "voxceleb2"
    done: list[int] = []

    def interrupt(n_done: int, in_all: int) -> None:
        done.append(n_done)
        if n_done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_voxceleb2(root, TINY, SEED, interrupt, n_processes=1)
    assert not (root / "demo.json").exists() and not (root / "vox2_meta.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*.mp4")}
    next(iter(root.rglob("*.m4a"))).unlink()
    make_voxceleb2(root, TINY, SEED, _quiet, n_processes=1)
    assert _files(root) == _files(voxceleb2)
    unchanged = [path.stat().st_mtime_ns == mtime for path, mtime in kept.items()]
    assert unchanged.count(False) == 1  # only the one whose m4a was gone


def test_a_finished_corpus_is_left_alone(voxceleb2, monkeypatch):
    def fail(*_):
        raise AssertionError("nothing should be rendered")

    monkeypatch.setattr(voxceleb2_corpus, "render_clip", fail)
    make_voxceleb2(voxceleb2, TINY, SEED, fail)


def test_other_settings_or_foreign_files_are_refused(voxceleb2, tmp_path):
    with pytest.raises(StaleError, match="another seed"):
        make_voxceleb2(voxceleb2, TINY, SEED + 1, _quiet)
    with pytest.raises(StaleError, match="another seed"):
        make_mosei(voxceleb2, TINY, SEED, _quiet)
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not the demo's"):
        make_mosei(tmp_path, TINY, SEED, _quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]
    with pytest.raises(UsageError, match="at least 5"):
        DemoSize(n_speakers=1)


def test_another_seed_makes_another_corpus():
    texts = {seed: [clip.text for clip in plan_voxceleb2(8, 3, seed)] for seed in (0, 1)}
    assert texts[0] != texts[1]


def test_the_full_demo_is_as_large_and_as_mixed_as_promised():
    clips = plan_voxceleb2(FULL.n_speakers, FULL.utterances_per_speaker, 0)
    good = [clip for clip in clips if not clip.fault]
    assert len(clips) == len(good) + 3 and len({clip.id for clip in clips}) == len(clips)
    assert len({clip.id.split("/")[0] for clip in clips}) == FULL.n_speakers
    foreign = [clip.speaker.language for clip in good if clip.speaker.language != "en"]
    assert 0.25 <= len(foreign) / len(good) <= 0.30
    assert set(foreign) == {"de", "fr", "es"}
    assert 5 <= sum(not clip.has_m4a for clip in good) <= 20


def test_no_temporary_file_is_left(voxceleb2, mosei):
    for root in (voxceleb2, mosei):
        assert not [p for p in root.rglob(".*")]
        assert not list(root.glob("*unfinished*"))


def test_a_kill_at_the_very_first_instant_is_no_obstacle(tmp_path: Path) -> None:
    """What a killed writer leaves behind is swept, not taken for somebody else's file."""
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    host = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())
    (tmp_path / f".demo-unfinished.json.{host}-{gone.pid}.tmp").write_text("{")
    make_mosei(tmp_path, TINY, SEED, _quiet, n_processes=1)
    assert (tmp_path / "demo.json").is_file()
