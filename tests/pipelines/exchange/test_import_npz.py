"""Import of one npz an utterance: the same arrays; nothing unpickled, nothing outside."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from featurize.errors import CorpusError
from featurize.shards import ShardReader
from pipelines.exchange.import_npz import NpzSource, find_npz
from pipelines.manifest import Utterance
from pipelines.status import workspace_status
from pipelines.workspace import Workspace, create

WIDTH = 6


@pytest.fixture
def work(make_exchanged, tmp_path: Path) -> Path:
    """A prepared workspace of 12 utterances without video."""
    folder = make_exchanged(tmp_path / "work").work
    for path in (folder / "features").glob("*.video.h5"):
        path.unlink()
    return folder


@pytest.fixture
def folder(work: Path, tmp_path: Path) -> Path:
    """One npz an utterance, beside the workspace."""
    rng = np.random.default_rng(0)
    for i, utterance in enumerate(Workspace(work).utterances):
        path = tmp_path / "openface" / f"{utterance.id}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save = np.savez_compressed if i % 2 else np.savez
        n = int(rng.integers(1, 9))
        save(path, features=rng.normal(size=(n, WIDTH)), times_s=np.arange(n) / 30)
    return tmp_path / "openface"


def run(trimodal: Callable, work: Path, folder: Path, *options: object, modality: str = "video"):
    return trimodal("import", "npz", work, folder, "--modality", modality, "--jobs", 1, *options)


def imported(work: Path, modality: str = "video") -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for path in sorted((work / "features").glob(f"shard-*.{modality}.h5")):
        with ShardReader(path) as shard:
            found |= {i: shard.read(i) for i in shard.ids}
    return found


def test_the_shards_hold_what_the_files_hold(work: Path, folder: Path, trimodal: Callable) -> None:
    (folder / "nobody.npz").write_bytes(b"")
    result = run(trimodal, work, folder)
    assert result.exit_code == 0, result.output
    assert "1 files in it unused" in result.stdout
    found = imported(work)
    assert len(found) == 12
    for utterance_id, there in found.items():
        with np.load(folder / f"{utterance_id}.npz") as file:
            for name in ("features", "times_s"):
                np.testing.assert_array_equal(there[name], file[name].astype(np.float32))
    assert workspace_status(work)["stages"][2]["done"] == 12


def test_unknown_times_are_nan_and_audio_has_a_shift_if_told(
    work: Path, folder: Path, trimodal: Callable
) -> None:
    for path in folder.rglob("*.npz"):
        np.savez(path, features=np.ones((3, WIDTH)))
    assert run(trimodal, work, folder).exit_code == 0
    assert all(np.isnan(arrays["times_s"]).all() for arrays in imported(work).values())
    assert run(trimodal, work, folder, "--hop-s", 0.02).exit_code == 2  # video has times_s
    for options, hours in (((), None), (("--hop-s", 0.02), 12 * 3 * 0.02 / 3600)):
        result = run(trimodal, work, folder, *options, "--redo", modality="audio")
        assert result.exit_code == 0, result.output
        assert workspace_status(work)["hours"] == pytest.approx(hours)
    assert trimodal("status", work).exit_code == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int16, np.uint8]),
        array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5),
    )
)
def test_any_matrix_comes_back(tmp_path: Path, matrix: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", features=matrix)
    with NpzSource(tmp_path).opened() as read:
        found = read(Utterance("a", "s", None, None))["features"]
    assert found.dtype == matrix.dtype
    np.testing.assert_array_equal(found, matrix)


def npy(shape: tuple[int, ...], n_bytes: int, dtype: str = "<f4") -> bytes:
    """An array file that claims ``shape`` and holds ``n_bytes``."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(n_bytes)


def zipped(content: bytes, name: str = "features.npy") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def flipped() -> bytes:
    """A stored array with one other byte than its checksum is of."""
    file = io.BytesIO()
    np.savez(file, features=np.full((1, 6), 0.5, np.float32))
    return file.getvalue().replace(np.float32(0.5).tobytes(), np.float32(0.25).tobytes(), 1)


class _Bomb:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was executed",))


def pickled() -> bytes:
    file = io.BytesIO()
    bomb = np.empty(1, object)
    bomb[0] = _Bomb()
    np.savez(file, features=bomb)
    return file.getvalue()


BAD = {
    "no zip": (b"PK no zip", "cannot be read"),
    "empty": (b"", "cannot be read"),
    "pickle": (pickled(), "features has dtype object"),
    "no features": (zipped(npy((1, 6), 24), "other.npy"), "no array named features"),
    "text": (zipped(npy((1, 6), 24, "|S4")), r"features has dtype \|S4"),
    "flat": (zipped(npy((6,), 24)), r"features is \(6,\), want"),
    "short": (zipped(npy((2, 6), 24)), "which is not what its file holds"),
    "claims much": (zipped(npy((2**40, 6), 24)), "which is not what its file holds"),
    "negative": (zipped(npy((-1, -6), 24)), "which is not what its file holds"),
    "bomb": (zipped(npy((2**20, 6), 2**20)), "which is not what its file holds"),
    "no npy": (zipped(b"no npy at all"), "cannot be read"),
    "code": (zipped(b"\x93NUMPY\x01\x00\x0f\x00__import__('x')"), "cannot be read"),
    "truncated": (zipped(npy((1, 6), 24))[:-30], "cannot be read"),
    "flipped": (flipped(), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_costs_one_utterance(
    name: str, work: Path, folder: Path, trimodal: Callable
) -> None:
    content, reason = BAD[name]
    utterance = Workspace(work).utterances[0]
    (folder / f"{utterance.id}.npz").write_bytes(content)
    result = run(trimodal, work, folder)
    assert result.exit_code == 0, result.output
    (reject,) = [json.loads(line) for line in (work / "rejects.jsonl").open()
                 if '"video"' in line]  # fmt: skip
    assert reject["id"] == utterance.id
    with pytest.raises(CorpusError, match=reason), NpzSource(folder).opened() as read:
        read(utterance)
    assert len(imported(work)) == 11


def test_ids_and_links_do_not_lead_out_of_the_folder(
    work: Path, folder: Path, tmp_path: Path, trimodal: Callable
) -> None:
    np.savez(tmp_path / "secret.npz", features=np.ones((1, WIDTH)))
    linked, removed = Workspace(work).utterances[:2]
    (folder / f"{linked.id}.npz").unlink()
    (folder / f"{linked.id}.npz").symlink_to(tmp_path / "secret.npz")
    (folder / f"{removed.id}.npz").unlink()
    assert run(trimodal, work, folder, "--max-reject-share", 0.5).exit_code == 0
    assert imported(work).keys() == {u.id for u in Workspace(work).utterances[2:]}
    reasons = {r["id"]: r["reason"] for r in map(json.loads, (work / "rejects.jsonl").open())
               if r["stage"] == "video"}  # fmt: skip
    assert reasons[linked.id] == "its .npz leads out of the folder"
    assert reasons[removed.id] == "no .npz file"
    with NpzSource(folder).opened() as read:
        for utterance_id in ("../secret", str(tmp_path / "secret"), "a\0b"):
            with pytest.raises(CorpusError, match="leads out of the folder"):
                read(Utterance(utterance_id, "s", None, None))


def test_width_times_and_empty_files_are_checked(
    work: Path, folder: Path, trimodal: Callable
) -> None:
    wide, empty, timed = Workspace(work).utterances[:3]
    np.savez(folder / f"{wide.id}.npz", features=np.ones((2, 7)))
    np.savez(folder / f"{empty.id}.npz", features=np.ones((0, WIDTH)))
    np.savez(folder / f"{timed.id}.npz", features=np.ones((2, WIDTH)), times_s=np.ones((2, 2)))
    assert run(trimodal, work, folder, "--max-reject-share", 0.5).exit_code == 0
    reasons = {r["id"]: r["reason"] for r in map(json.loads, (work / "rejects.jsonl").open())
               if r["stage"] == "video"}  # fmt: skip
    assert reasons[wide.id] == "features of width 7, most others have 6"
    assert reasons[empty.id] == "no row of features"
    assert reasons[timed.id] == "times_s is (2, 2), video of 2 rows wants (2,)"


def test_resume_goes_by_content(work: Path, folder: Path, trimodal: Callable) -> None:
    assert run(trimodal, work, folder).exit_code == 0
    copy = folder.with_name("copy")
    folder.rename(copy)  # neither the name nor the time of a file decides anything
    for path in copy.rglob("*.npz"):
        path.touch()
    assert "3 of them already there" in run(trimodal, work, copy).stdout
    path = copy / f"{Workspace(work).utterances[0].id}.npz"
    with np.load(path) as file:
        features = file["features"]
        np.savez(path, features=features + 1, times_s=file["times_s"])  # the very same size
    stale = run(trimodal, work, copy)
    assert stale.exit_code == 2 and "files_xxh3" in stale.output
    assert run(trimodal, work, copy, "--redo").exit_code == 0
    found = imported(work)[Workspace(work).utterances[0].id]["features"]
    np.testing.assert_array_equal(found, (features + 1).astype(np.float32))


def test_a_folder_without_any_is_told_what_is_expected(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    result = run(trimodal, work, tmp_path / "none")
    assert result.exit_code == 2 and "no such folder" in result.output
    (tmp_path / "empty").mkdir()
    result = run(trimodal, work, tmp_path / "empty")
    assert result.exit_code == 2 and "expected names such as" in result.output


def test_looking_reads_no_array(work: Path, folder: Path) -> None:
    seen: list[int] = []
    found, n_unused = find_npz(folder, Workspace(work), "audio", 0.01, seen.append)
    assert (found.width, n_unused, sum(seen)) == (WIDTH, 0, 12)
    assert found.config["hop_s"] == 0.01 and found.config["imported_from"] == "npz"


def test_an_id_longer_than_a_file_name_costs_one_utterance(tmp_path: Path) -> None:
    ids = ["a", "x" * 300]
    utterances = [Utterance(i, "s", "a.wav", None, text="hi") for i in ids]
    cut = {"shard_size": 4, "seed": 0, "settings": {}}
    create(tmp_path / "w", "mosei", tmp_path, utterances, [], **cut)
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz/a.npz", features=np.ones((3, 2)))
    folder, workspace = tmp_path / "npz", Workspace(tmp_path / "w")
    found, n_unused = find_npz(folder, workspace, "video", None, lambda _: None)
    assert (found.width, n_unused) == (2, 0)
    with found.source.opened() as read, pytest.raises(CorpusError, match="npz"):
        read(utterances[1])
