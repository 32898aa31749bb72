"""Joining shards, statistics and batches, on small random shards."""

import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import ShardError, TextError, TrainError
from featurize.shards import (
    NO_LABELS,
    TARGET_COLUMNS,
    TARGET_FIELDS,
    PlacedReader,
    ShardReader,
    ShardWriter,
)
from model.config import EOS_ID, MODALITIES, PAD_ID, SOS_ID, TASKS, decode
from model.data import Batch, Loader, labelled_fold, shuffled_groups, split_by_hash, subset
from model.store import FeatureStore, feature_statistics, stack_frames

FIELDS = {
    "audio": {"features": ((40,), "float16")},
    "video": {"features": ((6,), "float16"), "times_s": ((), "float32")},
    "text": {"features": ((3,), "float16"), "times_s": ((2,), "float32")},
    "targets": TARGET_FIELDS,
}


def write_shard(
    folder: Path, number: int, ids: list[str], *, lacking=(), fields=FIELDS, **settings
) -> None:
    """A shard of random features; ``lacking`` holds the (id, modality) pairs to leave out."""
    rng = np.random.default_rng(number)
    with ExitStack() as stack:
        for modality, spec in fields.items():
            writer = ShardWriter(
                folder / f"shard-{number:05d}.{modality}.h5",
                modality=modality,
                fields=spec,
                columns=TARGET_COLUMNS if modality == "targets" else {},
                config={},
                fingerprint="f",
                tools={},
                **settings,
            )
            stack.enter_context(writer)
            for i, utterance_id in enumerate(ids):
                n = int(rng.integers(1, 90))
                arrays = {name: rng.normal(2, 3, (n, *shape)) for name, (shape, _) in spec.items()}
                if modality == "targets":
                    text = "it's " + "abc"[: i % 4]
                    arrays = {"characters": np.frombuffer(text.encode(), np.uint8)}
                columns = {
                    "speaker": f"speaker {i % 3}",
                    "fold": ("train", "dev", "")[i % 3],
                    "labels": [-1, 0, 0.5, 0, 3, 0, 0] if i % 2 else NO_LABELS,
                }
                if (utterance_id, modality) not in lacking:
                    writer.add(utterance_id, arrays, columns)


def open_store(folder: Path) -> FeatureStore:
    return FeatureStore(folder, n_stacked_frames=5)


def loader_of(store: FeatureStore, frames_per_batch: int = 60, **settings) -> Loader:
    return Loader(store, np.arange(len(store)), frames_per_batch, {}, **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(3):
        write_shard(tmp_path, shard, [f"s{shard}/u{i}" for i in range(12)])
    return tmp_path


def test_columns_hold_what_the_tables_say(folder: Path) -> None:
    store = open_store(folder)
    assert len(store) == 36
    assert [store.id(row) for row in (0, 12, 35)] == ["s0/u0", "s1/u0", "s2/u11"]
    assert store.shard.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert store.speakers == ["speaker 0", "speaker 1", "speaker 2"]
    assert store.speaker.tolist() == [i % 3 for i in range(12)] * 3
    assert [store.folds[number] for number in store.fold[:3]] == ["train", "dev", ""]
    assert store.is_labelled.tolist() == [False, True] * 18
    assert store.emotions[1].tolist() == [False, True, False, True, False, False]
    assert not store.emotions[0].any()
    for row in range(len(store)):
        assert store.n_stacks[row] == len(store.features(row, "audio"))


def test_rows_are_found_by_id(folder: Path) -> None:
    store = open_store(folder)
    assert [store.row(store.id(row)) for row in range(len(store))] == list(range(len(store)))
    for unknown in ("", "s0", "s0/u", "s9/u9", "a", "z", "s0/u00", "é", "x" * 99):
        with pytest.raises(KeyError):
            store.row(unknown)


def test_joins_by_id_and_masks_what_is_absent(tmp_path: Path) -> None:
    lacking = {("a", "video"), ("b", "text"), ("c", "audio"), ("d", "targets")}
    write_shard(tmp_path, 0, ["a", "b", "c", "d", "e"], lacking=lacking)
    store = open_store(tmp_path)
    assert [store.id(row) for row in range(len(store))] == ["a", "b", "e"]
    assert store.n_left_out == 1
    assert (store.dims.audio, store.dims.video, store.dims.text) == (200, 6, 3)
    loader = Loader(store, np.arange(3), 10_000, {"speaker 1": 4})
    (batch,) = loader.in_order()
    has = {
        utterance_id: (bool(video.any()), bool(text.any()))
        for utterance_id, video, text in zip(
            batch.ids, batch.video_mask, batch.text_mask, strict=True
        )
    }
    assert has == {"a": (False, True), "b": (True, False), "e": (True, True)}
    assert batch.video.shape[2] == 6 and batch.video.dtype == torch.float16
    on_device = batch.to("cpu")
    assert on_device.video.dtype == on_device.audio.dtype == torch.float32
    torch.testing.assert_close(on_device.video, batch.video.float(), rtol=0, atol=0)
    known = dict(zip(batch.ids, batch.speakers.tolist(), strict=True))
    assert known == {"a": -1, "b": 4, "e": 4}


@pytest.mark.gpu
def test_batches_in_pinned_memory_are_the_same(folder: Path) -> None:
    """Also when the memory of earlier ones has been given out again."""
    loaders = (
        Loader(open_store(folder), np.arange(36), 60, {}, pins=pins) for pins in (False, True)
    )
    for plain, pinned in zip(*(loader.in_order() for loader in loaders), strict=True):
        for name, value in vars(plain).items():
            if name != "ids":
                assert getattr(pinned, name).is_pinned() and not value.is_pinned()
                assert getattr(pinned, name).equal(value)
                assert getattr(pinned.to("cuda"), name).cpu().equal(getattr(plain.to("cpu"), name))


@pytest.mark.parametrize("encoding", ["float16", "float32", "bfloat16", "int8_scaled"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_batch_holds_what_was_stored(tmp_path: Path, encoding: str, compression: str) -> None:
    fields = {**FIELDS, "audio": {"features": ((40,), encoding)}}
    for shard in range(2):
        ids = [f"s{shard}/u{i}" for i in range(9)]
        write_shard(tmp_path, shard, ids, fields=fields, compression=compression)
    store = open_store(tmp_path)
    row_of = {store.id(row): row for row in range(len(store))}
    for batch in loader_of(store).in_order():
        assert batch.audio.dtype == (torch.float16 if encoding == "float16" else torch.float32)
        for i, utterance_id in enumerate(batch.ids):
            row = row_of[utterance_id]
            number = int(utterance_id[1])
            for name in MODALITIES:
                mask = getattr(batch, f"{name}_mask")[i].numpy()
                steps = getattr(batch, name)[i].numpy()
                with ShardReader(tmp_path / f"shard-{number:05d}.{name}.h5") as shard:
                    stored = shard.read(utterance_id)["features"]
                expected = stack_frames(stored, 5) if name == "audio" else stored
                np.testing.assert_array_equal(steps[mask], expected)
                assert not steps[~mask].any()
            ids = batch.characters[i].tolist()
            assert ids[0] == SOS_ID and decode(ids) == store.transcript(row)
            assert set(ids[ids.index(EOS_ID) + 1 :]) <= {PAD_ID}
            assert batch.labels[i].bool().tolist() == store.emotions[row].tolist()


@given(n=st.integers(1, 40), n_stacked=st.integers(1, 8))
def test_stacking_repeats_the_last_frame(n: int, n_stacked: int) -> None:
    frames = np.arange(n * 3).reshape(n, 3)
    stacked = stack_frames(frames, n_stacked).reshape(-1, 3)
    np.testing.assert_array_equal(stacked[:n], frames)
    assert len(stacked) < n + n_stacked
    assert all((row == frames[-1]).all() for row in stacked[n:])


def test_statistics_equal_numpy(folder: Path) -> None:
    store = open_store(folder)
    found = feature_statistics(store, range(len(store)))
    for name, (mean, std) in found.items():
        rows = np.concatenate([store.features(row, name) for row in range(len(store))])
        rows = rows.astype(np.float64)
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(std, rows.std(axis=0), rtol=1e-6)


def groups_of(
    lengths: list[int], n_shards: int, seed: int = 0, world_size: int = 1, budget: int = 400
) -> list[list[np.ndarray]]:
    n_stacks = np.array(lengths)
    shards = np.arange(len(n_stacks)) % n_shards
    rng = np.random.default_rng(seed)
    rows = np.arange(len(n_stacks)) + 1000  # rows are names, not places
    return list(shuffled_groups(rows, shards, n_stacks, budget, rng, world_size))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=80),
    seed=st.integers(0, 99),
    n_shards=st.integers(1, 40),
)
def test_each_utterance_once_within_the_budget(lengths, seed, n_shards) -> None:
    groups = groups_of(lengths, n_shards, seed)
    batches = [batch for group in groups for batch in group]
    assert sorted(np.concatenate(batches)) == [1000 + i for i in range(len(lengths))]
    n_stacks = np.array(lengths)
    assert all(n_stacks[batch - 1000].max() * len(batch) <= 400 for batch in batches)
    again = [batch for group in groups_of(lengths, n_shards, seed) for batch in group]
    assert all(map(np.array_equal, batches, again))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=60, max_size=200),
    seed=st.integers(0, 99),
    n_shards=st.integers(1, 40),
    world_size=st.integers(1, 7),
)
def test_every_process_gets_as_many_batches_and_none_twice(
    lengths, seed, n_shards, world_size
) -> None:
    groups = groups_of(lengths, n_shards, seed, world_size)
    assert {len(group) for group in groups} == {world_size}
    rows = np.concatenate([batch for group in groups for batch in group])
    assert sorted(rows) == [1000 + i for i in range(len(lengths))]


def test_fewer_utterances_than_processes() -> None:
    with pytest.raises(TrainError, match="do not go round the 4 batches of a step"):
        groups_of([10, 10, 10], 1, world_size=4)


def test_longer_than_the_budget_is_a_batch_alone() -> None:
    groups = groups_of([900, 10, 10], 1)
    assert sorted(len(batch) for group in groups for batch in group) == [1, 2]


def padding_share(batches: list[np.ndarray], n_stacks: np.ndarray) -> float:
    n_real = sum(n_stacks[batch].sum() for batch in batches)
    return 1 - n_real / sum(n_stacks[batch].max() * len(batch) for batch in batches)


@pytest.mark.parametrize("world_size", [1, 8])
def test_padding_stays_under_a_tenth_and_epochs_differ(world_size: int) -> None:
    rng = np.random.default_rng(0)
    # Four seconds and up, mean 7.8 s, as in VoxCeleb2; 20 stacks a second.
    n_stacks = (20 * np.minimum(4 + rng.exponential(3.8, 4000), 60)).astype(int)
    shards = np.arange(4000) // 200
    epochs = []
    for epoch in range(2):
        generator = np.random.default_rng([0, epoch])
        groups = shuffled_groups(
            np.arange(4000), shards, n_stacks, 4000, generator, group_size=world_size
        )
        epochs.append([batch for group in groups for batch in group])
    assert padding_share(epochs[0], n_stacks) < 0.1
    in_epoch = [{frozenset(batch.tolist()) for batch in epoch} for epoch in epochs]
    assert len(in_epoch[0] & in_epoch[1]) < 0.1 * len(in_epoch[0])


def test_order_is_set_by_seed_and_epoch(folder: Path) -> None:
    def ids(seed: int, epoch: int) -> list[tuple[str, ...]]:
        return [batch.ids for batch in loader_of(open_store(folder)).shuffled(seed, epoch)]

    assert ids(1, 2) == ids(1, 2)
    assert ids(1, 2) != ids(1, 3)
    assert ids(1, 2) != ids(2, 2)


def equal(one: Batch, other: Batch) -> bool:
    return one.ids == other.ids and all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("audio", "audio_mask", "video", "text", "characters", "speakers", "labels")
    )


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_batches(folder: Path, n_workers: int) -> None:
    batches = list(loader_of(open_store(folder)).shuffled(0, 1))
    others = list(loader_of(open_store(folder), n_workers=n_workers).shuffled(0, 1))
    assert len(batches) == len(others) > 5
    assert all(map(equal, batches, others))


def test_going_on_in_mid_epoch_gives_the_batches_of_the_unbroken_run(folder: Path) -> None:
    batches = list(loader_of(open_store(folder), n_workers=2).shuffled(3, 1))
    for first in (0, 1, len(batches) // 2, len(batches) - 1, len(batches)):
        rest = list(loader_of(open_store(folder)).shuffled(3, 1, first_batch=first))
        assert len(rest) == len(batches) - first
        assert all(map(equal, batches[first:], rest))


def test_ranks_share_the_utterances_out(folder: Path) -> None:
    store = open_store(folder)
    shares = [list(loader_of(store, rank=rank, world_size=3).shuffled(0, 0)) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    ids = Counter(i for share in shares for batch in share for i in batch.ids)
    assert ids == Counter(store.id(row) for row in range(len(store)))


def test_a_step_of_one_process_is_that_of_several(folder: Path) -> None:
    """Six batches: by one process, by two with three each, by three with two each."""
    steps = []
    for size, n_batches in ((1, 6), (2, 3), (3, 2)):
        shares = [
            list(
                loader_of(
                    open_store(folder), 40, rank=rank, world_size=size, batches_per_step=n_batches
                ).shuffled(0, 0)
            )
            for rank in range(size)
        ]
        assert all(len(share) % n_batches == 0 for share in shares)
        cut = range(0, len(shares[0]), n_batches)
        steps.append([{b.ids for s in shares for b in s[i : i + n_batches]} for i in cut])
    assert steps[0] == steps[1] == steps[2] and len(steps[0]) > 1


def test_dev_is_shared_out(folder: Path) -> None:
    whole = [batch.ids for batch in loader_of(open_store(folder)).in_order()]
    for size in (2, 3, len(whole) + 1):
        shares = [
            [b.ids for b in loader_of(open_store(folder), rank=r, world_size=size).in_order()]
            for r in range(size)
        ]
        assert shares == [whole[rank::size] for rank in range(size)]


def test_few_files_stay_open(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("model.store.MAX_OPEN_SHARDS", 4)
    cold = open_store(folder)
    monkeypatch.undo()
    warm = open_store(folder)
    for row in range(len(cold)):
        monkeypatch.setattr("model.store.MAX_OPEN_SHARDS", 4)
        video = cold.features(row, "video")
        monkeypatch.undo()
        np.testing.assert_array_equal(video, warm.features(row, "video"))
        assert len(cold._readers) <= 4


def test_a_shard_made_again_while_in_use_is_noticed(folder: Path) -> None:
    store = open_store(folder)
    write_shard(folder, 1, ["x", "y"])
    assert len(store.features(0, "video"))
    with pytest.raises(ShardError, match="shard-00001.video.h5: was made again"):
        store.features(12, "video")


def test_stopping_in_mid_epoch_leaves_no_thread(folder: Path) -> None:
    before = threading.active_count()
    batches = loader_of(open_store(folder), 20).shuffled(0, 0)
    next(batches)
    batches.close()
    assert threading.active_count() == before


@given(first=st.integers(0, 10**6))
def test_held_out_by_id_alone(first: int) -> None:
    ids = np.array([f"id{first}/{i}".encode() for i in range(80)])
    train, dev = split_by_hash(ids, 0.5)
    assert sorted([*train, *dev]) == list(range(80))
    fewer = ids[::-1][:55]
    fewer_train, fewer_dev = split_by_hash(fewer, 0.5)
    assert set(fewer[fewer_train]) <= set(ids[train]) and set(fewer[fewer_dev]) <= set(ids[dev])


@given(
    n=st.integers(1, 300), fractions=st.tuples(*[st.floats(0.001, 1)] * 2), seed=st.integers(0, 99)
)
def test_a_smaller_share_is_part_of_a_larger_one(n: int, fractions, seed: int) -> None:
    ids = np.array([f"v{i}/3".encode() for i in range(2 * n)])
    rows = np.arange(0, 2 * n, 2)
    small, large = (set(subset(ids, rows, f, seed).tolist()) for f in sorted(fractions))
    assert small <= large <= set(rows.tolist())
    assert len(small) == max(1, round(min(fractions) * n))
    order = np.random.default_rng(seed).permutation(2 * n)  # other shards, the same utterances
    moved = subset(ids[order], np.flatnonzero(np.isin(order, rows)), min(fractions), seed)
    assert {ids[order][row] for row in moved} == {ids[row] for row in small}


def test_another_seed_is_another_share() -> None:
    ids = np.array([f"v{i}".encode() for i in range(100)])
    first, second = (subset(ids, np.arange(100), 0.2, seed).tolist() for seed in (0, 1))
    assert first != second


def test_labels_are_those_of_the_task(folder: Path) -> None:
    store = open_store(folder)
    rows = labelled_fold(store, "train")
    assert store.sentiment[rows].tolist() == [-1.0] * len(rows)
    batches = [next(Loader(store, rows, 500, {}, task=task).in_order()) for task in TASKS]
    emotions, sentiment = (batch.labels for batch in batches)
    assert emotions.tolist() == [[0, 1, 0, 1, 0, 0]] * len(emotions)
    assert sentiment.tolist() == [[-1.0]] * len(sentiment)


def test_empty_parts_are_errors(folder: Path) -> None:
    store = open_store(folder)
    assert [store.folds[store.fold[row]] for row in labelled_fold(store, "dev")] == ["dev"] * 6
    with pytest.raises(TrainError, match="fold 'test'"):
        labelled_fold(store, "test")
    with pytest.raises(TrainError, match="dev_fraction 0"):
        split_by_hash(store.ids, 0.0)


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
    monkeypatch.setattr(FeatureStore, "transcript", lambda self, row: "É")
    with pytest.raises(TextError, match="^s0/u0: "):
        list(Loader(store, np.array([0]), 60, {}).in_order())


def test_features_that_are_not_finite_name_the_utterance(folder: Path, monkeypatch) -> None:
    store = open_store(folder)
    monkeypatch.setattr(PlacedReader, "array", lambda self, *_: np.full((4, 40), np.nan))
    with pytest.raises(TrainError, match="^s0/u0: audio features are not finite"):
        feature_statistics(store, range(len(store)))


@pytest.mark.parametrize("name", ["audio", "video", "targets"])
def test_version_1_shards_are_joined_as_well(tmp_path: Path, name: str) -> None:
    """Of one folder some shards may still be of the first version."""
    fixtures = Path(__file__).parents[1] / "featurize" / "shards" / "fixtures"
    ids = [f"id00012/21Uxsk56VDQ/{i:05d}" for i in range(3)]
    write_shard(tmp_path, 0, ids)
    old = fixtures / f"version1.{name}.h5"
    if name == "video":  # 8-d there, 6-d here
        (tmp_path / "shard-00000.video.h5").unlink()
    (tmp_path / f"shard-00000.{name}.h5").write_bytes(old.read_bytes())
    store = open_store(tmp_path)
    assert len(store) == (2 if name == "audio" else 3)  # one of the old utterances has no sound
    with ShardReader(old) as shard:
        stored = shard.read(store.id(0))
        if name == "targets":
            assert (store.speakers, store.transcript(0)) == (["id00012"], "a cat")
            assert store.is_labelled.tolist() == [True, False, True]
        else:
            expected = stored["features"]
            expected = stack_frames(expected, 5) if name == "audio" else expected
            np.testing.assert_array_equal(store.features(0, name), expected)
