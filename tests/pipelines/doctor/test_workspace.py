"""A workspace: each thing broken for real, found, and mended by the command that is told."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.doctor.finding import Finding
from pipelines.doctor.report import look as take
from pipelines.doctor.workspace import workspace_checks
from pipelines.manifest import Table, write_table
from pipelines.workspace import Workspace

OPTIONS = ("--preset", "demo", "--jobs", "1", "--max-reject-share", "1")


def trimodal(*words: object) -> None:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def made(tiny_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a workspace with audio and targets beside each other. Only for copies."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(tiny_corpora / "mosei", folder / "mosei")
    trimodal("prepare", "mosei", folder / "mosei", folder / "w", *OPTIONS[:2], "--shard-size", 4)
    for modality in ("audio", "targets"):
        trimodal("extract", folder / "w", modality, *OPTIONS)
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "w", tmp_path / "w")
    return tmp_path / "w"


def findings(work: Path, **options: bool) -> list[Finding]:
    (found,) = take(workspace_checks(work, **options), None).values()
    return found


def told(work: Path, what: str, **options: bool) -> list[Finding]:
    return [one for one in findings(work, **options) if one.what == what]


def run_told(command: str | None) -> None:
    assert command is not None
    words = shlex.split(command.partition("   #")[0])
    assert words[0] == "trimodal"
    options = () if words[1] == "prepare" else OPTIONS
    trimodal(*words[1:], *options)


def test_a_sound_workspace_has_no_problem(work: Path) -> None:
    found = findings(work)
    assert not [one for one in found if one.level == "problem"], found
    assert [(one.level, one.seen) for one in found if one.what == "video"] == [
        ("note", "not begun")
    ]
    assert all(one.mends for one in found if one.level != "ok")


def test_a_damaged_shard_is_mended_by_the_command(work: Path) -> None:
    path = work / "features/shard-00001.audio.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    (found,) = told(work, "audio")
    assert found.level == "problem" and "--shards 1" in str(found.mends)
    run_told(found.mends)
    assert path.read_bytes() == whole
    assert [one.level for one in told(work, "audio")] == ["ok"]


def test_a_missing_shard_is_no_fault(work: Path) -> None:
    (work / "features/shard-00002.targets.h5").unlink()
    (found,) = told(work, "targets")
    assert found.level == "note" and "1 of " in found.seen and "still to do" in found.seen
    run_told(found.mends)
    assert [one.level for one in told(work, "targets")] == ["ok"]


def test_shards_of_another_manifest(work: Path, made: Path) -> None:
    again = ("--seed", 9, "--shard-size", 4, "--redo")
    trimodal("prepare", "mosei", made / "mosei", work, *OPTIONS[:2], *again)
    (found,) = told(work, "targets")
    assert found.level == "warning" and "another manifest" in found.seen
    run_told(found.mends)
    assert [one.level for one in told(work, "targets")] == ["ok"]


def test_shards_of_two_settings(work: Path) -> None:
    shard = ("--shards", "0", "--redo", "--encoding", "float32")
    trimodal("extract", work, "audio", *OPTIONS, *shard)
    (found,) = told(work, "audio")
    assert found.level == "problem" and "2 settings" in found.seen
    run_told(found.mends)
    assert [one.level for one in told(work, "audio")] == ["ok"]


def test_files_of_the_corpus(work: Path, made: Path, tmp_path: Path) -> None:
    """Gone, replaced by another, by a link that leads out: each is told."""
    corpus = tmp_path / "mosei"
    shutil.copytree(made / "mosei", corpus)
    trimodal("prepare", "mosei", corpus, work, "--shard-size", 4, "--seed", 0, "--redo")
    assert [one.level for one in told(work, "media files")] == ["ok"]
    videos = sorted({str(u.video) for u in Workspace(work).utterances})
    (corpus / videos[0]).unlink()
    (corpus / videos[1]).unlink()
    (corpus / videos[1]).symlink_to("/etc/passwd")
    with (corpus / videos[2]).open("ab") as file:
        file.write(b"more")
    gone, changed = told(work, "media files")
    assert gone.level == changed.level == "problem"
    assert gone.seen.startswith("2 files") and changed.seen.startswith("1 files")
    assert told(work, "media files", all_media=True) == [gone, changed]
    assert str(changed.mends).startswith(f"trimodal prepare mosei {corpus} {work}")
    shutil.rmtree(corpus)
    (found,) = told(work, "corpus")
    assert found.level == "problem" and str(corpus) in found.seen
    assert told(work, "media files") == []


def test_a_manifest_that_cannot_be_read(work: Path) -> None:
    content = (work / "manifest.jsonl").read_bytes()
    (work / "manifest.jsonl").write_bytes(content[:-20])
    (found,) = told(work, "manifest")
    assert found.level == "problem" and "prepare mosei" in str(found.mends)
    run_told(found.mends)
    assert (work / "manifest.jsonl").read_bytes() == content
    (work / "manifest.jsonl").write_bytes(b"{}\n")
    assert told(work, "manifest")[0].level == "problem"
    write_table(work / "manifest.jsonl", Table("prepare", {"root": 5, "corpus": "mosei"}, "f"))
    (found,) = told(work, "manifest")
    assert found.level == "problem" and "root" in found.seen


def test_a_selection_of_another_manifest(tiny_corpora: Path, tmp_path: Path) -> None:
    work = tmp_path / "vox"
    trimodal("prepare", "voxceleb2", tiny_corpora / "voxceleb2", work, *OPTIONS[:2])
    assert [one.level for one in told(work, "selection")] == ["note"]
    write_table(work / "select/selected.jsonl", Table("select", {"manifest": "other"}, "f"))
    (found,) = told(work, "selection")
    assert found.level == "problem" and found.mends == f"trimodal select {work}"


def test_a_model_that_is_gone(work: Path, tmp_path: Path) -> None:
    from pipelines.sources import remember

    (tmp_path / "v.txt").write_text("the 1 2\n")
    remember(work, "text", glove=str(tmp_path / "v.txt"))
    assert [one.level for one in told(work, "models, vectors")] == ["ok"]
    (tmp_path / "v.txt").unlink()
    (found,) = told(work, "models, vectors")
    assert found.level == "warning" and "glove of text" in found.seen


def test_what_a_killed_writer_left(work: Path) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfrom pathlib import Path\n"
         "from featurize.atomic import atomic_path\n"
         "with atomic_path(Path(sys.argv[1])) as path:\n"
         "    path.write_bytes(bytes(5000)); print(flush=True); sys.stdin.read()",
         str(work / "features/shard-00000.video.h5")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert killed.stdout is not None and killed.stdout.readline()
    assert told(work, "leftovers") == [], "it is still at work"
    killed.kill()
    killed.communicate()
    (found,) = told(work, "leftovers")
    assert "1 files, 5.0 kB" in found.seen
    subprocess.run(str(found.mends), shell=True, check=True)
    assert told(work, "leftovers") == []


def test_rejects_are_told_with_the_way_to_try_them_again(work: Path) -> None:
    by_stage = {one.seen.partition(":")[0].split(" by ")[1]: one for one in told(work, "rejects")}
    assert by_stage.keys() == {"prepare", "audio"}
    assert str(by_stage["audio"].mends).startswith(f"trimodal retry {work} --stage audio")
    run = str(by_stage["audio"].mends).partition("   #")[0]
    trimodal(*shlex.split(run)[1:], "--jobs", 1)


def test_links_and_doors_in_a_shared_folder(work: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (work / "decode").symlink_to(tmp_path / "elsewhere")
    (found,) = told(work, "links")
    assert found.level == "warning" and str(tmp_path / "elsewhere") in found.seen
    (work / "features").chmod(0o777)
    (found,) = told(work, "permissions")
    assert found.level == "warning" and "chmod -R o-w" in str(found.mends)


def test_what_is_still_to_write_is_counted(work: Path) -> None:
    from pipelines.doctor.needed import bytes_needed

    workspace = Workspace(work)
    without_video = bytes_needed(workspace)
    audio = sorted((work / "features").glob("*.audio.h5"))
    for path in audio[1:]:
        path.unlink()
    more = bytes_needed(workspace) - without_video
    assert more == pytest.approx((workspace.n_shards - 1) * audio[0].stat().st_size)


def test_the_command_prints_it_and_fails(doctor: Callable, work: Path, tmp_path: Path) -> None:
    (work / "features/shard-00000.audio.h5").write_bytes(b"no HDF5")
    (tmp_path / "fake/torch").mkdir(parents=True)  # quicker than the real one
    (tmp_path / "fake/torch/__init__.py").write_text("raise OSError('broken')")
    status, found = doctor(work, first_path=tmp_path / "fake")
    assert status == 1 and found["n_problems"] >= 2
    group = found["groups"][f"Workspace {work}"]
    assert [one["level"] for one in group if one["what"] == "audio"] == ["problem"]
    missing = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "doctor", str(work / "no")],
        capture_output=True, text=True, env={**os.environ}, check=False,
    )  # fmt: skip
    assert missing.returncode == 2 and "trimodal prepare" in missing.stderr


@pytest.mark.parametrize("name", ["$(touch pwned).mp4", "a; touch pwned.mp4", "`touch pwned`", "'"])
def test_commands_to_type_do_not_run_what_a_name_holds(tmp_path: Path, name: str) -> None:
    """They are made to be pasted into a shell."""
    from pipelines.manifest import Utterance
    from pipelines.workspace import create

    utterances = [Utterance("a/b", "s", name, name, end_s=1.0, text="hi")]
    root = tmp_path / f"corpus {name.replace('/', '')}"
    root.mkdir()
    cut = {"shard_size": 4, "seed": 0, "settings": {}}
    create(tmp_path / "w", "mosei", root, utterances, [], **cut)
    (tmp_path / "here").mkdir()
    commands = [one.mends for one in findings(tmp_path / "w") if one.mends]
    assert any(shlex.split(command, comments=True)[-1].endswith(name) for command in commands)
    for command in commands:
        if command.startswith("ls "):
            subprocess.run(command, shell=True, cwd=tmp_path / "here", capture_output=True)
        else:
            quiet = f"trimodal() {{ :; }}; mount() {{ :; }}; {command}"
            subprocess.run(quiet, shell=True, cwd=tmp_path / "here", capture_output=True)
    assert list((tmp_path / "here").iterdir()) == []
