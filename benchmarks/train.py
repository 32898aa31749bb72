"""Training speed: against the Multimodal Transformer, waiting for data, FLOP utilisation.

    python -m benchmarks.train [--peer DIR] [--device cuda] [--quick] [--json]

DIR is a checkout of the peer (``benchmarks/multimodal_transformer.py``); without it its figures are
left out. The same functions run on a GPU, where ours is compiled and the corpus larger.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.encoders import AT_FOUR_D, PAPER, encoders, forward_backward
from benchmarks.epoch import epoch_table
from benchmarks.flops import encoder_flops
from benchmarks.multimodal_transformer import Dropouts
from benchmarks.peak import matmul_flops
from benchmarks.timing import Line, Options, Report, alternate, run
from benchmarks.train_corpus import add_as_run, add_packing, waiting_lines
from benchmarks.training_data import PAPER_DIMS, made_up_batch, write_features
from featurize.precision import settled_precision
from model.store import FeatureStore
from model.world import choose_device

EQUAL_TARGET = {"cpu": 1.0, "cuda": 3.0}
N_UTTERANCES = {"cpu": 96, "cuda": 24_576}  # of the corpus; 48 and three windows of 16 shards
N_QUICK = {"cpu": 12, "cuda": 8192}
SHARD_SIZE = {"cpu": 64, "cuda": 512}


def train(options: Options) -> Report:
    """Everything but what takes a GPU's memory to its limit."""
    device = choose_device(options.device)
    kind, report = device.type, Report()
    threads = f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    name = torch.cuda.get_device_name(device) if kind == "cuda" else threads
    faster = settled_precision("auto", device)  # without instructions for it, bfloat16 takes hours
    precisions = dict.fromkeys(("float32", faster))
    peaks = {name: matmul_flops(getattr(torch, name), device) for name in precisions}
    rates = [(name, f"{rate / 1e12:.3g} TFLOP/s") for name, rate in peaks.items()]
    report.table(f"Best rate of square matrix products here ({name})", ("dtype", "rate"), rates)
    add_equal(report, options, device, peaks)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        n = (N_QUICK if options.quick else N_UTTERANCES)[kind]
        write_features(work / "features", n, SHARD_SIZE[kind])
        store = FeatureStore(work / "features", n_stacked_frames=PAPER.n_stacked_frames)
        add_as_run(report, options, device, store, faster)
        add_packing(report, options, device, faster)
        report.lines("The trainer, real shards", waiting_lines(device, work, faster, peaks[faster]))
    epoch_table(report, options, device, faster, peaks[faster])
    return report


def add_equal(
    report: Report, options: Options, device: torch.device, peaks: dict[str, float]
) -> None:
    """Forward and backward of the encoders on one batch of full-length utterances."""
    n = 4 if options.quick else 16
    batch = made_up_batch(PAPER_DIMS, n, n_audio=160, n_video=40, n_text=20).to(device)
    compared = encoders(options, device, Dropouts.as_ours(PAPER))
    flops = 3 * n * encoder_flops(AT_FOUR_D, PAPER_DIMS, 160, 40, 20)
    rows, lines = [], []
    for precision, peak in peaks.items():
        runs = {
            who: partial(forward_backward, model, [batch], precision, device)
            for who, model in compared.items()
        }
        median_s = alternate(runs, options.rounds)
        for who, seconds in median_s.items():
            mfu = flops / seconds / peak
            rows.append(
                (f"{who}, {precision}", f"{n / seconds:.2f}", f"{seconds:.3f}", f"{mfu:.1%}")
            )
        if "peer" in median_s:
            lines.append(_equal_line(precision, median_s, n, device))
    title = f"Encoder, forward and backward, {n} x (160, 40, 20), feed-forward 2,048"
    report.table(title, ("who", "utterances/s", "seconds", "MFU"), rows)
    report.lines("Against the Multimodal Transformer, equal shapes", lines)


def _equal_line(precision: str, median_s: dict[str, float], n: int, device: torch.device) -> Line:
    return Line(
        f"train_equal_{precision}_over_peer",
        f"encoder, forward and backward, {precision}",
        f"{n / median_s['ours']:.2f} utterances/s",
        f"Multimodal Transformer: {n / median_s['peer']:.2f}",
        median_s["peer"] / median_s["ours"],
        EQUAL_TARGET[device.type],
    )


if __name__ == "__main__":
    run(train)
