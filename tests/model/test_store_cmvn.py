"""Normalisation of the audio as it is read: by utterance, by speaker, over all."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from featurize.cmvn import cmvn_statistics
from featurize.errors import TrainError, UsageError
from featurize.shards import NO_LABELS, TARGET_COLUMNS, TARGET_FIELDS, PlacedReader, ShardWriter
from model.config import CMVN, ModelConfig
from model.store import FeatureStore, stack_frames

N_BINS = 4
SPEAKERS = ("ann", "bob", "eve")
WITH_STATISTICS = {"features": ((N_BINS,), "float16"), "cmvn": ((2, N_BINS + 1), "float64")}


def write_shard(folder: Path, number: int, *, has_statistics: bool = True) -> None:
    """Ten utterances; each speaker has a level and a loudness of its own."""
    rng = np.random.default_rng(number)
    fields = dict(WITH_STATISTICS) if has_statistics else {"features": ((N_BINS,), "float16")}
    settings: dict = {"config": {}, "fingerprint": "f", "tools": {}}
    audio_path, targets_path = (
        folder / f"shard-{number:05d}.{part}.h5" for part in ("audio", "targets")
    )
    with (
        ShardWriter(audio_path, modality="audio", fields=fields, **settings) as audio,
        ShardWriter(
            targets_path, modality="targets", fields=TARGET_FIELDS, columns=TARGET_COLUMNS,
            **settings,
        ) as targets,
    ):  # fmt: skip
        for i in range(10):
            speaker = int(rng.integers(3))
            rows = rng.normal(10 * speaker, 1 + speaker, (int(rng.integers(1, 60)), N_BINS))
            arrays = {"features": rows.astype(np.float16)}
            if has_statistics:
                arrays["cmvn"] = cmvn_statistics(arrays["features"])[None]
            audio.add(f"u{number}/{i}", arrays)
            targets.add(
                f"u{number}/{i}",
                {"characters": np.frombuffer(b"a", np.uint8)},
                {"speaker": SPEAKERS[speaker], "fold": "", "labels": NO_LABELS},
            )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_shard(tmp_path, number)
    return tmp_path


def frames(store: FeatureStore, raw: FeatureStore) -> Iterator[tuple[int, np.ndarray]]:
    """(row, its frames without those that complete the last stack)."""
    for row in range(len(store)):
        shard, position = raw._find(row, "audio")
        n_frames = len(shard.array(position, "features"))
        yield row, store.features(row, "audio").reshape(-1, N_BINS)[:n_frames]


def test_speakers_frames_get_mean_0_and_variance_1(folder: Path) -> None:
    raw = FeatureStore(folder, n_stacked_frames=5)
    store = FeatureStore(folder, n_stacked_frames=5, cmvn="speaker")
    pooled: dict[str, list[np.ndarray]] = {name: [] for name in SPEAKERS}
    for row, normalised in frames(store, raw):
        pooled[store.speakers[store.speaker[row]]].append(normalised)
    for parts in pooled.values():
        assert len(parts) > 1
        together = np.concatenate(parts).astype(np.float64)
        np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(together.var(axis=0), 1, atol=1e-5)


def test_global_and_utterance_normalise_over_what_they_say(folder: Path) -> None:
    raw = FeatureStore(folder, n_stacked_frames=5)
    store = FeatureStore(folder, n_stacked_frames=5, cmvn="global")
    together = np.concatenate([x for _, x in frames(store, raw)]).astype(np.float64)
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(together.var(axis=0), 1, atol=1e-5)
    store = FeatureStore(folder, n_stacked_frames=5, cmvn="utterance")
    for _, normalised in frames(store, raw):
        np.testing.assert_allclose(normalised.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
        if len(normalised) > 1:
            np.testing.assert_allclose(normalised.var(axis=0, dtype=np.float64), 1, atol=1e-4)


def test_none_reads_what_is_stored_and_no_statistics(folder: Path, monkeypatch) -> None:
    read = []
    array = PlacedReader.array
    monkeypatch.setattr(
        PlacedReader, "array", lambda self, i, field: read.append(field) or array(self, i, field)
    )
    store = FeatureStore(folder, n_stacked_frames=5)
    assert not read and store.dtypes["audio"] == np.float16
    for row in range(len(store)):
        shard, position = store._find(row, "audio")
        stored = array(shard, position, "features")
        np.testing.assert_array_equal(store.features(row, "audio"), stack_frames(stored, 5))
    assert set(read) == {"features"}


def test_batches_hold_the_normalised_features(folder: Path) -> None:
    from model.data import Loader

    store = FeatureStore(folder, n_stacked_frames=5, cmvn="speaker")
    for batch in Loader(store, np.arange(len(store)), 60, {}).in_order():
        for i, name in enumerate(batch.ids):
            row = store.ids.tolist().index(name.encode())
            found = batch.audio[i][batch.audio_mask[i]].numpy()
            np.testing.assert_array_equal(found, store.features(row, "audio"))


def test_shards_without_statistics(folder: Path) -> None:
    with_statistics = FeatureStore(folder, n_stacked_frames=5, cmvn="utterance")
    expected = [with_statistics.features(row, "audio") for row in range(len(with_statistics))]
    write_shard(folder, 1, has_statistics=False)
    store = FeatureStore(folder, n_stacked_frames=5, cmvn="utterance")
    for row, features in enumerate(expected):
        np.testing.assert_allclose(store.features(row, "audio"), features, atol=1e-5)
    for cmvn in ("speaker", "global"):
        message = "shard-00001.audio.h5: holds no CMVN.*run `trimodal extract WORK audio`"
        with pytest.raises(TrainError, match=message):
            FeatureStore(folder, n_stacked_frames=5, cmvn=cmvn)


def test_the_setting_is_checked_and_recorded_only_where_it_was_made() -> None:
    with pytest.raises(UsageError, match=re.escape("cmvn = 'speakers': must be one of ('none'")):
        ModelConfig(cmvn="speakers")
    assert "cmvn" not in ModelConfig().described()
    for cmvn in CMVN:
        config = ModelConfig(cmvn=cmvn, d_ff=100)
        assert ModelConfig.from_dict(config.described()) == config
