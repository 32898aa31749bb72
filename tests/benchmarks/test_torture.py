"""The torture can fail: it sees what is cut, changed, gone or left behind."""

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from benchmarks.torture.__main__ import alone
from benchmarks.torture.files import (
    differing_bytes,
    digests,
    half_files,
    shards,
    temporary_files,
)
from benchmarks.training_data import write_features
from featurize.atomic import is_running
from pipelines.manifest import Table, write_table


def test_each_stage_has_a_process_of_its_own_that_ends_with_it() -> None:
    pids = [alone(os.getpid) for _ in range(2)]
    assert len({os.getpid(), *pids}) == 3
    assert not any(map(is_running, pids))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each kind that stages write."""
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(folder / "face.png")
    np.savez(folder / "predictions.npz", scores=noise)
    save_file({"weights": torch.ones(50)}, folder / "best.safetensors")
    torch.save({"weights": torch.ones(50)}, folder / "checkpoint.pt")
    (folder / "index.html").write_text("<html>\n<p>report\n</html>\n")
    (folder / "done.json").write_text('{"wa": 0.5}\n')
    with tarfile.open(folder / "shard-000000.tar", "w") as tar:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 700
        tar.addfile(entry, io.BytesIO(b"x" * 700))
    settings = {"root": "/corpus", "corpus": "voxceleb2", "shard_size": 2}
    rows = [
        {"id": name, "speaker": "id1", "audio": f"{name}.m4a", "video": None} for name in ("a", "b")
    ]
    write_table(folder / "manifest.jsonl", Table("prepare", settings, "0", rows))
    write_features(folder, 3)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_whole_files_are_not_complained_of(whole: Path) -> None:
    suffixes = {path.suffix for path in whole.iterdir()}
    assert suffixes == {
        ".h5", ".html", ".json", ".jsonl", ".npz", ".png", ".pt", ".safetensors", ".tar"
    }  # fmt: skip
    assert half_files(whole) == temporary_files(whole) == []
    assert differing_bytes(whole, digests(whole)) == ([], 0)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_file_cut_anywhere_is_half_a_file(
    whole: Path, tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in whole.iterdir())))
    content = (whole / name).read_bytes()
    end = len(content.rstrip(b"\n\0"))  # a tar's last blocks of zeros may be missing
    (tmp_path / name).write_bytes(content[: data.draw(st.integers(0, end - 1))])
    found = half_files(tmp_path)
    (tmp_path / name).unlink()
    assert [problem.partition(":")[0] for problem in found] == [name]


@pytest.mark.parametrize("how", ["changed", "gone", "new"])
def test_what_differs_is_named(copy: Path, how: str) -> None:
    wanted, path = digests(copy), copy / "predictions.npz"
    if how == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif how == "gone":
        path.unlink()
    else:
        path = copy / "other.json"
        path.write_text("{}")
    names, n_bytes = differing_bytes(copy, wanted)
    assert names == [path.name] and n_bytes > 0


def test_shards_that_are_gone_and_leftovers_are_seen(copy: Path) -> None:
    before = shards(copy)
    (copy / "shard-000000.tar").unlink()
    leftover = copy / ".shard-000000.audio.h5.host-1.tmp"
    leftover.write_bytes(b"")
    assert before - shards(copy) == {"shard-000000.tar"}
    assert temporary_files(copy) == [leftover]
    assert leftover.name not in shards(copy)
