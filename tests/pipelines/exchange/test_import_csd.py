"""Import of computational sequences: rows by time, equal to the SDK's own; nothing trusted."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.shards import ShardReader
from pipelines.exchange.import_csd import _cut, find_csd
from pipelines.manifest import Utterance
from pipelines.status import workspace_status
from pipelines.workspace import Workspace

HOP_S = 0.01
Content = dict[str, tuple[np.ndarray, np.ndarray]]  # entry -> features, intervals


def content(n_rows: int = 210, width: int = 5) -> Content:
    """Three recordings at 100 rows a second, a little longer than their utterances."""
    rng = np.random.default_rng(0)
    starts = np.arange(n_rows) * HOP_S
    intervals = np.stack([starts, starts + HOP_S], axis=1)
    return {
        f"rec{i}": (rng.normal(size=(n_rows, width)).astype(np.float32), intervals)
        for i in range(3)
    }


def write_csd(path: Path, entries: Content, root: str = "COVAREP") -> Path:
    with h5py.File(path, "w") as file:
        for name, (features, intervals) in entries.items():
            file[f"{root}/data/{name}/features"] = features
            file[f"{root}/data/{name}/intervals"] = intervals
        for key in ("root name", "dataset name"):
            file[f"{root}/metadata/{key}"] = np.array([f"the {key}"], h5py.string_dtype())
    return path


def imported(work: Path, modality: str = "audio") -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for path in sorted((work / "features").glob(f"shard-*.{modality}.h5")):
        with ShardReader(path) as shard:
            found |= {i: shard.read(i) for i in shard.ids}
    return found


def run(trimodal: Callable, work: Path, csd: Path, *options: object, modality: str = "audio"):
    return trimodal("import", "csd", work, csd, "--modality", modality, "--jobs", 1, *options)


@pytest.fixture
def work(make_exchanged, tmp_path: Path) -> Path:
    """A prepared workspace: 12 utterances of 0.5 s, end to end in three recordings of 2 s."""
    folder = make_exchanged(tmp_path / "work").work
    for path in (folder / "features").glob("*.h5"):
        if ".targets." not in path.name:
            path.unlink()
    return folder


def expected(work: Path, entries: Content) -> dict[str, tuple[list[int], Utterance]]:
    """By the rule, row by row: the rows of each utterance."""
    rows = {}
    for u in Workspace(work).utterances:
        intervals = entries[u.recording][1]
        middles = [(start + end) / 2 for start, end in intervals.tolist()]
        inside = [k for k, m in enumerate(middles) if u.recording_start_s <= m < u.recording_end_s]
        rows[u.id] = inside, u
    return rows


@pytest.mark.parametrize("modality", ["audio", "video", "text"])
def test_rows_go_to_the_utterance_that_holds_their_middle(
    work: Path, tmp_path: Path, trimodal: Callable, modality: str
) -> None:
    entries = content()
    csd = write_csd(tmp_path / "a.csd", entries)
    result = run(trimodal, work, csd, modality=modality)
    assert result.exit_code == 0, result.output
    assert f"from {csd}; 0 values of 0 utterances were not finite" in result.stdout
    found = imported(work, modality)
    for utterance_id, (rows, u) in expected(work, entries).items():
        features, intervals = (array[rows] for array in entries[u.recording])
        assert len(rows) == 50
        assert found[utterance_id]["features"].dtype == np.float32
        np.testing.assert_array_equal(found[utterance_id]["features"], features)
        times_s = (intervals - u.recording_start_s).astype(np.float32)
        if modality == "audio":
            assert found[utterance_id].keys() == {"features"}
        else:
            np.testing.assert_array_equal(
                found[utterance_id]["times_s"], times_s if modality == "text" else times_s[:, 0]
            )
    with ShardReader(work / "features" / f"shard-00000.{modality}.h5") as shard:
        assert shard.tools["csd"] == {
            "root name": "the root name",
            "dataset name": "the dataset name",
        }
        assert shard.config["imported_from"] == "csd" and shard.config["file_name"] == "a.csd"
        assert shard.config.get("hop_s") == (HOP_S if modality == "audio" else None)


borders = st.lists(st.integers(1, 300), min_size=2, max_size=6, unique=True).map(sorted)
rows_at = st.lists(
    st.tuples(st.floats(0, 4, allow_nan=False), st.floats(0, 1, allow_nan=False)), max_size=40
)


@given(borders, rows_at)
def test_neighbours_share_no_row_and_lose_none(cuts: list[int], rows: list) -> None:
    cuts_s = [cut / 100 for cut in cuts]
    intervals = np.array([(s, s + length) for s, length in rows]).reshape(-1, 2)
    features = np.arange(len(rows), dtype=np.float32)[:, None]
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file["data/v/features"], file["data/v/intervals"] = features, intervals
        taken = []
        for start_s, end_s in zip(cuts_s, cuts_s[1:], strict=False):
            u = Utterance("v/1", "s", None, None, recording="v", recording_start_s=start_s,
                          recording_end_s=end_s)  # fmt: skip
            try:
                cut = _cut(file["data"], {"v": ["v"]}, u, "text")
            except Exception as error:
                assert "no row of features" in str(error)
                continue
            taken += cut["features"][:, 0].astype(int).tolist()
            starts = cut["times_s"][:, 0]
            assert (np.diff(starts) >= 0).all()
    middles = intervals.mean(axis=1)
    inside = np.flatnonzero((middles >= cuts_s[0]) & (middles < cuts_s[-1]))
    assert sorted(taken) == inside.tolist()


def test_infinite_values_become_zero_and_are_counted(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    entries = content()
    features = entries["rec1"][0].astype(np.float64)
    features[3, 0], features[4, 1], features[60, 2] = -np.inf, np.nan, 1e300
    entries["rec1"] = features, entries["rec1"][1]
    result = run(trimodal, work, write_csd(tmp_path / "a.csd", entries))
    assert "3 values of 2 utterances were not finite and are 0" in result.stdout
    first, second = (
        next(u for u in Workspace(work).utterances
             if (u.recording, u.recording_start_s) == ("rec1", start_s))
        for start_s in (0.0, 0.5)
    )  # fmt: skip
    found = imported(work)
    assert found[first.id]["features"][3, 0] == found[first.id]["features"][4, 1] == 0
    assert found[second.id]["features"][10, 2] == 0
    rest = np.delete(found[first.id]["features"], [3, 4], axis=0)
    np.testing.assert_array_equal(rest, np.delete(features[:50], [3, 4], axis=0).astype(np.float32))
    with ShardReader(work / "features" / "shard-00000.audio.h5") as shard:
        counts = dict(zip(shard.ids, shard.columns["n_replaced"].tolist(), strict=True))
        assert {u.id: counts[u.id] for u in (first, second) if u.id in counts} == {
            u.id: n for u, n in ((first, 2), (second, 1)) if u.id in counts
        }


def test_aligned_parts_and_rows_out_of_order_are_put_by_time(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    """``rec0[7]`` may lie anywhere: only times count, never the number."""
    whole = content()
    order = np.random.default_rng(1).permutation(210)
    parts: Content = {"rec2": whole["rec2"]}
    for i, chunk in enumerate(np.array_split(order, 7)):
        parts[f"rec0[{i}]"] = tuple(array[chunk] for array in whole["rec0"])
    parts["rec1"] = tuple(array[order] for array in whole["rec1"])
    assert run(trimodal, work, write_csd(tmp_path / "a.csd", parts)).exit_code == 0
    found = imported(work)
    for utterance_id, (rows, u) in expected(work, whole).items():
        features = whole[u.recording][0][rows]
        np.testing.assert_array_equal(found[utterance_id]["features"], features)


def test_the_sdk_reads_and_cuts_the_same(work: Path, tmp_path: Path, trimodal: Callable) -> None:
    """Its file, and its alignment to the segments: equal where no row lies across a border."""
    mmdatasdk = pytest.importorskip("mmsdk.mmdatasdk", reason="cmu-multimodal-sdk not installed")
    from mmsdk.mmdatasdk.configurations.metadataconfigs import featuresetMetadataTemplate as keys

    entries, utterances = content(), Workspace(work).utterances
    segments = {
        recording: [u for u in utterances if u.recording == recording] for recording in entries
    }
    sequences = {
        "COVAREP": {name: dict(zip(("features", "intervals"), arrays, strict=True))
                    for name, arrays in entries.items()},
        "segments": {
            name: {
                "features": np.arange(len(there), dtype=np.float32)[:, None],
                "intervals": np.array([(u.recording_start_s, u.recording_end_s) for u in there]),
            }
            for name, there in segments.items()
        },
    }  # fmt: skip
    for name, data in sequences.items():
        sequence = mmdatasdk.computational_sequence(name)
        sequence.setData(data, name)
        sequence.setMetadata({key: name for key in keys}, name)
        sequence.deploy(str(tmp_path / f"{name}.csd"))
    result = run(trimodal, work, tmp_path / "COVAREP.csd")
    assert result.exit_code == 0, result.output
    dataset = mmdatasdk.mmdataset({n: str(tmp_path / f"{n}.csd") for n in sequences})
    dataset.align("segments")
    found = imported(work)
    for recording, there in segments.items():
        for i, u in enumerate(there):
            aligned = dataset["COVAREP"][f"{recording}[{i}]"]["features"]
            np.testing.assert_array_equal(found[u.id]["features"], aligned)


def test_resume_status_and_another_file(work: Path, tmp_path: Path, trimodal: Callable) -> None:
    csd = write_csd(tmp_path / "a.csd", content())
    assert run(trimodal, work, csd, "--shards", "1:2").exit_code == 0
    assert workspace_status(work)["stages"][1]["done"] == 4
    assert run(trimodal, work, csd).exit_code == 0
    before = {p.name: p.read_bytes() for p in (work / "features").iterdir()}
    assert "3 of them already there" in run(trimodal, work, csd).stdout
    csd.rename(tmp_path / "b.csd")  # the name decides nothing
    assert "3 of them already there" in run(trimodal, work, tmp_path / "b.csd").stdout
    assert {p.name: p.read_bytes() for p in (work / "features").iterdir()} == before
    status = workspace_status(work)
    assert status["stages"][1]["done"] == 12
    assert status["hours"] == pytest.approx(12 * 0.5 / 3600)
    (work / "features" / "shard-00001.audio.h5").unlink()
    half_done = trimodal("pretrain", work, tmp_path / "run")  # not to be mended by `extract`
    assert half_done.exit_code == 2
    assert f"`trimodal import csd {work} ... --modality audio` as before" in half_done.output
    other = write_csd(tmp_path / "c.csd", content(width=6))
    stale = run(trimodal, work, other)
    assert stale.exit_code == 2 and "width=5, now 6" in stale.output
    assert run(trimodal, work, other, "--redo").exit_code == 0
    assert {a["features"].shape[1] for a in imported(work).values()} == {6}


def test_other_widths_and_missing_recordings_are_rejected_with_a_reason(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    entries = content()
    entries["rec1"] = content(width=3)["rec1"]
    entries["other"] = entries.pop("rec2")
    csd = write_csd(tmp_path / "a.csd", {**entries, "rec3": entries["rec0"]})
    assert run(trimodal, work, csd).exit_code == 1  # more than a fifth is lost
    result = run(trimodal, work, csd, "--max-reject-share", 1)
    assert result.exit_code == 0 and "2 recordings in it unused" in result.stdout
    reasons = [json.loads(line)["reason"] for line in (work / "rejects.jsonl").open()]
    assert sorted(set(reasons)) == [
        "features of width 3, most others have 5",
        "its recording is not in the file",
    ]
    assert len(reasons) == 8


def break_features(entry: h5py.Group, how: str, tmp_path: Path) -> None:
    """Replaces one entry's features by something that must not be trusted."""
    n = len(entry["intervals"])
    del entry["features"]
    if how == "external link":
        with h5py.File(tmp_path / "secret.h5", "w") as secret:
            secret["x"] = np.ones((n, 5))
        entry["features"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    elif how == "soft link":
        entry["features"] = h5py.SoftLink("/COVAREP/data/rec0/features")
    elif how == "external storage":
        (tmp_path / "raw").write_bytes(bytes(n * 20))
        external = [(str(tmp_path / "raw"), 0, n * 20)]
        entry.create_dataset("features", (n, 5), "f4", external=external)
    elif how == "virtual":
        layout = h5py.VirtualLayout((n, 5), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (n, 5))
        entry.create_virtual_dataset("features", layout)
    elif how == "objects":
        entry.create_dataset("features", (n, 5), h5py.vlen_dtype(np.int32))
    elif how == "text":
        entry["features"] = np.full((n, 1), b"word")
    elif how == "huge":
        entry.create_dataset("features", (n, 2**40), "f4", chunks=(1, 1000))
    elif how == "huge chunk":
        entry.create_dataset("features", (n, 5), "f4", chunks=(2**28, 5), maxshape=(None, 5))
    elif how == "flat":
        entry["features"] = np.ones(n)
    elif how == "shorter":
        entry["features"] = np.ones((n - 1, 5))
    elif how == "group":
        entry.create_group("features")


@pytest.mark.parametrize(
    "how",
    ["external link", "soft link", "external storage", "virtual", "objects", "text", "huge",
     "huge chunk", "flat", "shorter", "group", "missing"],
)  # fmt: skip
def test_one_bad_entry_costs_its_utterances_only(
    how: str, work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    csd = write_csd(tmp_path / "a.csd", content())
    with h5py.File(csd, "a") as file:
        break_features(file["COVAREP/data/rec1"], how, tmp_path)
    result = run(trimodal, work, csd, "--max-reject-share", 0.5)
    assert result.exit_code == 0, result.output
    assert "8 utterances in 3 shards; 4 rejected" in result.stdout
    found = imported(work)
    assert {u.recording for u in Workspace(work).utterances if u.id in found} == {"rec0", "rec2"}


def test_what_is_no_csd_is_one_line(work: Path, tmp_path: Path, trimodal: Callable) -> None:
    good = write_csd(tmp_path / "good.csd", content())
    (tmp_path / "text.csd").write_text("no HDF5")
    (tmp_path / "cut.csd").write_bytes(good.read_bytes()[:5000])
    for name, make in {
        "empty": lambda file: None,
        "two": lambda file: (file.create_group("a"), file.create_group("b")),
        "no data": lambda file: file.create_group("a"),
        "link": lambda file: file.update({"a": h5py.ExternalLink(str(good), "COVAREP")}),
    }.items():
        with h5py.File(tmp_path / f"{name}.csd", "w") as file:
            make(file)
    for name in ("text", "cut", "empty", "two", "no data", "link", "none"):
        result = run(trimodal, work, tmp_path / f"{name}.csd")
        assert result.exit_code in (1, 2), name
        assert len([x for x in result.output.splitlines() if x.startswith("error: ")]) == 1
        assert "Traceback" not in result.output and f"{name}.csd" in result.output
    wide = write_csd(tmp_path / "wide.csd", {})
    with h5py.File(wide, "a") as file:  # claims a terabyte a row, and nothing else is there
        entry = file.create_group("COVAREP/data/rec0")
        entry["intervals"] = content()["rec0"][1]
        entry.create_dataset("features", (210, 2**38), "f4", chunks=(1, 1000))
    assert "too large" in run(trimodal, work, wide).output
    strangers = write_csd(tmp_path / "s.csd", {"else": content()["rec0"]})
    assert "holds none of the 3 recordings" in run(trimodal, work, strangers).output
    assert not list((work / "features").glob("*.audio.h5"))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_never_ends_in_a_traceback(
    share: float, work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    whole = write_csd(tmp_path / "a.csd", content()).read_bytes()
    (tmp_path / "a.csd").write_bytes(whole[: int(share * len(whole))])
    result = run(trimodal, work, tmp_path / "a.csd")
    assert result.exit_code == 1 and "cannot be read" in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_corpus_whose_recordings_are_unknown_is_told_what_to_do(
    work: Path, tmp_path: Path, trimodal: Callable
) -> None:
    from dataclasses import replace

    from pipelines.workspace import create

    utterances = [replace(u, recording=None) for u in Workspace(work).utterances]
    create(work, "voxceleb2", work, utterances, [], shard_size=4, seed=0, settings={}, redo=True)
    result = run(trimodal, work, write_csd(tmp_path / "a.csd", content()))
    assert result.exit_code == 2 and "import one .npz an utterance" in result.output


def test_irregular_rows_have_no_shift(work: Path, tmp_path: Path) -> None:
    """Word-aligned audio: hours are unknown, and nothing pretends otherwise."""
    entries = content()
    lengths = np.random.default_rng(0).uniform(0.1, 0.6, 210)
    ends = np.cumsum(lengths)
    for name, (features, _) in entries.items():
        entries[name] = features, np.stack([ends - lengths, ends], axis=1)
    csd = write_csd(tmp_path / "a.csd", entries)
    found, _ = find_csd(csd, Workspace(work), "audio", lambda _: None)
    assert found.config["hop_s"] is None
