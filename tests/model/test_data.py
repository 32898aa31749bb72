"""Joining shards, statistics and batches, on small random shards."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import ShardError, TextError, TrainError
from featurize.shards import ShardWriter
from model.config import EOS_ID, PAD_ID, SOS_ID, decode
from model.data import Loader, labelled_fold, shuffled_batches, split_by_hash
from model.store import FeatureStore, Utterance, feature_statistics, stack_frames

FIELDS = {
    "audio": {"features": ((40,), "float16")},
    "video": {"features": ((6,), "float16"), "times_s": ((), "float32")},
    "text": {"features": ((3,), "float16"), "times_s": ((2,), "float32")},
    "targets": {
        "characters": ((), "uint8"),
        "speaker": ((), "uint8"),
        "fold": ((), "uint8"),
        "labels": ((7,), "float32"),
    },
}


def as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def write_shard(folder: Path, number: int, ids: list[str], *, lacking=(), fields=FIELDS) -> None:
    """A shard of random features; ``lacking`` holds the (id, modality) pairs to leave out."""
    rng = np.random.default_rng(number)
    with ExitStack() as stack:
        for modality, spec in fields.items():
            path = folder / f"shard-{number:05d}.{modality}.h5"
            writer = stack.enter_context(
                ShardWriter(
                    path, modality=modality, fields=spec, config={}, fingerprint="f", tools={}
                )
            )
            for i, utterance_id in enumerate(ids):
                n = int(rng.integers(1, 90))
                if modality == "targets":
                    arrays = {
                        "characters": as_bytes("it's " + "abc"[: i % 4]),
                        "speaker": as_bytes(f"speaker {i % 3}"),
                        "fold": as_bytes(("train", "dev", "")[i % 3]),
                        "labels": np.array([[-1, 0, 0.5, 0, 3, 0, 0]])[: i % 2],
                    }
                else:
                    arrays = {
                        name: rng.normal(2, 3, (n, *shape)) for name, (shape, _) in spec.items()
                    }
                if (utterance_id, modality) not in lacking:
                    writer.add(utterance_id, arrays)


def open_store(folder: Path, **kwargs) -> FeatureStore:
    return FeatureStore(folder, n_stacked_frames=5, **kwargs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(3):
        write_shard(tmp_path, shard, [f"s{shard}/u{i}" for i in range(12)])
    return tmp_path


def make_utterance(i: int, n_stacks: int, shard: str = "shard-0") -> Utterance:
    return Utterance(f"u{i}", shard, n_stacks, "s", "", None)


def test_joins_by_id_and_masks_what_is_absent(tmp_path: Path) -> None:
    lacking = {("a", "video"), ("b", "text"), ("c", "audio"), ("d", "targets")}
    write_shard(tmp_path, 0, ["a", "b", "c", "d", "e"], lacking=lacking)
    store = open_store(tmp_path)
    assert [u.id for u in store.utterances] == ["a", "b", "e"]
    assert store.n_left_out == 1
    assert (store.dims.audio, store.dims.video, store.dims.text) == (200, 6, 3)
    (batch,) = Loader(store, store.utterances, 10_000, {"speaker 1": 4}).in_order()
    has = {
        utterance_id: (bool(video.any()), bool(text.any()))
        for utterance_id, video, text in zip(
            batch.ids, batch.video_mask, batch.text_mask, strict=True
        )
    }
    assert has == {"a": (False, True), "b": (True, False), "e": (True, True)}
    assert batch.video.shape[2] == 6 and batch.video.dtype == torch.float32
    known = dict(zip(batch.ids, batch.speakers.tolist(), strict=True))
    assert known == {"a": -1, "b": 4, "e": 4}


def test_batch_holds_what_was_stored(folder: Path) -> None:
    store = open_store(folder)
    for batch in Loader(store, store.utterances, 60, {}).in_order():
        for row, utterance_id in enumerate(batch.ids):
            utterance = next(u for u in store.utterances if u.id == utterance_id)
            features = store.read(utterance)
            for name in ("audio", "video", "text"):
                mask = getattr(batch, f"{name}_mask")[row].numpy()
                steps = getattr(batch, name)[row].numpy()
                np.testing.assert_array_equal(steps[mask], getattr(features, name))
                assert not steps[~mask].any()
            ids = batch.characters[row].tolist()
            assert ids[0] == SOS_ID and decode(ids) == features.transcript
            assert set(ids[ids.index(EOS_ID) + 1 :]) <= {PAD_ID}
            expected = utterance.emotions or [False] * 6
            assert batch.labels[row].bool().tolist() == list(expected)


@given(n=st.integers(1, 40), n_stacked=st.integers(1, 8))
def test_stacking_repeats_the_last_frame(n: int, n_stacked: int) -> None:
    frames = np.arange(n * 3).reshape(n, 3)
    stacked = stack_frames(frames, n_stacked).reshape(-1, 3)
    np.testing.assert_array_equal(stacked[:n], frames)
    assert len(stacked) < n + n_stacked
    assert all((row == frames[-1]).all() for row in stacked[n:])


def test_statistics_equal_numpy(folder: Path) -> None:
    store = open_store(folder)
    found = feature_statistics(store, store.utterances)
    for name, (mean, std) in found.items():
        rows = np.concatenate([getattr(store.read(u), name) for u in store.utterances])
        rows = rows.astype(np.float64)
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(std, rows.std(axis=0), rtol=1e-6)


lengths_of_batches = st.lists(st.integers(1, 300), min_size=1, max_size=80)


@given(lengths=lengths_of_batches, seed=st.integers(0, 99), n_shards=st.integers(1, 40))
def test_each_utterance_once_within_the_budget(lengths, seed, n_shards) -> None:
    utterances = [make_utterance(i, n, f"shard-{i % n_shards}") for i, n in enumerate(lengths)]
    batches = list(shuffled_batches(utterances, 400, np.random.default_rng(seed)))
    assert Counter(u.id for batch in batches for u in batch) == Counter(u.id for u in utterances)
    assert all(max(u.n_stacks for u in batch) * len(batch) <= 400 for batch in batches)
    again = list(shuffled_batches(utterances, 400, np.random.default_rng(seed)))
    assert batches == again


def test_longer_than_the_budget_is_a_batch_alone() -> None:
    utterances = [make_utterance(i, n) for i, n in enumerate([900, 10, 10])]
    batches = list(shuffled_batches(utterances, 400, np.random.default_rng(0)))
    assert sorted(len(batch) for batch in batches) == [1, 2]


def padding_share(batches: list[list[Utterance]]) -> float:
    n_real = sum(u.n_stacks for batch in batches for u in batch)
    return 1 - n_real / sum(max(u.n_stacks for u in batch) * len(batch) for batch in batches)


def test_padding_stays_under_a_tenth_and_epochs_differ() -> None:
    rng = np.random.default_rng(0)
    # Four seconds and up, mean 7.8 s, as in VoxCeleb2; 20 stacks a second.
    lengths = (20 * np.minimum(4 + rng.exponential(3.8, 4000), 60)).astype(int)
    utterances = [make_utterance(i, int(n), f"shard-{i // 200}") for i, n in enumerate(lengths)]
    epochs = [
        list(shuffled_batches(utterances, 4000, np.random.default_rng([0, epoch])))
        for epoch in range(2)
    ]
    assert padding_share(epochs[0]) < 0.1
    in_epoch = [{frozenset(u.id for u in batch) for batch in epoch} for epoch in epochs]
    assert len(in_epoch[0] & in_epoch[1]) < 0.1 * len(in_epoch[0])


def test_order_is_set_by_seed_and_epoch(folder: Path) -> None:
    def ids(seed: int, epoch: int) -> list[tuple[str, ...]]:
        store = open_store(folder)
        loader = Loader(store, store.utterances, 60, {})
        return [batch.ids for batch in loader.shuffled(seed, epoch)]

    assert ids(1, 2) == ids(1, 2)
    assert ids(1, 2) != ids(1, 3)
    assert ids(1, 2) != ids(2, 2)


def test_few_files_stay_open_and_no_cache_reads_the_same(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("model.store.MAX_OPEN_SHARDS", 4)
    cold, kept = open_store(folder, cache_bytes=0), open_store(folder)
    for _ in range(2):
        for utterance in cold.utterances:
            one, other = cold.read(utterance), kept.read(utterance)
            np.testing.assert_array_equal(one.video, other.video)
    assert len(cold._readers) <= 4 and not cold._cache
    assert len(kept._cache) == len(kept.utterances)


def test_stopping_in_mid_epoch_leaves_no_thread(folder: Path) -> None:
    import threading

    store = open_store(folder)
    before = threading.active_count()
    batches = Loader(store, store.utterances, 20, {}).shuffled(0, 0)
    next(batches)
    batches.close()
    assert threading.active_count() == before


@given(first=st.integers(0, 10**6))
def test_held_out_by_id_alone(first: int) -> None:
    ids = [f"id{first}/{i}" for i in range(80)]
    utterances = [Utterance(i, "s", 1, "", "", None) for i in ids]
    train, dev = split_by_hash(utterances, 0.5)
    assert sorted(u.id for u in train + dev) == sorted(ids)
    fewer_train, fewer_dev = split_by_hash(utterances[::-1][:55], 0.5)
    assert set(fewer_train) <= set(train) and set(fewer_dev) <= set(dev)


def test_empty_parts_are_errors(folder: Path) -> None:
    store = open_store(folder)
    assert [u.fold for u in labelled_fold(store, "dev")] == ["dev"] * 6
    with pytest.raises(TrainError, match="fold 'test'"):
        labelled_fold(store, "test")
    with pytest.raises(TrainError, match="dev_fraction 0"):
        split_by_hash(store.utterances, 0.0)


def test_what_cannot_be_trained_on_is_named(folder: Path, tmp_path_factory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(TrainError, match="no features here"):
        open_store(empty / "absent")
    with pytest.raises(TrainError, match="no shards here"):
        open_store(empty)
    (folder / "shard-00001.audio.h5").rename(empty / "audio.h5")
    with pytest.raises(TrainError, match="shard-00001 has no audio file"):
        open_store(folder)
    (folder / "shard-00001.audio.h5").write_bytes(b"not HDF5")
    with pytest.raises(ShardError, match="shard-00001"):
        open_store(folder)


def test_dimensions_that_differ_name_the_shard(folder: Path) -> None:
    wide = {**FIELDS, "text": {"features": ((4,), "float16"), "times_s": ((2,), "float32")}}
    write_shard(folder, 7, ["x"], fields=wide)
    with pytest.raises(TrainError, match="shard-00007 has 4-d text features, .* 3-d"):
        open_store(folder)


def test_character_outside_the_alphabet_names_the_utterance(folder: Path, monkeypatch) -> None:
    store = open_store(folder)
    monkeypatch.setattr("model.store._text", lambda raw: "É")
    with pytest.raises(TextError, match="^s0/u0: "):
        list(Loader(store, store.utterances[:1], 60, {}).in_order())


def test_features_that_are_not_finite_name_the_utterance(folder: Path, monkeypatch) -> None:
    store = open_store(folder)
    monkeypatch.setattr(
        "featurize.shards.ShardReader.read",
        lambda self, utterance_id: {"features": np.full((4, 40), np.nan)},
    )
    with pytest.raises(TrainError, match="^s0/u0: audio features are not finite"):
        feature_statistics(store, store.utterances)
