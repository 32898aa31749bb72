"""What processes tell each other, with two real ones; and which device each has."""

import json
from pathlib import Path

import pytest
import torch

from featurize.errors import TrainError, UsageError
from model.world import World, choose_device

CHILD = """
import json, os, sys
import torch
from featurize.errors import ShardError, TrainError, UsageError
from model.world import open_world

def refuse():
    raise UsageError("no such")

out, what = sys.argv[1:]
with open_world(torch.device("cpu")) as world:
    told = {"sum": world.sum({"a": 0.1 * (world.rank + 1), "b": 2})}
    told["gather"] = world.gather({"id": "\\u00fa" * (1 + 9 * world.rank), "x": None, "y": 0.1})
    tensor = torch.full((2,), float(world.rank + 1))
    world.add_up(tensor)
    told["added"] = tensor.tolist()
    told["first"] = world.first(lambda: [os.getpid(), "x"])
    told["pid"] = os.getpid()
    try:
        with world.together():
            if world.rank == 1:
                raise ShardError("shard-00001 is damaged")
    except Exception as error:
        told["error"] = [type(error).__name__, str(error)]
    try:
        world.first(refuse)
    except Exception as error:
        told["refused"] = [type(error).__name__, str(error)]
    with open(f"{out}/{world.rank}.json", "w") as file:
        json.dump(told, file)
    if what == "lose" and world.rank == 1:
        os.kill(os.getpid(), 9)
    world.sum({"a": 1})
"""


def test_alone_everything_is_as_it_is() -> None:
    world = World()
    tensor = torch.ones(2)
    world.add_up(tensor)
    assert tensor.tolist() == [1, 1] and world.is_first
    assert world.sum({"a": 0.1}) == {"a": 0.1} and world.gather("x") == ["x"]
    assert world.first(lambda: 3) == 3
    with pytest.raises(TrainError, match="^mine$"), world.together():
        raise TrainError("mine")


def run(start, tmp_path: Path, what: str) -> tuple[int, str]:
    (tmp_path / "child.py").write_text(CHILD)
    child = start(2, tmp_path / "child.py", tmp_path, what)
    output, _ = child.communicate(timeout=120)
    return child.returncode, output


@pytest.mark.slow
def test_two_processes(start, tmp_path: Path) -> None:
    code, output = run(start, tmp_path, "")
    assert code == 0, output
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for told in (first, second):
        assert told["sum"] == {"a": pytest.approx(0.3, abs=1e-15), "b": 4}
        assert [one["id"] for one in told["gather"]] == ["\u00fa", "\u00fa" * 10]
        assert told["gather"][0]["x"] is None and told["gather"][0]["y"] == 0.1
        assert told["added"] == [3, 3]
        assert told["first"] == [first["pid"], "x"]
    assert first["error"] == ["TrainError", "process 1 of 2: shard-00001 is damaged"]
    assert second["error"] == ["ShardError", "shard-00001 is damaged"]
    assert first["refused"] == ["UsageError", "no such"]
    assert second["refused"] == ["TrainError", "process 0 of 2: no such"]


@pytest.mark.slow
def test_a_lost_process_is_told(start, tmp_path: Path) -> None:
    told = False
    for _ in range(3):  # on a busy machine torchrun may end the other one before it can say so
        code, output = run(start, tmp_path, "lose")
        assert code != 0
        told = told or "TrainError: another process of this training is gone" in output
        if told:
            break
    assert told, output


def test_devices(monkeypatch) -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UsageError, match="must be auto, cpu or cuda"):
        choose_device("mps")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="sees no GPU"):
            choose_device("cuda")
