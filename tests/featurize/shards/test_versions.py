"""A shard of every format version is kept as a file, and read.

Those of version 1 were made at commit 6805d1d, those of version 2 when it was settled.
"""

from pathlib import Path

import numpy as np
import pytest

from featurize.errors import ShardError
from featurize.shards import VERSION, ShardReader
from featurize.shards.encodings import decode, encode

FIXTURES = Path(__file__).parent / "fixtures"
IDS = [f"id00012/21Uxsk56VDQ/{i:05d}" for i in range(3)]


VERSIONS = [1, 2]


def test_there_are_files_of_every_version() -> None:
    assert VERSIONS[-1] == VERSION
    assert len(list(FIXTURES.glob("*.h5"))) == 3 * len(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_features_come_back(version: int) -> None:
    rng = np.random.default_rng(1)  # as they were made
    audio = [rng.normal(size=(n, 40)).astype(np.float16) for n in (7, 0, 12)]
    video = [rng.normal(size=(n, 8)) for n in (2, 1, 3)]
    with ShardReader(FIXTURES / f"version{version}.audio.h5") as shard:
        assert (shard.version, shard.modality, shard.ids) == (version, "audio", IDS)
        assert (shard.config, shard.tools, shard.fingerprint) == ({"sample": 1}, {"av": "18"}, "f0")
        assert shard.fields == {"features": ((40,), "float16")}
        assert shard.rejects == [{"id": IDS[0][:-1] + "9", "stage": "audio", "reason": "no sound"}]
        assert shard.lengths("features").tolist() == [7, 0, 12]
        for position, features in enumerate(audio):
            np.testing.assert_array_equal(shard[position]["features"], features)
    with ShardReader(FIXTURES / f"version{version}.video.h5") as shard:  # 2: int8_scaled, zstd
        encoding = shard.fields["features"][1]
        for position, features in enumerate(video):
            arrays = shard[position]
            expected = decode(*encode(features, encoding), encoding)
            np.testing.assert_array_equal(arrays["features"], expected)
            np.testing.assert_array_equal(arrays["times_s"], np.arange(len(features)))


@pytest.mark.parametrize("version", VERSIONS)
def test_targets_have_columns(version: int) -> None:
    with ShardReader(FIXTURES / f"version{version}.targets.h5") as shard:
        assert list(shard.fields) == ["characters"]
        assert shard.column_names == ["speaker", "fold", "labels"]
        texts = [shard[i]["characters"].tobytes().decode() for i in range(3)]
        assert texts == ["a cat", "", "it's"]
        assert shard.columns["speaker"].tolist() == [b"id00012"] * 3
        assert shard.columns["fold"].tolist() == [b"train", b"", b"dev"]
        labels = shard.columns["labels"]
        np.testing.assert_array_equal(labels[[0, 2]], [np.arange(7)] * 2)
        assert np.isnan(labels[1]).all()


@pytest.mark.parametrize("name", ["audio", "video", "targets"])
def test_flipping_any_byte_of_version_1_never_gives_wrong_numbers(
    tmp_path: Path, name: str
) -> None:
    original = (FIXTURES / f"version1.{name}.h5").read_bytes()
    path = tmp_path / "s.h5"
    path.write_bytes(original)
    with ShardReader(path) as shard:
        right = [shard[i] for i in range(3)]
        columns = shard.columns.tobytes()
    rng = np.random.default_rng(0)
    n_found = 0
    for position in rng.choice(len(original), size=500, replace=False):
        changed = bytearray(original)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            with ShardReader(path) as shard:
                assert shard.ids == IDS
                assert shard.columns.tobytes() == columns
                for i in range(3):
                    for field, array in shard[i].items():
                        np.testing.assert_array_equal(array, right[i][field])
        except ShardError:
            n_found += 1
    assert n_found > 40
