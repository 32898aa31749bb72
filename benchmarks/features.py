"""Feature extraction against the peers it stands in for: LFBE, VGG-16.

python -m benchmarks.features [--quick] [--json]
"""

import numpy as np
import torch

from benchmarks.timing import Line, Options, Report, alternate, run
from featurize.lfbe import lfbe
from featurize.vgg import PREPROCESSING, Vgg16, VggConfig

SAMPLE_RATE_HZ = 16000
WAVE_S = 5


def features(options: Options) -> Report:
    """Each extractor against its peer."""
    report = Report()
    lines = [lfbe_against_kaldi_native_fbank(options), vgg_against_the_bare_network(options)]
    report.lines("Extraction", lines)
    return report


def lfbe_against_kaldi_native_fbank(options: Options) -> Line:
    """40-d LFBE of 20 utterances of 5 s, one thread each."""
    from kaldi_native_fbank import FbankOptions, OnlineFbank

    waves = [np.random.default_rng(i).normal(0, 0.1, WAVE_S * SAMPLE_RATE_HZ) for i in range(20)]
    waves = [wave.astype(np.float32) for wave in waves]
    settings = FbankOptions()
    settings.frame_opts.dither = 0.0
    settings.mel_opts.num_bins = 40

    def theirs() -> None:
        for wave in waves:
            fbank = OnlineFbank(settings)
            fbank.accept_waveform(SAMPLE_RATE_HZ, (wave * 32768).tolist())
            fbank.input_finished()
            np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runs = {"ours": lambda: [lfbe(wave) for wave in waves], "theirs": theirs}
    median_s = alternate(runs, options.rounds)
    torch.set_num_threads(n_threads)
    sound_s = WAVE_S * len(waves)
    return Line(
        "lfbe_over_kaldi_native_fbank",
        f"LFBE, {len(waves)} utterances of {WAVE_S} s, one thread",
        f"{sound_s / median_s['ours']:,.0f} x real time",
        f"kaldi-native-fbank: {sound_s / median_s['theirs']:,.0f} x",
        median_s["theirs"] / median_s["ours"],
    )


def vgg_against_the_bare_network(options: Options) -> Line:
    """fc7 with preprocessing, against the network alone on ready tensors."""
    n_pictures = 32 if options.quick else 64
    extractor = Vgg16(VggConfig(weights="random:0", precision="auto", batch_size=32))
    shape = (n_pictures, 224, 224, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    dtype = getattr(torch, extractor.resolved["precision"])
    ready = [
        PREPROCESSING(torch.tensor(pictures[i : i + 32]).permute(0, 3, 1, 2)).to(
            dtype, memory_format=torch.channels_last
        )
        for i in range(0, n_pictures, 32)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for images in ready:
                extractor.network(images)

    runs = {"ours": lambda: extractor(pictures), "bare": bare}
    median_s = alternate(runs, options.rounds)
    return Line(
        "vgg_over_bare_network",
        f"VGG-16 fc7 with preprocessing, {extractor.resolved['precision']}, batches of 32",
        f"{n_pictures / median_s['ours']:.1f} pictures/s",
        f"the network alone on ready tensors: {n_pictures / median_s['bare']:.1f}",
        median_s["bare"] / median_s["ours"],
    )


if __name__ == "__main__":
    run(features)
