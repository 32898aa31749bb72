"""Forecasts against hand calculations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.manifest import Utterance
from pipelines.plan.forecast import Machines, Whole, forecast, shard_size_for, totals, whole
from pipelines.plan.sample import PRETRAINING, Cost, choose


def utterances(sizes: list[int | None]) -> list[Utterance]:
    return [
        Utterance(f"u{i}", "s", "a.m4a", "a.mp4", audio_bytes=n, video_bytes=n and 10 * n)
        for i, n in enumerate(sizes)
    ]


def stage(cpu_s: float = 0.0, gpu_s: float = 0.0, moved: float = 0.0, n_shards: int = 100) -> Whole:
    return Whole("video", cpu_s, gpu_s, moved, 0.0, n_shards)


def test_the_corpus_costs_what_the_sample_does_times_its_bytes() -> None:
    corpus = utterances([100, 300, 400, 200])
    costs = [Cost("audio", 2, 8.0, 0.0, 400, 40), Cost(PRETRAINING, 2, 1.0, 0.0, 0, 0)]
    audio, training = whole(costs, corpus[:2], corpus, n_shards=7)
    assert (audio.cpu_s, audio.bytes_read, audio.bytes_written) == (20.0, 1000, 100)
    assert (audio.n_shards, training.n_shards) == (7, 4)


def test_without_sizes_it_goes_by_utterances() -> None:
    corpus = utterances([None, 300, 400, 200])
    (found,) = whole([Cost("audio", 2, 8.0, 0.0, 300, 40)], corpus[:2], corpus, 7)
    assert found.cpu_s == 16.0


def test_every_worker_makes_shard_after_shard() -> None:
    made = forecast(stage(cpu_s=1000.0, moved=5e6), Machines(2, 20))
    assert made.seconds == 30.0  # 100 shards of 10 s, 40 workers: three rounds
    assert made.bound == "cores"
    assert made.bytes_s == pytest.approx(5e6 / 30)


def test_fewer_shards_than_workers_are_the_bound() -> None:
    made = forecast(stage(cpu_s=1000.0), Machines(64, 20))
    assert (made.seconds, made.bound) == (10.0, "100 shards")


def test_storage_bounds_what_it_cannot_give_in_time() -> None:
    machines = Machines(2, 20, storage_bytes_s=1e6)
    made = forecast(stage(cpu_s=1000.0, moved=90e6), machines)
    assert (made.seconds, made.bound, made.bytes_s) == (90.0, "storage", 1e6)
    assert forecast(stage(cpu_s=1000.0, moved=29e6), machines).bound == "cores"


def test_gpus_wait_for_the_cores_that_decode() -> None:
    machines = Machines(1, cores=8, gpus=2)
    assert forecast(stage(cpu_s=80.0, gpu_s=100.0), machines).seconds == 50.0
    made = forecast(stage(cpu_s=800.0, gpu_s=100.0), machines)
    assert (made.seconds, made.bound) == (100.0, "cores that decode")


@given(st.floats(1, 1e9), st.integers(1, 5000), st.integers(1, 64), st.integers(1, 128))
def test_more_machines_never_take_longer(cpu_s: float, n_shards: int, n: int, cores: int) -> None:
    one = stage(cpu_s=cpu_s, n_shards=n_shards)
    few, many = (forecast(one, Machines(k, cores)).seconds for k in (n, n + 1))
    assert many <= few
    assert few >= cpu_s / (n * cores) * (1 - 1e-9)


def test_totals_and_shard_sizes() -> None:
    assert totals([stage(3600.0, 7200.0, 5.0), stage(3600.0)]) == {
        "cpu_h": 2.0, "gpu_h": 2.0, "bytes_read": 5.0, "bytes_written": 0.0,
    }  # fmt: skip
    assert shard_size_for(1_092_009, 64 * 32) == 33
    assert shard_size_for(10, 64) == 1


def test_the_sample_is_the_same_each_time() -> None:
    corpus = utterances([1] * 50)
    assert choose(corpus, 5) == choose(corpus, 5)
    assert len({u.id for u in choose(corpus, 5)}) == 5
    assert sorted(u.id for u in choose(corpus, 80)) == sorted(u.id for u in corpus)
