"""Reading again without HDF5: the same arrays, and every doubt goes to the one that asks HDF5."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from featurize.errors import ShardError
from featurize.shards import ENCODINGS, PlacedReader, PlacedShard, ShardIndex, ShardReader

FIELDS = ("features", "times_s", "absent")


def place(path: Path) -> PlacedShard:
    return PlacedShard(ShardIndex(path), FIELDS)


def change_places(path: Path, make) -> None:
    with h5py.File(path, "a", libver="latest") as file:
        header = json.loads(file.attrs["header"])
        header["places"] = make(header["places"])
        del file.attrs["header"]
        file.attrs["header"] = np.bytes_(json.dumps(header).encode())


@pytest.mark.parametrize("lengths", [[], [0], [4, 0, 2], [100_000, 90_000, 0, 400_000, 1]])
def test_the_same_arrays_without_hdf5(tmp_path, write_shard, monkeypatch, lengths) -> None:
    content = write_shard(tmp_path / "s.h5", lengths)
    placed = place(tmp_path / "s.h5")
    monkeypatch.setattr("featurize.shards.placed.ShardReader", None)  # not needed
    shard = placed.open()
    assert isinstance(shard, PlacedReader)
    for position, arrays in enumerate(content.values()):
        for name, array in arrays.items():
            back = shard.array(position, name)
            assert back.dtype == array.dtype and not back.flags.writeable
            np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(tmp_path: Path, open_writer, encoding: str, compression: str) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    fields = {"features": ((5,), encoding)}
    with open_writer(tmp_path / "s.h5", fields=fields, compression=compression) as writer:
        writer.add("a", {"features": rows[:4]})
        writer.add("b", {"features": rows[4:]})
    placed = place(tmp_path / "s.h5").open()
    assert isinstance(placed, PlacedReader) == (compression == "none")
    with ShardReader(tmp_path / "s.h5") as shard:
        for position in range(2):
            expected = shard.array(position, "features")
            np.testing.assert_array_equal(placed.array(position, "features"), expected)


def test_a_flipped_byte_is_named(tmp_path: Path, write_shard) -> None:
    path = tmp_path / "s.h5"
    content = write_shard(path, [20, 11])
    placed = place(path)
    before = path.stat()
    raw = bytearray(path.read_bytes())
    raw[raw.find(content["speaker/é-1"]["features"].tobytes()) + 5] ^= 64
    with path.open("r+b") as file:  # the disk decays; nobody has written
        file.write(raw)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    shard = placed.open()
    assert isinstance(shard, PlacedReader)
    shard.array(0, "features")
    with pytest.raises(ShardError, match="é-1 .features"):
        shard.array(1, "features")


def test_another_file_under_the_name_is_opened_by_hdf5(tmp_path: Path, write_shard) -> None:
    write_shard(tmp_path / "s.h5", [20, 11])
    placed = place(tmp_path / "s.h5")
    write_shard(tmp_path / "s.h5", [3])
    shard = placed.open()
    assert isinstance(shard, ShardReader) and len(shard) == 1
    (tmp_path / "s.h5").unlink()
    with pytest.raises(ShardError, match="cannot be opened"):
        placed.open()


@pytest.mark.parametrize(
    "make",
    [
        lambda places: None,
        lambda places: {"times_s": places["times_s"]},
        lambda places: {**places, "features": [[0, places["features"][0][1] + 8]]},
    ],
    ids=["none", "a field left out", "off by eight"],
)
def test_places_that_are_missing_or_wrong_are_not_needed(tmp_path, write_shard, make) -> None:
    content = write_shard(tmp_path / "s.h5", [20, 11])
    change_places(tmp_path / "s.h5", make)
    shard = place(tmp_path / "s.h5").open()
    for position, arrays in enumerate(content.values()):
        np.testing.assert_array_equal(shard.array(position, "features"), arrays["features"])


@pytest.mark.parametrize(
    "places",
    [
        {"features": [[0, 2**60]]},
        {"features": [[0, -8]]},
        {"features": [[5, 0]]},
        {"features": [[0, 0], [0, 8]]},
        {"features": [[0, 0], [9, 8], [4, 0]]},
        {"features": [["0", 0]]},
        {"features": [[0, 1.5]]},
        {"features": [[0]]},
        {"features": 3},
        [],
    ],
    ids=str,
)
def test_places_that_make_no_sense_are_refused(tmp_path: Path, write_shard, places) -> None:
    write_shard(tmp_path / "s.h5", [20, 11])
    change_places(
        tmp_path / "s.h5", lambda told: {**told, **places} if isinstance(places, dict) else places
    )
    with pytest.raises(ShardError, match="damaged shard"):
        place(tmp_path / "s.h5").open()
