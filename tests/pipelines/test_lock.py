"""Real processes that want the same shards, others, or those of one that was killed."""

import fcntl
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from featurize.errors import LockedError
from pipelines import lock
from pipelines.lock import held

NOBODY = 65534
HOLDER = """
import sys, time
from pathlib import Path
from pipelines.lock import held

folder, name, *shards = sys.argv[1:]
with held(Path(folder), name, [int(s) for s in shards] or None, tell=print):
    print("held", flush=True)
    time.sleep(60)
"""

Hold = Callable[..., subprocess.Popen]


@pytest.fixture
def hold(start, tmp_path: Path) -> Hold:
    """(folder, name, *shards) is a process that holds them until it is killed."""
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)

    def run(*words: object) -> subprocess.Popen:
        child = start(1, script, *words)
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        return child

    return run


def told(folder: Path, name: str, shards: list[int] | None = None) -> list[str]:
    """Takes the lock in this process, and gives it back; what was told of it."""
    texts: list[str] = []
    with held(folder, name, shards, tell=texts.append):
        pass
    return texts


def records(folder: Path) -> list[Path]:
    return sorted((folder / ".locks").glob("*.json"))


def test_the_other_process_is_named_and_nothing_else_is_kept_out(
    hold: Hold, tmp_path: Path
) -> None:
    child = hold(tmp_path, "audio", 2, 3, 4)
    with pytest.raises(LockedError) as caught:
        told(tmp_path, "audio", [0, 3, 9])
    assert f"shard 3 of audio is being made by process {child.pid} on " in str(caught.value)
    assert "audio 2 3 4`, since 20" in str(caught.value) and f"(kill {child.pid})" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert told(tmp_path, "audio", [0, 1, 5, 6]) == []
    assert told(tmp_path, "video", [3]) == []
    with pytest.raises(LockedError, match=r"shard 2 of audio"):
        told(tmp_path, "audio")


def test_a_folder_held_whole(hold: Hold, tmp_path: Path) -> None:
    hold(tmp_path, "report")
    for shards in (None, [0], [123_456_789]):
        with pytest.raises(LockedError, match=r" \(report\) is being made by process \d+ on"):
            told(tmp_path, "report", shards)


def test_a_killed_holder_is_told_of_once_and_holds_nothing(hold: Hold, tmp_path: Path) -> None:
    child = hold(tmp_path, "audio", 2, 3)
    child.kill()
    child.wait()
    assert len(records(tmp_path)) == 1
    (text,) = told(tmp_path, "audio", [3, 4])
    assert f"process {child.pid} on" in text and "ended before it was done" in text
    assert told(tmp_path, "audio", [3, 4]) == []
    assert records(tmp_path) == []


def test_what_is_done_is_given_back(tmp_path: Path) -> None:
    assert told(tmp_path, "audio", [3]) == told(tmp_path, "audio", [3]) == []
    with pytest.raises(ZeroDivisionError), held(tmp_path, "audio", [3], tell=print):
        assert len(records(tmp_path)) == 1
        raise ZeroDivisionError
    assert records(tmp_path) == []


def test_a_record_of_another_machine_says_where_to_end_it(hold: Hold, tmp_path: Path) -> None:
    hold(tmp_path, "audio", 3)
    (path,) = records(tmp_path)
    record = json.loads(path.read_text()) | {"host": "node7", "pid": 4711}
    path.write_text(json.dumps(record))
    with pytest.raises(LockedError, match=r"process 4711 on node7 .*\(ssh node7 kill 4711\)"):
        told(tmp_path, "audio", [3])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}', '{"shards": [[1]]}', "\xff"])
def test_a_damaged_record_is_nobody(
    hold: Hold, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(tmp_path, "audio", 3)
    monkeypatch.setattr(lock, "_NAMED_WITHIN_S", 0.1)
    (path,) = records(tmp_path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LockedError, match=r"\(audio\) is being made by another process"):
        told(tmp_path, "audio", [3])


def test_a_holder_whose_record_is_still_to_come_is_waited_for(hold: Hold, tmp_path: Path) -> None:
    child = hold(tmp_path, "audio", 3)
    (path,) = records(tmp_path)
    hidden = path.rename(path.with_suffix(".later"))
    threading.Timer(0.3, hidden.rename, [path]).start()
    with pytest.raises(LockedError, match=f"by process {child.pid} on"):
        told(tmp_path, "audio", [3])


def test_a_holder_that_is_done_within_a_moment_is_no_obstacle(hold: Hold, tmp_path: Path) -> None:
    child = hold(tmp_path, "audio", 3)
    (path,) = records(tmp_path)
    path.unlink()
    threading.Timer(0.3, child.kill).start()
    assert told(tmp_path, "audio", [3]) == []
    child.wait()


def test_what_killed_commands_were_writing_is_removed(hold: Hold, tmp_path: Path) -> None:
    """Of prepare, too, which writes nothing but its manifest and its lock."""
    child = hold(tmp_path, "prepare")
    host = re.sub(r"\W", "_", socket.gethostname())
    names = (f".manifest.jsonl.{host}-{child.pid}-0.tmp", f".locks/.x.{host}-{child.pid}-0.tmp")
    for name in names:
        (tmp_path / name).write_text("half")
    told(tmp_path, "audio", [0])
    assert all((tmp_path / name).exists() for name in names)  # its writer lives
    child.kill()
    child.wait()
    told(tmp_path, "prepare")
    assert not any((tmp_path / name).exists() for name in names)


def test_a_file_system_without_locks_is_told_and_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is at hand, so the call alone fails as it does there (Lustre without -o flock)."""

    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    (text,) = told(tmp_path, "audio", [3])
    assert "cannot lock (Function not implemented)" in text


@contextmanager
def as_nobody(mode: int) -> Iterator[Path]:
    """An empty folder of this mode, used as one who is not root, whom nothing binds."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        told(Path(name), "video", [3])
        os.chmod(name, mode)
        if is_root := os.geteuid() == 0:
            os.seteuid(NOBODY)
        yield Path(name)
        if is_root:
            os.seteuid(0)
        os.chmod(name, 0o755)


def test_where_nothing_can_be_written_nothing_is_locked() -> None:
    with as_nobody(0o555) as folder:
        assert told(folder, "audio", [3]) == told(folder, "video", [3]) == []
        assert [path.name for path in folder.rglob("*")] == [".locks", "video"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the lock of another user")
def test_a_lock_of_another_user_that_may_not_be_opened_is_told() -> None:
    with as_nobody(0o777) as folder:
        (text,) = told(folder, "video", [3])
    assert "may not be written to: no lock is held" in text


@pytest.fixture
def work(make_exchanged, tmp_path: Path) -> Path:
    """A workspace of three shards, without targets."""
    made = make_exchanged(tmp_path / "work").work
    for path in made.glob("features/*.targets.h5"):
        path.unlink()
    (made / "corpus").mkdir()
    return made


def test_a_stage_waits_for_nobody_and_takes_other_shards(
    hold: Hold, work: Path, trimodal: Callable[..., Result]
) -> None:
    child = hold(work, "targets", 1)
    refused = trimodal("extract", work, "targets", "--preset", "demo", "--jobs", 1)
    assert refused.exit_code == LockedError.exit_code and not list(work.glob("*/*.targets.h5"))
    assert f"shard 1 of targets is being made by process {child.pid} on" in refused.output
    words = ("extract", work, "targets", "--preset", "demo", "--jobs", 1, "--shards")
    assert trimodal(*words, "0,2").exit_code == 0
    child.kill()
    child.wait()
    done = trimodal(*words, ":")
    assert done.exit_code == 0, done.output
    assert "ended before it was done" in done.output
    assert len(list(work.glob("*/*.targets.h5"))) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prepare", ["prepare", "voxceleb2", "{work}/corpus", "{work}"]),
        ("select", ["select", "{work}"]),
        ("train", ["pretrain", "{trainable}", "{work}", "--preset", "demo"]),
        ("train", ["finetune", "{trainable}", "{work}", "--preset", "demo"]),
        ("evaluate", ["evaluate", "{trainable}", "{work}"]),
        ("export", ["export", "webdataset", "{trainable}", "{work}"]),
        ("export", ["export", "lhotse", "{trainable}", "{work}"]),
        ("export out.pkl", ["export", "mmsa", "{trainable}", "{work}/out.pkl"]),
        ("export out", ["export", "kaldi", "{trainable}", "{work}/out"]),
        ("report", ["report", "{work}", "{trainable}"]),
    ],
)
def test_commands_that_make_a_folder_as_a_whole(
    name: str, words: list[str], work: Path, trainable: Path, trimodal: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each asks for its lock: here one that another process has, as far as it can tell."""

    def refuse(*_: object) -> None:
        raise BlockingIOError

    (work / "corpus" / "mp4" / "id1" / "v").mkdir(parents=True)
    (work / "corpus" / "mp4" / "id1" / "v" / "1.mp4").write_bytes(b"x")
    monkeypatch.setattr(fcntl, "lockf", refuse)
    monkeypatch.setattr(lock, "_NAMED_WITHIN_S", 0.0)
    found = trimodal(*(word.format(work=work, trainable=trainable) for word in words))
    assert f" ({name}) is being made by another process" in found.output
    assert found.exit_code == LockedError.exit_code


@pytest.mark.parametrize("words", [["select", "absent"], ["evaluate", "{work}", "absent"]])
def test_a_mistyped_folder_is_not_made(
    words: list[str], work: Path, trimodal: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    assert trimodal(*(word.format(work=work) for word in words)).exit_code != 0
    assert not Path("absent").exists()
