"""The shard format: what is written comes back, and damage is never read as data."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featurize.shards
from featurize.errors import ShardError
from featurize.shards import ShardReader, ShardWriter

FIELDS = {"features": ((3,), "float16"), "times_s": ((2,), "float32")}


def utterance(n_rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, 3)).astype(np.float16)
    return {"features": features, "times_s": rng.random((n_rows, 2)).astype(np.float32)}


def write(path: Path, lengths: list[int], rejects: int = 0) -> dict[str, dict[str, np.ndarray]]:
    content = {f"speaker/é-{i}": utterance(n, i) for i, n in enumerate(lengths)}
    with ShardWriter(
        path,
        modality="video",
        fields=FIELDS,
        config={"fps": 1.0},
        fingerprint="f0",
        tools={"x": "1"},
    ) as writer:
        for utterance_id, arrays in content.items():
            writer.add(utterance_id, arrays)
        for i in range(rejects):
            writer.reject(f"lost/{i}", "no sound")
    return content


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(0, 40), max_size=8), rejects=st.integers(0, 3))
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], rejects: int
) -> None:
    path = tmp_path_factory.mktemp("s") / "shard.h5"
    content = write(path, lengths, rejects)
    with ShardReader(path) as shard:
        assert shard.ids == list(content)
        assert shard.lengths("features").tolist() == lengths
        assert [r["id"] for r in shard.rejects] == [f"lost/{i}" for i in range(rejects)]
        assert (shard.modality, shard.config, shard.fingerprint) == ("video", {"fps": 1.0}, "f0")
        for utterance_id, arrays in content.items():
            back = shard.read(utterance_id)
            assert back.keys() == arrays.keys()
            for name in arrays:
                assert back[name].dtype == arrays[name].dtype
                np.testing.assert_array_equal(back[name], arrays[name])
        assert list(shard.damaged()) == []


def test_plain_h5py_reads_it(tmp_path: Path) -> None:
    content = write(tmp_path / "s.h5", [4, 2])
    with h5py.File(tmp_path / "s.h5") as file:
        offsets = file["features/offsets"][:]
        ids = file["ids"].asstr()[:]
        second = file["features/data"][offsets[1] : offsets[2]]
    np.testing.assert_array_equal(second, content[ids[1]]["features"])


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, [5, 0, 9], rejects=1)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_flipping_any_byte_never_gives_wrong_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit flipped anywhere in a small file: an error, or exactly the right content."""
    monkeypatch.setattr(featurize.shards, "CHUNK_BYTES", 64)  # little filler in the file
    path = tmp_path / "s.h5"
    content = write(path, [20, 11, 30])
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    positions = rng.choice(len(original), size=800, replace=False)
    n_found = 0
    for position in positions:
        changed = bytearray(original)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            with ShardReader(path) as shard:
                ids = list(shard.ids)
                for utterance_id in ids:
                    for name, array in shard.read(utterance_id).items():
                        np.testing.assert_array_equal(array, content[utterance_id][name])
                assert ids == list(content)
        except ShardError:
            n_found += 1
    assert n_found > 100  # the payload alone is a good part of the file


def test_a_payload_flip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    content = write(path, [20, 11])
    raw = bytearray(path.read_bytes())
    position = raw.find(content["speaker/é-1"]["features"].tobytes())
    raw[position + 5] ^= 64
    path.write_bytes(raw)
    with ShardReader(path) as shard:
        assert list(shard.damaged()) == ["speaker/é-1"]
        with pytest.raises(ShardError, match="é-1"):
            shard.read("speaker/é-1")
        shard.read("speaker/é-0")


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 40])
def test_not_hdf5_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    with pytest.raises(ShardError, match="not a readable HDF5 file"):
        ShardReader(path)


def test_other_hdf5_and_newer_versions_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(ShardError, match="not a trimodal shard"):
        ShardReader(tmp_path / "other.h5")
    write(tmp_path / "new.h5", [1])
    with h5py.File(tmp_path / "new.h5", "a") as file:
        file.attrs["version"] = np.bytes_(b"99")
    with pytest.raises(ShardError, match="newer"):
        ShardReader(tmp_path / "new.h5")


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/digests")]
)
def test_links_are_not_followed(tmp_path: Path, link: object) -> None:
    path = tmp_path / "s.h5"
    write(path, [2])
    with h5py.File(path, "a") as file:
        del file["features/data"]
        file["features/data"] = link
    with pytest.raises(ShardError, match="link"):
        ShardReader(path)


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        ShardWriter(
            tmp_path / "s.h5", modality="audio", fields=FIELDS, config={}, fingerprint="", tools={}
        ) as writer,
    ):
        writer.add("a", utterance(3, 0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arrays",
    [
        {"features": np.full((2, 3), 1e9), "times_s": np.zeros((2, 2))},
        {"features": np.full((2, 3), np.nan), "times_s": np.zeros((2, 2))},
        {"features": np.zeros((2, 4)), "times_s": np.zeros((2, 2))},
        {"features": np.zeros((2, 3))},
    ],
    ids=["overflows float16", "nan", "wrong width", "missing field"],
)
def test_bad_arrays_are_refused_and_the_shard_goes_on(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "s.h5"
    with ShardWriter(
        path, modality="video", fields=FIELDS, config={}, fingerprint="", tools={}
    ) as writer:
        with pytest.raises(ShardError, match="bad"):
            writer.add("bad", arrays)
        writer.add("good", utterance(2, 0))
    with ShardReader(path) as shard:
        assert shard.ids == ["good"]
        assert shard.lengths("times_s").tolist() == [2]


def test_unknown_times_may_be_nan(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with ShardWriter(
        path, modality="text", fields=FIELDS, config={}, fingerprint="", tools={}
    ) as writer:
        writer.add("a", {"features": np.zeros((1, 3)), "times_s": np.full((1, 2), np.nan)})
    with ShardReader(path) as shard:
        assert np.isnan(shard[0]["times_s"]).all()
