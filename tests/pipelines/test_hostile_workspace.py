"""A workspace that a stranger made: no stage after prepare lets a path of it leave the corpus.

``prepare`` refuses such paths, but whoever writes a manifest can also write its digests. Each stage
that opens media is run on one, with real media where the paths lead.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pipelines.manifest import Utterance, read_table
from pipelines.runner import made_with
from pipelines.workspace import Workspace, create

Trimodal = Callable[..., Result]
OPTIONS = ("--preset", "demo", "--jobs", 1, "--max-reject-share", 1)
LEADS_OUT = "corpus folder"


@pytest.fixture
def secret(tiny_corpora: Path, tmp_path: Path) -> Path:
    """A video with sound beside the corpus, which a stage would decode if it went there."""
    videos = sorted((tiny_corpora / "mosei").rglob("*.mp4"), key=lambda path: path.stat().st_size)
    shutil.copy(videos[-1], tmp_path / "secret.mp4")
    return tmp_path / "secret.mp4"


@pytest.fixture
def work(secret: Path, tmp_path: Path) -> Path:
    """One utterance that is allowed, and as many that climb out as there are ways."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    shutil.copy(secret, corpus / "fine.mp4")
    (corpus / "link.mp4").symlink_to(secret)
    (corpus / "folder").symlink_to(tmp_path)
    (corpus / "loop").symlink_to(corpus / "loop")
    paths = ["fine.mp4", "../secret.mp4", str(secret), "link.mp4", "folder/secret.mp4", "loop",
             "x\0.mp4", "a/../../secret.mp4"]  # fmt: skip
    utterances = [
        Utterance(f"u/{i}", "s", path, path, end_s=1.0, text=None) for i, path in enumerate(paths)
    ]
    cut = {"shard_size": 99, "seed": 0, "settings": {}}
    create(tmp_path / "w", "voxceleb2", corpus, utterances, [], **cut)
    return tmp_path / "w"


def lost(path: Path) -> dict[str, str]:
    made = made_with(path)
    assert made is not None
    return {reject.id: reject.reason for reject in made.rejects}


def check(path: Path) -> None:
    """All but the first are rejected, and because of where they lead."""
    found = lost(path)
    assert found.keys() == {f"u/{i}" for i in range(1, 8)}, found
    for reason in found.values():
        assert LEADS_OUT in reason or "cannot be followed" in reason, found


def test_stages_that_read_media(trimodal: Trimodal, work: Path) -> None:
    result = trimodal("decode", work, *OPTIONS)
    assert result.exit_code == 0, result.output
    check(Workspace(work).decode_path(0))
    (row,) = read_table(Workspace(work).decode_path(0)).rows
    assert row["id"] == "u/0"
    workspace = Workspace(work)
    ids = [utterance.id for utterance in workspace.utterances]
    _select_all(workspace, ids)
    result = trimodal("extract", work, "audio", *OPTIONS)
    assert result.exit_code == 0, result.output
    check(workspace.feature_path(0, "audio"))


def test_video_is_not_opened_either(work: Path) -> None:
    """What the decoding processes are given: no path, but the reason; the network is left out."""
    from featurize.errors import CorpusError
    from pipelines.extract import ExtractSettings
    from pipelines.extract_work import _clip_task
    from pipelines.runner import Unit
    from pipelines.settings import Settings

    flags = {"video": {}, "glove": None, "store": {}, "device": "cpu"}
    settings = ExtractSettings.load(Settings("demo"), **flags)
    workspace = Workspace(work)
    unit = Unit(0, work, "", {}, workspace.corpus_root, workspace.utterances)
    tasks = {u.id: _clip_task(settings, unit, u) for u in workspace.utterances}
    assert str(tasks.pop("u/0").path).endswith("fine.mp4")
    for task in tasks.values():
        assert task.path is None and isinstance(task.problem, CorpusError)


def _select_all(workspace: Workspace, ids: list[str]) -> None:
    from pipelines.manifest import Table, read_header, write_table

    decoding = read_header(workspace.decode_path(0)).config
    config = {"manifest": workspace.manifest.fingerprint, "decoding": decoding, "rule": "otsu"}
    rows = [{"id": i, "shard": 0, "score": 0.0} for i in ids]
    write_table(workspace.selected_path, Table("select", config, "f", rows))


def test_what_else_opens_media(trimodal: Trimodal, work: Path, tmp_path: Path) -> None:
    from pipelines.report.frames import middle_frame
    from pipelines.retry.changed import changed_files

    workspace = Workspace(work)
    for utterance in workspace.utterances:
        if utterance.id != "u/0":
            with pytest.raises(Exception, match=f"{LEADS_OUT}|followed"):
                middle_frame(workspace.corpus_root, utterance)
    sized = [Utterance(u.id, u.speaker, u.audio, None, audio_bytes=1) for u in workspace.utterances]
    changed = {file.path: file.n_bytes for file in changed_files(workspace, sized, "audio")}
    assert changed.pop("fine.mp4") and set(changed.values()) == {None}
    result = trimodal("export", "kaldi", work, tmp_path / "kaldi", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "secret" not in (tmp_path / "kaldi/wav.scp").read_text()


SHELL = ["$(touch pwned)", "`touch pwned`", "; touch pwned ;", "a'b\"c", "-i x", "| touch pwned |"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on the PATH")
def test_names_are_no_commands_in_what_kaldi_runs(
    trimodal: Trimodal, secret: Path, tmp_path: Path
) -> None:
    """Each line of wav.scp is run by a shell, as Kaldi does it."""
    corpus = tmp_path / "corpus"
    utterances = []
    for number, name in enumerate(SHELL):
        (corpus / name).mkdir(parents=True)
        shutil.copy(secret, corpus / name / "v.mp4")
        utterances.append(Utterance(f"{name}/{number}", name, f"{name}/v.mp4", None, text="a"))
    cut = {"shard_size": 99, "seed": 0, "settings": {}}
    create(tmp_path / "w", "mosei", corpus, utterances, [], **cut)
    result = trimodal("export", "kaldi", tmp_path / "w", tmp_path / "kaldi", "--jobs", 1)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "kaldi/wav.scp").read_text().splitlines()
    assert len(lines) == len(SHELL)
    (tmp_path / "here").mkdir()
    for line in lines:
        name, _, command = line.partition(" ")
        assert not set(name) & set("$`;|'\" ")
        ran = subprocess.run(
            ["/bin/sh", "-c", command.removesuffix("|")], cwd=tmp_path / "here",
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.stdout.startswith(b"RIFF"), (command, ran.stderr)
    assert list((tmp_path / "here").iterdir()) == []


def test_tars_hold_no_name_that_climbs_out(trimodal: Trimodal, exchanged, tmp_path: Path) -> None:
    """Ids are those of the manifest, which are checked whenever it is read."""
    import tarfile

    shutil.copytree(exchanged.work, tmp_path / "w")
    path = tmp_path / "w/manifest.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    forged = _forged(lines, 1, {**row, "id": "../../climbed"})
    path.write_text(forged)
    result = trimodal("export", "webdataset", tmp_path / "w", tmp_path / "out")
    assert result.exit_code == 1 and "is not allowed" in result.output
    result = trimodal("export", "webdataset", exchanged.work, tmp_path / "good")
    assert result.exit_code == 0, result.output
    tars = list((tmp_path / "good").glob("*.tar"))
    assert tars
    for path in tars:
        with tarfile.open(path) as tar:
            assert not any(n.startswith("/") or ".." in n.split("/") for n in tar.getnames())


def _forged(lines: list[str], number: int, row: dict) -> str:
    """A manifest with one row replaced and its digests made right again, as a stranger would."""
    import xxhash

    from pipelines.manifest import _to_line

    lines = [*lines]
    lines[number] = _to_line(row).rstrip("\n")
    body = "".join(f"{line}\n" for line in lines[1:])
    header = json.loads(lines[0])
    header["digest"] = xxhash.xxh3_128_hexdigest(body.encode())
    header.pop("header_digest")
    header["header_digest"] = xxhash.xxh3_128_hexdigest(_to_line(header).encode())
    return _to_line(header) + body
