"""Jobs that go piece by piece: any program will do, so these are the shell's own."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

IN_PIECES = Path(__file__).parents[2] / "kaldi_recipes/voxceleb2/local/in_pieces.sh"
COPY = ("cp", "PIECE/feats.scp", "PIECE/out")
# Fails on every list with an utterance called bad..., after it has written something.
FAIL_ON_BAD = ("sh", "-c", "cp PIECE/spk2utt PIECE/out; ! grep -q ^bad PIECE/feats.scp")


@pytest.fixture
def feats(tmp_path) -> Path:
    path = tmp_path / "feats.scp"
    path.write_text("".join(f"utt{i:02d} mfcc.ark:{i}\n" for i in range(20)))
    return path


def in_pieces(n: int, feats: Path, folder: Path, *program: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", IN_PIECES, str(n), feats, folder, *program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def written(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("*/out")))


def test_pieces_together_are_the_list(feats, tmp_path):
    done = in_pieces(6, feats, tmp_path / "job", *COPY)
    assert done.returncode == 0, done.stderr
    sizes = [len(p.read_text().splitlines()) for p in sorted((tmp_path / "job").glob("*/out"))]
    assert sizes == [6, 6, 6, 2]
    assert written(tmp_path / "job") == feats.read_text()
    first = (tmp_path / "job/000000/spk2utt").read_text().splitlines()
    assert first[:2] == ["utt00 utt00", "utt01 utt01"]


@pytest.mark.parametrize("places", [{3}, {0, 19}, {5, 6, 7}])
def test_an_utterance_that_ends_the_program_costs_no_other(feats, tmp_path, places):
    lines = feats.read_text().splitlines()
    names = [line.split()[0] for line in lines]
    bad = [f"bad{i:02d}" if i in places else name for i, name in enumerate(names)]
    feats.write_text("".join(f"{name} x\n" for name in bad))
    done = in_pieces(7, feats, tmp_path / "job", *FAIL_ON_BAD)
    assert done.returncode == 0, done.stderr
    kept = [line.split()[0] for line in written(tmp_path / "job").splitlines()]
    assert kept == [name for i, name in enumerate(names) if i not in places]
    lost = [p.read_text().strip() for p in sorted((tmp_path / "job").glob("*/lost"))]
    assert lost == [bad[i] for i in sorted(places)]
    assert all(name in done.stderr for name in lost)


def test_a_program_that_always_fails_is_told_at_once(feats, tmp_path):
    done = in_pieces(10, feats, tmp_path / "job", "sh", "-c", "echo no such model >&2; exit 1")
    assert done.returncode == 1
    assert "no such model" in done.stderr and "more than 5 utterances" in done.stderr
    missing = in_pieces(10, feats, tmp_path / "other", "no-such-program")
    assert missing.returncode == 1 and "no-such-program" in missing.stderr


def test_another_command_does_not_go_on_with_the_first(feats, tmp_path):
    assert in_pieces(6, feats, tmp_path / "job", *COPY).returncode == 0
    other = in_pieces(6, feats, tmp_path / "job", "cp", "PIECE/spk2utt", "PIECE/out")
    assert other.returncode == 1 and "made by another command" in other.stderr
    assert in_pieces(5, feats, tmp_path / "job", *COPY).returncode == 1


def test_halves_of_a_passing_failure_are_not_counted_twice(feats, tmp_path):
    """The program failed on a piece, one half was done, the job was killed; now it succeeds."""
    half = tmp_path / "job/000000a"
    half.mkdir(parents=True)
    (half / "out").write_text("utt00 mfcc.ark:0\n")
    (half / "done").touch()
    assert in_pieces(6, feats, tmp_path / "job", *COPY).returncode == 0
    assert written(tmp_path / "job") == feats.read_text()


def test_killed_at_random_it_goes_on_and_ends_alike(feats, tmp_path):
    slow = ("sh", "-c", "sleep 0.03; cp PIECE/feats.scp PIECE/out; ! grep -q utt13 PIECE/feats.scp")
    assert in_pieces(2, feats, tmp_path / "unbroken", *slow).returncode == 0
    job = tmp_path / "job"
    command = ["bash", IN_PIECES, "2", feats, job, *slow]
    n_killed = 0
    for delay_s in (0.05, 0.11, 0.17):
        running = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        n_killed += running.poll() is None
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert n_killed
    before = {path: path.stat().st_mtime_ns for path in job.glob("*/done")}
    done = in_pieces(2, feats, job, *slow)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    both = [
        {str(p.relative_to(folder)): p.read_text() for p in folder.glob("*/[olf]*")}
        for folder in (job, tmp_path / "unbroken")
    ]
    assert both[0] == both[1]
