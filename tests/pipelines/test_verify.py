"""Verify: damage anywhere is named and nothing else is; the printed commands mend it."""

import json
import os
import random
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import pipelines.verify.check
import pipelines.verify.one_file
from featurize.errors import ShardError, StageError
from featurize.shards import ShardReader, ShardWriter
from pipelines.cli import main
from pipelines.manifest import read_table
from pipelines.verify.check import Verification, verify
from pipelines.verify.one_file import Checked, check_file
from pipelines.verify.workspace_files import StageFile, list_files
from pipelines.workspace import Workspace

FLIPS = 600


def run(*words: object) -> None:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def made(tiny_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both corpora, prepared and extracted (video of one of them). Only for reading."""
    folder = tmp_path_factory.mktemp("verify")
    lenient = ("--preset", "demo", "--max-reject-share", 1, "--jobs", 1)
    mosei, voxceleb2 = folder / "mosei", folder / "voxceleb2"
    cut = ("--preset", "demo", "--shard-size", 3)
    run("prepare", "mosei", tiny_corpora / "mosei", mosei, *cut)
    run("extract", mosei, *lenient)
    run("prepare", "voxceleb2", tiny_corpora / "voxceleb2", voxceleb2, *cut)
    run("decode", voxceleb2, *lenient)
    run("select", voxceleb2, "--keep-fraction", 0.8)
    for modality in ("audio", "text", "targets"):
        run("extract", voxceleb2, modality, *lenient)
    return folder


@pytest.fixture
def works(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "w"))


def check(work: Path, jobs: int = 1) -> Verification:
    found = list_files(Workspace(work))
    return verify(found, range(found.n_shards), jobs=jobs)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x55
    path.write_bytes(content)


def flip_in_utterance(path: Path, utterance_id: str) -> None:
    """Flips a byte of the values of one utterance."""
    with ShardReader(path) as shard:
        arrays = shard.read(utterance_id)
    raw = max((np.ascontiguousarray(a).tobytes() for a in arrays.values()), key=len)
    assert path.read_bytes().count(raw) == 1
    flip(path, path.read_bytes().index(raw) + len(raw) // 2)


def flip_in_stored_rows(path: Path, utterance_id: str) -> None:
    """The same where what is stored is not what is read: by HDF5's own word for where it lies."""
    import h5py

    with ShardReader(path) as shard, h5py.File(path, "r") as file:
        start = int(shard.table["features_start"][shard.index[utterance_id]])
        row_bytes = file["features"].dtype.itemsize * file["features"].shape[1]
        offset = file["features"].id.get_offset()
    assert offset is not None
    flip(path, offset + start * row_bytes + 3)


def content(path: Path, harmed: tuple[str, ...] = ()) -> dict:
    """All that a file says; an utterance of ``harmed`` must fail to be read."""
    if path.suffix == ".jsonl":
        return {"table": read_table(path)}
    with ShardReader(path) as shard:
        found: dict = {"about": (shard.modality, shard.config, shard.tools, shard.rejects)}
        for utterance_id in shard.ids:
            if utterance_id in harmed:
                with pytest.raises(ShardError):
                    shard.read(utterance_id)
            else:
                arrays = shard.read(utterance_id)
                found[utterance_id] = {n: (a.shape, a.tobytes()) for n, a in arrays.items()}
        return found


def test_sound_workspaces_are_sound(made: Path, trimodal: Callable) -> None:
    for name in ("mosei", "voxceleb2"):
        n_files = len(list((made / name).rglob("*.h5"))) + len(
            [p for p in (made / name).rglob("*.jsonl") if p.name != "rejects.jsonl"]
        )
        result = trimodal("verify", made / name, "--jobs", 2)
        assert result.exit_code == 0, result.output
        line = result.stdout.splitlines()[-1]
        assert line.startswith(f"verify: {n_files} files, ")
        n_utterances = len(Workspace(made / name).utterances)
        assert f", {n_utterances} utterances, " in line
        assert "no damage; " in line


@pytest.mark.parametrize("seed", range(2))
def test_a_flipped_byte_is_found_in_the_very_file_or_changes_nothing(
    works: Path, seed: int
) -> None:
    rng = random.Random(seed)
    files = [
        file
        for name in ("mosei", "voxceleb2")
        for file in list_files(Workspace(works / name)).files
    ]
    n_named = 0
    for _ in range(FLIPS):
        file = rng.choice(files)
        good, before = file.path.read_bytes(), content(file.path)
        flip(file.path, rng.randrange(len(good)))
        checked = check_file(file)
        if checked.damaged:
            rest = {key: said for key, said in before.items() if key not in checked.damaged}
            assert content(file.path, checked.damaged) == rest
        elif checked.reason is None:
            assert content(file.path) == before
        n_named += checked.is_damaged
        file.path.write_bytes(good)
        assert not check_file(file).is_damaged
    assert n_named > FLIPS / 5  # most bytes of so small a file are unused


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8_scaled"])
def test_a_flipped_byte_is_found_however_it_is_stored(
    tmp_path: Path, encoding: str, compression: str
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "shard-00000.video.h5"
    with ShardWriter(
        path, modality="video", fields={"features": ((64,), encoding)}, config={"fps": 1.0},
        fingerprint="f", tools={}, compression=compression,
    ) as writer:  # fmt: skip
        for k in range(12):
            writer.add(f"id/{k}", {"features": rng.normal(size=(30 + k, 64))})
        writer.reject("id/12", "no picture")
    file, good, before = StageFile(path, "video", 0, 0), path.read_bytes(), content(path)
    n_named = 0
    for position in rng.integers(0, len(good), FLIPS // 4).tolist():
        flip(path, position)
        checked = check_file(file)
        if checked.reason is None:
            kept = {key: said for key, said in before.items() if key not in checked.damaged}
            assert content(path, checked.damaged) == kept
        n_named += checked.is_damaged
        path.write_bytes(good)
    assert n_named > FLIPS // 8


@pytest.mark.parametrize("jobs", [1, 2])
def test_exactly_the_damaged_utterances_are_named(works: Path, jobs: int) -> None:
    features = works / "mosei" / "features"
    wanted = {}
    for name, positions in (("shard-00000.audio.h5", [0]), ("shard-00001.text.h5", [0, -1])):
        with ShardReader(features / name) as shard:
            wanted[name] = {shard.ids[i] for i in positions}
        for utterance_id in wanted[name]:
            flip_in_utterance(features / name, utterance_id)
    truncated = features / "shard-00002.video.h5"
    truncated.write_bytes(truncated.read_bytes()[:-7])
    (features / "shard-00001.targets.h5").write_bytes(b"")
    result = check(works / "mosei", jobs)
    assert {c.file.path.name: set(c.damaged) for c in result.damaged if c.damaged} == wanted
    whole = {c.file.path.name for c in result.damaged if c.reason is not None}
    assert whole == {"shard-00002.video.h5", "shard-00001.targets.h5"}


OPTIONS = {"decode": ["--model", "demo"], "select": ["--keep-fraction", "0.8"]}


@pytest.mark.slow
def test_the_printed_commands_mend_it(works: Path, made: Path, trimodal: Callable) -> None:
    """Damage in headers, in payload and in tables; afterwards the very bytes of before."""
    for name, files in (
        ("mosei", ("shard-00000.audio.h5", "shard-00001.audio.h5", "shard-00002.video.h5")),
        ("voxceleb2", ("shard-00001.text.h5", "shard-00000.targets.h5")),
    ):
        for path in (works / name / "features" / file for file in files):
            with ShardReader(path) as shard:
                first = shard.ids[0]
            flip_in_utterance(path, first)
        flip(works / name / "features" / "shard-00002.targets.h5", 9)  # of the superblock
        flip(works / name / "features" / "shard-00002.text.h5", 9)
    flip(works / "voxceleb2" / "decode" / "shard-00001.jsonl", -9)
    flip(works / "voxceleb2" / "select" / "selected.jsonl", -9)
    for name, n_commands in (("mosei", 4), ("voxceleb2", 4)):
        found = trimodal("verify", works / name, "--jobs", 1)
        assert found.exit_code == 1
        printed = [
            line.strip() for line in found.stdout.splitlines() if line.startswith("  trimodal ")
        ]
        assert len(printed) == n_commands, found.output
        for line in printed:
            words = shlex.split(line)[1:]
            lenient = ["--preset", "demo"] + ["--max-reject-share", "1"] * (words[0] != "select")
            done = trimodal(*words, *OPTIONS.get(words[0], []), *lenient)
            assert done.exit_code == 0, f"{line}\n{done.output}"
        again = trimodal("verify", works / name)
        assert again.exit_code == 0, again.output
        for path in sorted((made / name).rglob("*.*")):
            if path.suffix in (".h5", ".jsonl"):
                mended = works / name / path.relative_to(made / name)
                assert mended.read_bytes() == path.read_bytes(), path.name


def test_json_names_every_damaged_utterance(works: Path, trimodal: Callable) -> None:
    path = works / "mosei" / "features" / "shard-00000.audio.h5"
    with ShardReader(path) as shard:
        ids = list(shard.ids)
    for utterance_id in ids:
        flip_in_utterance(path, utterance_id)
    found = trimodal("verify", works / "mosei", "--json")
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert told["damaged"] == [
        {"path": str(path), "stage": "audio", "shard": 0, "reason": None, "utterances": ids}
    ]
    assert told["is_sound"] is False
    assert trimodal(*shlex.split(told["commands"][0])[1:]).exit_code == 0
    sound = trimodal("verify", works / "mosei", "--json")
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["damaged"] == []


def test_only_the_shards_asked_for_are_read(works: Path, trimodal: Callable) -> None:
    flip(works / "mosei" / "features" / "shard-00001.audio.h5", 9)
    assert trimodal("verify", works / "mosei", "--shards", "0,2:").exit_code == 0
    assert trimodal("verify", works / "mosei", "--shards", "0:2").exit_code == 1
    assert trimodal("verify", works / "mosei", "--shards", "9").exit_code == 2


def test_leftovers_and_strangers_are_noted(works: Path, trimodal: Callable) -> None:
    features = works / "mosei" / "features"
    (features / ".shard-00001.audio.h5.elsewhere-7.tmp").write_bytes(b"half")
    (features / "notes.txt").write_text("mine")
    (features / "shard-00001.video.h5").unlink()
    found = trimodal("verify", works / "mosei")
    assert found.exit_code == 0
    notes = [line for line in found.stdout.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "elsewhere-7.tmp" in notes[0]
    assert "notes.txt" in notes[1]
    assert "video: 1 of 4 shards are not there, the first is 1" in notes[2]


@pytest.mark.parametrize(
    "name", ["shard-00099.audio.h5", "shard-00001 (copy).audio.h5", "shard-1.text.h5"]
)
def test_a_file_that_only_training_would_read_is_damage(
    works: Path, trimodal: Callable, name: str
) -> None:
    features = works / "mosei" / "features"
    shutil.copy(features / "shard-00000.audio.h5", features / name)
    found = trimodal("verify", works / "mosei")
    assert found.exit_code == 1
    assert (
        f"{features / name}: no shard of the manifest, but training would read it" in found.stdout
    )


def test_a_shard_in_another_s_place_is_told_apart(works: Path, trimodal: Callable) -> None:
    """Its fingerprint is not the place's: status counts it as to do, and training is refused."""
    features = works / "mosei" / "features"
    shutil.copy(features / "shard-00000.audio.h5", features / "shard-00001.audio.h5")
    found = trimodal("verify", works / "mosei")
    assert found.exit_code == 0
    assert "1 audio file (" in found.stdout
    assert "made for another manifest or selection" in found.stdout


def test_a_shard_whose_utterances_belie_its_fingerprint_is_damaged(works: Path) -> None:
    path = works / "mosei" / "features" / "shard-00001.targets.h5"
    with ShardReader(path) as shard:
        ids, fingerprint, config = list(shard.ids), shard.fingerprint, shard.config
    with ShardWriter(
        path, modality="targets", fields={"characters": ((), "uint8")}, config=config,
        fingerprint=fingerprint, tools={},
    ) as writer:  # fmt: skip
        for utterance_id in ["not/in/the/manifest", *ids[1:]]:
            writer.add(utterance_id, {"characters": np.zeros(3, np.uint8)})
    (damaged,) = check(works / "mosei").damaged
    assert damaged.file.path == path
    assert "holds 1 utterances that its shard of the manifest does not, and lacks 1" in str(
        damaged.reason
    )


def test_a_damaged_manifest_does_not_hide_the_rest(works: Path, trimodal: Callable) -> None:
    work = works / "mosei"
    flip(work / "manifest.jsonl", -9)
    flip(work / "features" / "shard-00002.video.h5", 9)
    found = trimodal("verify", work)
    assert found.exit_code == 1
    assert f"{work / 'manifest.jsonl'}: damaged" in found.stdout
    assert f"{work / 'features' / 'shard-00002.video.h5'}: not a readable" in found.stdout
    assert "could not be compared" in found.stdout
    (line, _) = [line for line in found.stdout.splitlines() if line.startswith("  trimodal ")]
    good = (works / "mosei" / "features" / "shard-00000.audio.h5").read_bytes()
    assert trimodal(*shlex.split(line)[1:]).exit_code == 0
    assert len(check(work).damaged) == 1
    assert (work / "features" / "shard-00000.audio.h5").read_bytes() == good
    assert trimodal("extract", work, "audio", "--max-reject-share", 1).exit_code == 0


def test_workspaces_with_nothing_in_them(
    tiny_corpora: Path, tmp_path: Path, trimodal: Callable
) -> None:
    assert trimodal("verify", tmp_path / "no").exit_code == 2
    assert trimodal("verify", tmp_path).exit_code == 2
    work = tmp_path / "w"
    run("prepare", "mosei", tiny_corpora / "mosei", work, "--preset", "demo")
    found = trimodal("verify", work)
    assert found.exit_code == 0
    assert found.stdout.startswith("verify: 1 file, ")


def test_a_file_that_goes_is_no_crash_and_one_replaced_is_read_again(
    works: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list_files(Workspace(works / "mosei"))
    file = next(file for file in found.files if file.path.name == "shard-00001.audio.h5")
    good = file.path.read_bytes()
    flip(file.path, 9)
    really = pipelines.verify.one_file._check

    def replaced(file: StageFile, expected: frozenset[str] | None) -> Checked:
        checked = really(file, expected)
        file.path.with_suffix(".new").write_bytes(good)
        os.replace(file.path.with_suffix(".new"), file.path)
        return checked

    monkeypatch.setattr(pipelines.verify.one_file, "_check", replaced)
    assert not check_file(file).is_damaged
    monkeypatch.undo()
    file.path.unlink()
    result = verify(found, range(3), jobs=1)
    assert result.is_sound
    assert any("deleted before it was read" in note for note in result.notes)


def test_a_worker_that_dies_is_not_no_damage(works: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.verify.check, "check_file", die)
    with pytest.raises(StageError, match=r"a worker process died .* of \d+ files were not checked"):
        check(works / "mosei", jobs=2)


def die(file: StageFile, expected: frozenset[str] | None) -> Checked:
    os._exit(9)
