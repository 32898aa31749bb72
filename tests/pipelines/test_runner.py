"""Shards as units of work: resume by content, stale results, losses, dead workers."""

import functools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from featurize.atomic import is_running
from featurize.errors import MediaError, StageError, StaleError
from featurize.shards import ShardWriter
from pipelines.backends import Loky
from pipelines.manifest import Reject, Table, Utterance, write_table
from pipelines.runner import Outcome, Unit, reason_of, run_stage


def units(
    folder: Path, *, config: dict | None = None, key: str = "f", suffix: str = "jsonl"
) -> list[Unit]:
    config = config or {"fps": 1.0}
    return [
        Unit(k, folder / f"shard-{k:05d}.{suffix}", f"{key}{k}", config, folder, utterances(k))
        for k in range(4)
    ]


def utterances(shard: int) -> list[Utterance]:
    return [Utterance(f"s{shard}/{i}", "s", f"{i}.m4a", None) for i in range(3)]


def write_rows(log: Path, unit: Unit) -> Outcome:
    """Keeps the first two utterances, rejects the third; notes that it was called."""
    with log.open("a") as lines:
        lines.write(f"{unit.shard}\n")
    rows = [{"id": u.id, "words": [], "scores": {}} for u in unit.utterances[:2]]
    rejects = [Reject(unit.utterances[2].id, "decode", "no sound")]
    write_table(unit.output, Table("decode", unit.config, unit.fingerprint, rows, rejects))
    return Outcome(len(rows), ["no sound"])


def die(unit: Unit) -> Outcome:
    os._exit(9)


def run(these: list[Unit], work, *, redo: bool = False, jobs: int = 1, share: float = 0.5):
    return run_stage(
        "decode", these, work, backend=Loky(jobs), redo=redo, max_reject_share=share,
        progress=lambda _: None,
    )  # fmt: skip


def test_done_shards_are_skipped_and_their_rejects_still_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    work = functools.partial(write_rows, log)
    first = run(units(tmp_path), work)
    assert (first.n_done, first.n_rejected, first.n_resumed) == (8, 4, 0)
    before = {u.output: u.output.read_bytes() for u in units(tmp_path)}
    second = run(units(tmp_path), work)
    assert (second.n_done, second.n_rejected, second.n_resumed) == (8, 4, 4)
    assert second.reasons == first.reasons
    assert log.read_text().split() == ["0", "1", "2", "3"]
    assert {u.output: u.output.read_bytes() for u in units(tmp_path)} == before


def test_missing_truncated_and_flipped_shards_are_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    work = functools.partial(write_rows, log)
    run(units(tmp_path), work)
    these = units(tmp_path)
    good = [u.output.read_bytes() for u in these]
    these[0].output.unlink()
    these[1].output.write_bytes(good[1][:-5])
    these[2].output.write_bytes(good[2].replace(b"s2/0", b"s2/9", 1))
    log.unlink()
    run(these, work)
    assert sorted(log.read_text().split()) == ["0", "1", "2"]
    assert [u.output.read_bytes() for u in these] == good


def test_a_damaged_hdf5_shard_is_made_again(tmp_path: Path) -> None:
    unit = units(tmp_path, suffix="h5")[0]

    def work(unit: Unit) -> Outcome:
        fields = {"features": ((4,), "float32")}
        with ShardWriter(
            unit.output, modality="audio", fields=fields, config=unit.config,
            fingerprint=unit.fingerprint, tools={},
        ) as writer:  # fmt: skip
            writer.add("a", {"features": np.full((50, 4), np.pi)})
        return Outcome(1, [])

    run([unit], work)
    good = unit.output.read_bytes()
    assert run([unit], work).n_resumed == 1
    position = good.index(np.float32(np.pi).tobytes()) + 1
    unit.output.write_bytes(good[:position] + b"\0" + good[position + 1 :])
    assert run([unit], work).n_resumed == 0
    assert unit.output.read_bytes() == good


def test_another_setting_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    log = tmp_path / "log"
    work = functools.partial(write_rows, log)
    run(units(tmp_path), work)
    changed = units(tmp_path, config={"fps": 2.0}, key="g")
    with pytest.raises(StaleError, match=r"fps=1.0, now 2.0.*--redo"):
        run(changed, work)
    assert len(log.read_text().split()) == 4
    run(changed, work, redo=True)
    assert len(log.read_text().split()) == 8
    with pytest.raises(StaleError, match="other input"):
        run(units(tmp_path, config={"fps": 2.0}, key="h"), work)


def test_redo_tries_again_what_was_rejected_and_only_that(tmp_path: Path) -> None:
    """The disk was not mounted, say: the same settings, another outcome."""
    log = tmp_path / "log"
    work = functools.partial(write_rows, log)
    run(units(tmp_path), work)
    mended = units(tmp_path)[0]
    rows = [{"id": u.id, "words": [], "scores": {}} for u in mended.utterances]
    write_table(mended.output, Table("decode", mended.config, mended.fingerprint, rows))
    log.unlink()
    run(units(tmp_path), work, redo=True)
    assert sorted(log.read_text().split()) == ["1", "2", "3"]


def test_too_many_rejects_fail_the_stage_and_say_why(tmp_path: Path) -> None:
    work = functools.partial(write_rows, tmp_path / "log")
    with pytest.raises(StageError, match=r"4 of 12 .*no sound.*rejects.jsonl"):
        run(units(tmp_path), work, share=0.3)
    assert all(u.output.is_file() for u in units(tmp_path))


def test_workers_that_die_are_an_error_not_a_hang(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"died again and again, also alone, on shard-0.* \.\.\."):
        run(units(tmp_path), die, jobs=2)


def kill_once(log: Path, unit: Unit) -> Outcome:
    """The worker that makes shard 1 is killed, the first time, as by the OOM killer."""
    mark = log.with_name("killed")
    if unit.shard == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write_rows(log, unit)


def test_a_worker_killed_once_costs_nothing(tmp_path: Path, capfd) -> None:
    summary = run(units(tmp_path), functools.partial(kill_once, tmp_path / "log"), jobs=2)
    assert (tmp_path / "killed").exists() and (summary.n_done, summary.n_rejected) == (8, 4)
    assert capfd.readouterr().err.count("note: a worker process died") == 1
    assert not list(tmp_path.glob(".*"))


def kill_on_shard_0(log: Path, unit: Unit) -> Outcome:
    if unit.shard == 0:
        os._exit(9)
    return write_rows(log, unit)


def test_a_shard_that_kills_its_worker_is_named_and_all_others_are_made(tmp_path: Path) -> None:
    work = functools.partial(kill_on_shard_0, tmp_path / "log")
    with pytest.raises(StageError, match=r"again, also alone, on shard-00000.jsonl \("):
        run(units(tmp_path), work, jobs=2)
    assert [u.output.is_file() for u in units(tmp_path)] == [False, True, True, True]


LONG_STAGE = """
import os, sys, time
from pathlib import Path
from pipelines.backends import Loky

def work(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(Loky(2).map(work, [Path(sys.argv[1])] * 2))
"""


def test_workers_end_with_a_command_that_is_killed(start, tmp_path: Path) -> None:
    script = tmp_path / "stage.py"
    script.write_text(LONG_STAGE)
    (folder := tmp_path / "pids").mkdir()
    child = start(1, script, folder)
    wait_for(lambda: len(list(folder.iterdir())) == 2)
    child.kill()
    wait_for(lambda: not any(is_running(int(path.name)) for path in folder.iterdir()))


def wait_for(is_so) -> None:
    deadline_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_reasons_carry_no_paths() -> None:
    utterance = Utterance("a/1", "a", "aac/a/1.m4a", "mp4/a/1.mp4")
    root = Path("/corpus")
    for message in (
        "/corpus/aac/a/1.m4a: has no audio stream",
        "1.mp4: has no audio stream",
        "a/1: has no audio stream",
    ):
        assert reason_of(MediaError(message), root, utterance) == "has no audio stream"


def test_other_settings_than_the_other_shards_are_refused(tmp_path: Path) -> None:
    """One shard is missing (damaged, deleted); made with other settings it would be a mixture."""
    log = tmp_path / "log"
    work = functools.partial(write_rows, log)
    run(units(tmp_path), work)
    units(tmp_path)[1].output.unlink()
    other = units(tmp_path, config={"fps": 2.0}, key="g")[1]
    with pytest.raises(StaleError, match=r"shard-0.* fps=1.0, now 2.0; make all shards"):
        run([other], work)
    assert not other.output.exists()
    run([other], work, redo=True)
    assert other.output.exists()


kept: list[np.ndarray] = []  # in a worker process, as a model that was loaded


def load_a_model(_: object) -> int:
    kept.append(np.ones(50_000_000))  # 400 MB
    time.sleep(1.1)  # loky measures once a second
    return os.getpid()


def test_a_worker_that_loads_a_model_is_not_taken_for_a_leak() -> None:
    assert len(set(Loky(2).map(load_a_model, range(5)))) == 2
