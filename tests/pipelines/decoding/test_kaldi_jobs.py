"""Programs one after the other: how each ended is known, here and through a job's script."""

import subprocess
from pathlib import Path

import pytest

from featurize.errors import ModelError, UsageError
from pipelines.decoding.kaldi_jobs import Ran, Step, run_steps
from pipelines.decoding.kaldi_logs import complaint_about
from pipelines.decoding.kaldi_programs import KaldiPrograms, kaldi_version

# Stands where run.pl would: a log's name, then the command's words joined for a shell.
LAUNCHER = '#!/bin/bash\nlog=$1; shift; exec bash -c "$*" >"$log" 2>&1\n'
WARNING = (
    "WARNING (gmm-latgen[5.5.1]:main():x.cc:12) Failed to decode utterance with id u1, sorry\n"
)


def program(folder: Path, name: str, body: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.fixture(params=["here", "launched"])
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "here":
        return []
    path = tmp_path / "launch it.pl"
    path.write_text(LAUNCHER)
    path.chmod(0o755)
    return [str(path)]


def test_steps_run_in_order_in_the_folder(tmp_path: Path, launcher: list[str]) -> None:
    folder = tmp_path / "odd $(x) 'name"
    program(folder, "one", "echo said $*; echo 1 > made")
    program(folder, "two", "cat made; exit 1")
    steps = [Step("one", ["--scale=0.7", "ark,t:wav.scp"]), Step("two", [])]
    ran = run_steps(folder, steps, launcher)
    assert ran == [Ran("one", 0, "said --scale=0.7 ark,t:wav.scp\n"), Ran("two", 1, "1\n")]
    assert not any(step.is_dead for step in ran)


@pytest.mark.parametrize(
    "body, end",
    [
        ("kill -ABRT $$", "died of signal 6"),
        ("kill -KILL $$", "died of signal 9"),
        ("echo 'ERROR (x[5.5]:f():y.cc:1) no such file'; exit 255", "failed (255): no such file"),
    ],
)
def test_a_program_that_dies_ends_the_steps_and_is_named(
    tmp_path: Path, launcher: list[str], body: str, end: str
) -> None:
    program(tmp_path, "one", body)
    program(tmp_path, "two", "touch ran")
    ran = run_steps(tmp_path, [Step("one", []), Step("two", [])], launcher)
    assert [step.program for step in ran] == ["one"] and ran[0].is_dead
    assert ran[0].complaint.startswith(f"one {end}")
    assert not (tmp_path / "ran").exists()


def test_a_job_that_vanishes_is_dead(tmp_path: Path) -> None:
    program(tmp_path, "one", "echo begun; kill -KILL $PPID")
    program(tmp_path, "launch", LAUNCHER.partition("\n")[2])
    ran = run_steps(tmp_path, [Step("one", [])], [str(tmp_path / "bin/launch")])
    assert ran[0].is_dead and "lost with its job: begun" in ran[0].complaint


def test_a_launcher_that_starts_nothing_is_an_error(tmp_path: Path) -> None:
    program(tmp_path, "launch", "echo no such queue >&2; exit 1")
    with pytest.raises(ModelError, match="started nothing: no such queue"):
        run_steps(tmp_path, [Step("one", [])], [str(tmp_path / "bin/launch")])


def test_a_word_that_a_shell_would_read_otherwise_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be handed to a job"):
        run_steps(tmp_path, [Step("one", ["$(touch x)"])], ["launch"])


def test_the_reason_is_the_warning_about_the_utterance() -> None:
    assert complaint_about("u1", WARNING) == "Failed to decode utterance with id, sorry"
    assert complaint_about("u11", WARNING) is None


def test_programs_are_found_below_the_root_and_else_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KALDI_ROOT", raising=False)
    program(tmp_path, "lattice-x", "echo 'ERROR (lattice-x[5.5.7~1-ab]:Read():p.cc:9) no' >&2")
    found = KaldiPrograms.of(str(tmp_path)).program("lattice-x")
    assert found == tmp_path / "bin/lattice-x" and kaldi_version(found) == "5.5.7~1-ab"
    monkeypatch.setenv("KALDI_ROOT", str(tmp_path))
    assert KaldiPrograms.of(None).program("lattice-x") == found
    monkeypatch.delenv("KALDI_ROOT")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert KaldiPrograms.of(None).program("lattice-x") == found
    with pytest.raises(ModelError, match=r"no program nnet3-y on the PATH.*KALDI_ROOT"):
        KaldiPrograms.of(None).program("nnet3-y")
    with pytest.raises(ModelError, match="no such folder"):
        KaldiPrograms.of(str(tmp_path / "no"))


def test_a_launcher_is_found_on_the_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "run.pl", "exit")
    monkeypatch.delenv("KALDI_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    path = str(tmp_path / "bin/run.pl")
    assert KaldiPrograms.of(None).launcher_of("run.pl --mem '1 G'") == [path, "--mem", "1 G"]
    assert KaldiPrograms.of(None).launcher_of(None) == []


def test_the_real_run_pl_takes_the_steps(tmp_path: Path, kaldi_root: Path) -> None:
    folder = tmp_path / "it is"
    program(folder, "one", "echo said $*")
    launcher = KaldiPrograms.of(str(kaldi_root)).launcher_of("run.pl --mem 1G")
    assert subprocess.run(["perl", "-v"], capture_output=True).returncode == 0
    assert run_steps(folder, [Step("one", ["a,b"])], launcher) == [Ran("one", 0, "said a,b\n")]


def test_an_empty_or_unfinished_command_is_a_usage_error(tmp_path: Path) -> None:
    for command in ("", "run.pl 'x"):
        with pytest.raises(UsageError, match="--kaldi-cmd"):
            KaldiPrograms(tmp_path).launcher_of(command)
