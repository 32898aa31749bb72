"""Reading shards: what was written comes back, and damage or malice is never read as data."""

import json
import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import ShardError
from featurize.shards import ShardIndex, ShardReader
from featurize.shards.layout import content_digest


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=8),
    n_rejects=st.integers(0, 3),
    compression=st.sampled_from(["none", "zstd"]),
)
def test_what_is_written_comes_back(
    tmp_path_factory, write_shard, lengths: list[int], n_rejects: int, compression: str
) -> None:
    path = tmp_path_factory.mktemp("s") / "shard.h5"
    content = write_shard(path, lengths, n_rejects, compression=compression)
    with ShardReader(path) as shard:
        assert shard.ids == list(content)
        assert len(shard) == len(lengths)
        assert shard.lengths("features").tolist() == lengths
        assert [r["id"] for r in shard.rejects] == [f"lost/{i}" for i in range(n_rejects)]
        assert (shard.modality, shard.config, shard.fingerprint) == ("video", {"fps": 1.0}, "f0")
        assert (shard.version, shard.tools, shard.compression) == (2, {"x": "1"}, compression)
        assert shard.fields == {"features": ((3,), "float16"), "times_s": ((2,), "float32")}
        speakers = [raw.decode() for raw in shard.columns["speaker"]]
        assert speakers == [f"sprecherin {'ü' * i}" for i in range(len(lengths))]
        assert shard.columns["labels"][:, 0].tolist() == list(range(len(lengths)))
        for utterance_id, arrays in content.items():
            back = shard.read(utterance_id)
            assert back.keys() == arrays.keys()
            for name in arrays:
                assert back[name].dtype == arrays[name].dtype
                np.testing.assert_array_equal(back[name], arrays[name])
        assert list(shard.damaged()) == []


def test_many_chunks_and_utterances_across_their_borders(tmp_path, write_shard) -> None:
    """Rows of 6 bytes: 1 MiB holds 174,762, so these utterances span up to three chunks."""
    lengths = [100_000, 90_000, 0, 400_000, 1, 174_762, 3]
    for compression in ("none", "zstd"):
        path = tmp_path / f"{compression}.h5"
        content = write_shard(path, lengths, compression=compression)
        with h5py.File(path) as file:
            assert file["features"].chunks == (174_762 if compression == "none" else 10_922, 3)
        with ShardReader(path) as shard:
            for utterance_id, arrays in content.items():
                features = shard.read(utterance_id, ["features"])["features"]
                np.testing.assert_array_equal(features, arrays["features"])


def test_plain_h5py_reads_it(tmp_path: Path, write_shard) -> None:
    """The ten lines of docs/shard-format.md."""
    content = write_shard(tmp_path / "s.h5", [4, 2])
    with h5py.File(tmp_path / "s.h5") as file:
        header = json.loads(file.attrs["header"])
        for row in file["utterances"][:]:
            start, n_rows = row["features_start"], row["features_rows"]
            features = file["features"][start : start + n_rows]
            np.testing.assert_array_equal(features, content[row["id"].decode()]["features"])
    assert header["format"] == "trimodal-shard"


def test_arrays_are_read_only_and_outlive_the_reader(tmp_path: Path, write_shard) -> None:
    content = write_shard(tmp_path / "s.h5", [4, 2])
    with ShardReader(tmp_path / "s.h5") as shard:
        arrays = shard[0]
    (tmp_path / "s.h5").unlink()
    with pytest.raises(ValueError, match="read-only"):
        arrays["features"][0, 0] = 1
    np.testing.assert_array_equal(arrays["features"], content["speaker/é-0"]["features"])


def test_the_index_alone_says_what_the_reader_says(tmp_path: Path, write_shard) -> None:
    write_shard(tmp_path / "s.h5", [4, 2], 2)
    index = ShardIndex(tmp_path / "s.h5")
    with ShardReader(tmp_path / "s.h5") as shard:
        for name in ("ids", "fields", "rejects", "config", "tools", "fingerprint", "index"):
            assert getattr(index, name) == getattr(shard, name)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_flipping_any_byte_never_gives_wrong_numbers(
    tmp_path: Path, write_shard, compression: str
) -> None:
    """A bit flipped anywhere in a small file: an error, or exactly the right content."""
    path = tmp_path / "s.h5"
    content = write_shard(path, [200, 110, 300], 1, compression=compression)
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    positions = rng.choice(len(original), size=min(1000, len(original)), replace=False)
    n_found = 0
    for position in positions:
        changed = bytearray(original)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            with ShardReader(path) as shard:
                assert shard.ids == list(content)
                assert shard.rejects[0]["id"] == "lost/0"
                assert shard.columns["labels"][2, 0] == 2
                for utterance_id in shard.ids:
                    for name, array in shard.read(utterance_id).items():
                        np.testing.assert_array_equal(array, content[utterance_id][name])
        except ShardError:
            n_found += 1
    assert n_found > 300  # table, rejects and payload alone are a good part of the file


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_payload_flip_is_found_and_named(tmp_path_factory, write_shard, data) -> None:
    path = tmp_path_factory.mktemp("s") / "shard.h5"
    content = write_shard(path, [20, 11])
    raw = bytearray(path.read_bytes())
    utterance_id = data.draw(st.sampled_from(sorted(content)))
    name = data.draw(st.sampled_from(sorted(content[utterance_id])))
    payload = content[utterance_id][name].tobytes()
    position = raw.find(payload) + data.draw(st.integers(0, len(payload) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    with ShardReader(path) as shard:
        assert list(shard.damaged()) == [utterance_id]
        with pytest.raises(ShardError, match=f"{utterance_id} .{name}"):
            shard.read(utterance_id)
        for other in content.keys() - {utterance_id}:
            shard.read(other)


def test_truncated_at_any_length(tmp_path: Path, write_shard) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, [20, 11, 30], 1)
    original = path.read_bytes()
    for n_bytes in np.linspace(0, len(original) - 1, 60).astype(int):
        path.write_bytes(original[:n_bytes])
        with pytest.raises(ShardError):
            ShardReader(path)


def test_cut_short_while_it_is_open(tmp_path: Path, write_shard) -> None:
    """A page that is gone is an error of ours; without precaution it would kill the process."""
    path = tmp_path / "s.h5"
    write_shard(path, [400_000, 10])
    with ShardReader(path) as shard:
        os.truncate(path, 8192)
        with pytest.raises(ShardError, match="damaged shard"):
            shard[0]


def test_reads_without_a_map_where_the_system_lacks_one(
    tmp_path: Path, write_shard, monkeypatch
) -> None:
    monkeypatch.setattr("featurize.shards.rows.MADV_POPULATE_READ", 9999)
    content = write_shard(tmp_path / "s.h5", [4, 2])
    with ShardReader(tmp_path / "s.h5") as shard:
        for utterance_id, arrays in content.items():
            for name, array in shard.read(utterance_id).items():
                np.testing.assert_array_equal(array, arrays[name])
        os.truncate(tmp_path / "s.h5", 600)
        with pytest.raises(ShardError, match="ends before"):
            list(map(shard.__getitem__, range(2)))


def test_only_some_fields(tmp_path: Path, write_shard) -> None:
    content = write_shard(tmp_path / "s.h5", [4, 2])
    with ShardReader(tmp_path / "s.h5", only=("features", "characters")) as shard:
        assert list(shard[1]) == ["features"]
        np.testing.assert_array_equal(shard[1]["features"], content["speaker/é-1"]["features"])


def test_many_threads_read_one_shard(tmp_path: Path, write_shard) -> None:
    content = write_shard(tmp_path / "s.h5", [50] * 40)
    wrong: list[str] = []
    with ShardReader(tmp_path / "s.h5") as shard:

        def work() -> None:
            for utterance_id, arrays in content.items():
                if not np.array_equal(shard.read(utterance_id)["features"], arrays["features"]):
                    wrong.append(utterance_id)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 40])
def test_not_hdf5_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    with pytest.raises(ShardError, match="not a readable HDF5 file"):
        ShardReader(path)


def change_header(path: Path, **changes: object) -> None:
    """Writes another header, as somebody who means harm can."""
    with h5py.File(path, "a", libver="latest") as file:
        header = json.loads(file.attrs["header"]) | changes
        del file.attrs["header"]
        file.attrs["header"] = np.bytes_(json.dumps(header).encode())


def test_other_hdf5_and_newer_versions_are_refused(tmp_path: Path, write_shard) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(ShardError, match="not a trimodal shard"):
        ShardReader(tmp_path / "other.h5")
    write_shard(tmp_path / "new.h5", [1])
    change_header(tmp_path / "new.h5", version=99)
    with pytest.raises(ShardError, match="newer"):
        ShardReader(tmp_path / "new.h5")


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"features": [[3], "object"], "times_s": [[2], "float32"]}},
        {"fields": {"features": [[3], "O"], "times_s": [[2], "float32"]}},
        {"fields": {"features": [[2**40], "float16"], "times_s": [[2], "float32"]}},
        {"fields": {"features": [["3"], "float16"], "times_s": [[2], "float32"]}},
        {"fields": {"features": [[4], "float16"], "times_s": [[2], "float32"]}},
        {"fields": {"features": [[3], "float32"], "times_s": [[2], "float32"]}},
        {"fields": {"../features": [[3], "float16"]}},
        {"fields": []},
        {"columns": [["id", "O", []]]},
        {"columns": [["id", "<U4", []]]},
        {"columns": []},
        {"columns": 3},
        {"n_utterances": 2**50},
        {"n_utterances": -1},
        {"n_utterances": 1},
        {"utterances_xxh3": None},
        {"utterances_xxh3": "0" * 32},
        {"utterances_offset": -5},
        {"utterances_offset": 2**70},
        {"config": []},
        {"version": "2"},
        {"compression": "zstd9"},
        {"compression": 1},
        {"tools": None},
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused(tmp_path: Path, write_shard, changes: dict) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, [20, 11])
    change_header(path, **changes)
    with pytest.raises(ShardError):
        ShardReader(path)


def replace(path: Path, name: str, make) -> None:
    """Puts something else where a dataset was."""
    with h5py.File(path, "a", libver="latest") as file:
        del file[name]
        make(file, name)


@pytest.mark.parametrize("name", ["features", "utterances", "rejects"])
@pytest.mark.parametrize(
    "make",
    [
        lambda file, name: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/x")),
        lambda file, name: file.__setitem__(name, h5py.SoftLink("/times_s")),
        lambda file, name: file.create_group(name),
        lambda file, name: None,
        lambda file, name: file.create_dataset(
            name, data=np.array([b"x"] * 31, dtype=object), dtype=h5py.special_dtype(vlen=bytes)
        ),
        lambda file, name: file.create_dataset(
            name, shape=(31, 3), dtype="f2", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        ),
        lambda file, name: file.create_virtual_dataset(
            name, h5py.VirtualLayout(shape=(31, 3), dtype="f2")
        ),
        lambda file, name: file.create_dataset(name, shape=(2**50, 3), chunks=(4, 3), dtype="f2"),
        lambda file, name: file.create_dataset(name, shape=(2**40,), dtype="u1"),
        lambda file, name: file.create_dataset(name, shape=(31, 3), chunks=(4, 3), dtype="f2"),
        lambda file, name: file.create_dataset(
            name, shape=(31, 3), chunks=(31, 3), dtype="f2", compression="gzip"
        ),
        lambda file, name: file.create_dataset(name, data=1.5),
        lambda file, name: file.create_dataset(name, data=np.zeros((31, 3), ">f2")),
    ],
    ids=[
        "external link", "soft link", "group", "missing", "variable length", "external storage",
        "virtual", "huge", "huge bytes", "unwritten chunks", "another filter", "scalar",
        "big endian",
    ],
)  # fmt: skip
def test_what_is_no_plain_dataset_is_refused(tmp_path: Path, write_shard, name: str, make) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, [20, 11], 1)
    replace(path, name, make)
    change_header(path, utterances_offset=0)  # the table is still where it was
    with pytest.raises(ShardError, match="damaged shard"):
        ShardReader(path)


def test_a_table_whose_rows_overlap_or_are_huge_is_refused(tmp_path: Path, write_shard) -> None:
    path = tmp_path / "s.h5"
    for change in ({"start": 5}, {"rows": 2**60}, {"rows": -1}, {"start": -1}):
        write_shard(path, [20, 11])
        with h5py.File(path, "a", libver="latest") as file:
            table = file["utterances"][:]
            for name, value in change.items():
                table[f"features_{name}"][1] = value
            file["utterances"][:] = table
        change_header(path, utterances_xxh3=content_digest(table.tobytes()))
        with pytest.raises(ShardError, match="end to end|rows of features"):
            ShardReader(path)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_file_rewritten_by_another_tool_is_read(tmp_path, write_shard, compression) -> None:
    """Nothing lies where it was, as after h5repack; HDF5 still finds it."""
    content = write_shard(tmp_path / "s.h5", [200_000, 11], 1, compression=compression)
    with h5py.File(tmp_path / "s.h5") as old, h5py.File(tmp_path / "t.h5", "w") as new:
        new["padding"] = np.ones(1000)
        for name in old:
            old.copy(name, new)
        new.attrs["header"] = old.attrs["header"]
    with ShardReader(tmp_path / "t.h5") as shard:
        assert shard.ids == list(content) and len(shard.rejects) == 1
        for utterance_id, arrays in content.items():
            for name, array in shard.read(utterance_id).items():
                np.testing.assert_array_equal(array, arrays[name])


def test_compressed_by_another_filter_than_it_says(tmp_path: Path, write_shard) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, [20, 11], compression="zstd")
    replace(
        path,
        "features",
        lambda file, name: file.create_dataset(
            name, data=np.zeros((31, 3), "f2"), compression="gzip"
        ),
    )
    with pytest.raises(ShardError, match="filters"):
        ShardReader(path)


def test_an_id_twice_is_refused_when_asked_for(tmp_path: Path, write_shard) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, [20, 11])
    with h5py.File(path, "a", libver="latest") as file:
        table = file["utterances"][:]
        table["id"][1] = table["id"][0]
        file["utterances"][:] = table
    change_header(path, utterances_xxh3=content_digest(table.tobytes()))
    with ShardReader(path) as shard, pytest.raises(ShardError, match="more than once"):
        shard.read("speaker/é-0")
