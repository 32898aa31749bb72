"""Padded torch batches: ours through ``model.data.Loader``, the peers through their own loaders.

Batches of 32 utterances, an epoch a round. With one worker a peer may work in the main process or
in one worker process, whichever is faster; ours has one thread. With two, peers have two processes
and ours two threads. ``float32`` makes a batch single precision after it has arrived, as a trainer
without a GPU does. Ours also makes masks, characters, speakers and labels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks.corpus import STACKED
from benchmarks.peers import Peer
from benchmarks.timing import Line, Options, Report, alternate
from model.data import Loader
from model.store import FeatureStore

BATCH_SIZE = 32
TARGET = 2.0

Epoch = Callable[[], Iterable]


def add_batches(
    report: Report, store: FeatureStore, peers: Sequence[Peer], options: Options
) -> None:
    """Speeds with one worker and with two, in both precisions."""
    lines, speeds = [], []
    for n_workers in (1, 2):
        epochs: dict[tuple[str, int], Epoch] = {
            (peer.name, n): peer.batches(BATCH_SIZE, n)
            for peer in peers
            for n in ((0, 1) if n_workers == 1 else (2,))
        }
        epochs["trimodal", n_workers] = partial(_our_epoch, store, n_workers)
        for precision in ("float16",) if options.quick else ("float16", "float32"):
            consume = _as_stored if precision == "float16" else _as_float32
            runs = {key: partial(consume, epoch) for key, epoch in epochs.items()}
            per_s = {k: len(store) / s for k, s in alternate(runs, options.rounds).items()}
            lines.append(_line(per_s, n_workers, precision))
            speeds += [(*key, precision, f"{speed:,.0f}") for key, speed in per_s.items()]
    report.lines("Padded batches of 32 utterances, utterances a second", lines)
    report.table("All rivals", ("who", "worker processes (ours: threads)", "as", "/s"), speeds)


def _line(per_s: Mapping[tuple[str, int], float], n_workers: int, precision: str) -> Line:
    ours = per_s["trimodal", n_workers]
    best = max((key for key in per_s if key[0] != "trimodal"), key=lambda key: per_s[key])
    return Line(
        f"batches_{precision}_{n_workers}_over_best_peer",
        f"batches as {precision}, {n_workers} worker(s)",
        f"{ours:,.0f}/s",
        f"{best[0]} ({best[1]} processes): {per_s[best]:,.0f}/s",
        ours / per_s[best],
        TARGET,
    )


def _our_epoch(store: FeatureStore, n_workers: int) -> Iterable:
    frames_per_batch = BATCH_SIZE * STACKED["audio"][0]
    loader = Loader(store, np.arange(len(store)), frames_per_batch, {}, n_workers=n_workers)
    return loader.in_order()


def _as_stored(epoch: Epoch) -> None:
    for _ in epoch():
        pass


def _as_float32(epoch: Epoch) -> None:
    for batch in epoch():
        if isinstance(batch, dict):
            batch = {name: tensor.float() for name, tensor in batch.items()}
        else:
            batch = batch.to("cpu")
