"""Each line is a ratio seen in one run: ours against a named peer or the hardware's limit.

    python -m benchmarks

Rounds of ours and theirs alternate and the medians are compared, because machines drift.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from featurize.lfbe import lfbe
from featurize.shards import ShardReader, ShardWriter
from featurize.vgg import PREPROCESSING, Vgg16, VggConfig

ROUNDS = 5
SAMPLE_RATE_HZ = 16000


def main() -> None:
    """Runs all benchmarks and prints one line each."""
    for benchmark in (lfbe_against_kaldi_native_fbank, vgg_against_the_bare_network, shard_reading):
        print(benchmark(), flush=True)


def lfbe_against_kaldi_native_fbank() -> str:
    """40-d LFBE of 20 utterances of 5 s, one thread each."""
    from kaldi_native_fbank import FbankOptions, OnlineFbank

    waves = [np.random.default_rng(i).normal(0, 0.1, 5 * SAMPLE_RATE_HZ) for i in range(20)]
    waves = [wave.astype(np.float32) for wave in waves]
    options = FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 40

    def theirs() -> None:
        for wave in waves:
            fbank = OnlineFbank(options)
            fbank.accept_waveform(SAMPLE_RATE_HZ, (wave * 32768).tolist())
            fbank.input_finished()
            np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ours_s, theirs_s = alternate(lambda: [lfbe(wave) for wave in waves], theirs)
    torch.set_num_threads(n_threads)
    return (
        f"LFBE: {100 / ours_s:.0f} x real time; kaldi-native-fbank {100 / theirs_s:.0f}; "
        f"ratio {theirs_s / ours_s:.2f}"
    )


def vgg_against_the_bare_network() -> str:
    """fc7 of 64 pictures with preprocessing, against the network alone on ready tensors."""
    extractor = Vgg16(VggConfig(weights="random:0", precision="auto", batch_size=32))
    pictures = np.random.default_rng(0).integers(0, 256, (64, 224, 224, 3), dtype=np.uint8)
    dtype = getattr(torch, extractor.resolved["precision"])
    ready = [
        PREPROCESSING(torch.tensor(pictures[i : i + 32]).permute(0, 3, 1, 2)).to(
            dtype, memory_format=torch.channels_last
        )
        for i in (0, 32)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for images in ready:
                extractor.network(images)

    ours_s, bare_s = alternate(lambda: extractor(pictures), bare)
    return (
        f"VGG-16 fc7, {extractor.resolved['precision']}: {64 / ours_s:.1f} frames/s; the network "
        f"alone {64 / bare_s:.1f}; ratio {bare_s / ours_s:.2f}"
    )


def shard_reading() -> str:
    """500 utterances of 40 x 4096 float16, digests checked, against h5py reading the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.h5"
        rng = np.random.default_rng(0)
        fields = {"features": ((4096,), "float16")}
        with ShardWriter(
            path, modality="video", fields=fields, config={}, fingerprint="", tools={}
        ) as writer:
            for i in range(500):
                writer.add(f"u{i}", {"features": np.maximum(rng.normal(size=(40, 4096)), 0)})

        def ours() -> None:
            with ShardReader(path) as shard:
                for i in range(len(shard)):
                    shard[i]

        def plain() -> None:
            with h5py.File(path) as file:
                data, offsets = file["features/data"], file["features/offsets"][:]
                for start, end in zip(offsets, offsets[1:], strict=False):
                    data[start:end]

        ours_s, plain_s = alternate(ours, plain)
    return (
        f"shard reading, digests checked: {500 / ours_s:.0f} utterances/s; plain h5py "
        f"{500 / plain_s:.0f}; ratio {plain_s / ours_s:.2f}"
    )


def alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, after one warm-up round."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS + 1):
        for name, run in (("ours", ours), ("theirs", theirs)):
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return statistics.median(seconds["ours"][1:]), statistics.median(seconds["theirs"][1:])


if __name__ == "__main__":
    main()
