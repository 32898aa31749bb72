"""The log and TensorBoard's curves, read back by TensorBoard itself."""

import json
from dataclasses import replace
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model import checkpoint
from model.run_log import RunLog
from model.run_state import State


def epoch(number: int) -> dict:
    return {"epoch": number, "step": 40 * number, "train_loss": 3 / number, "dev_cer": None}


def points(*steps: int) -> list[dict]:
    return [{"step": step, "step_loss": 1 / step} for step in steps]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(run / checkpoint.CURVES), purge_orphaned_data=False)
    read.Reload()
    tags = read.Tags()["scalars"]
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in tags}


def test_every_point_is_told_once_though_the_run_was_killed(tmp_path: Path) -> None:
    state = State(lines=[epoch(1)], points=points(20, 40))
    log = RunLog(tmp_path, state)
    state.points.extend(points(60, 80))
    log.draw()
    log.write()
    # Killed here; its checkpoint was older than what it had drawn.
    state = State(lines=[epoch(1)], points=points(20, 40, 60))
    again = RunLog(tmp_path, state)
    state.points.append(points(80)[0])
    state.lines.append(epoch(2))
    again.draw()
    again.draw()
    again.write()
    again.close()
    found = curves(tmp_path)
    assert [step for step, _ in found["step/loss"]] == [20, 40, 60, 80]
    assert found["train/loss"] == [(40, 3.0), (80, 1.5)]
    assert found.keys() == {"step/loss", "train/loss"}
    lines = (tmp_path / checkpoint.LOG).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [epoch(1), epoch(2)]


def test_redo_takes_the_curves_away(tmp_path: Path) -> None:
    checkpoint.begin_run(tmp_path, {"seed": 0}, redo=False)
    RunLog(tmp_path, replace(State(), points=points(20))).close()
    assert curves(tmp_path)
    checkpoint.begin_run(tmp_path, {"seed": 0}, redo=True)
    assert not (tmp_path / checkpoint.CURVES).exists()
