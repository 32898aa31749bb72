"""Audio: m4a to LFBE in shards, against the bare work, a plain loop, and three peers.

The recordings are LibriSpeech's of ../shared/data/speech_en where they are, else espeak-ng's.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import torch

from benchmarks.timing import MIB, alternate, in_fresh_process, peak_bytes
from featurize.lfbe import lfbe
from featurize.media import read_audio
from featurize.threads import one_thread

SAMPLE_RATE_HZ = 16000
N_FILES = 40
REPEATED = 4  # times each file is in the shard; a shard of VoxCeleb2 has 512 utterances
PLACES = [folder / "shared/data/speech_en" for folder in Path(__file__).resolve().parents[2:4]]

# Ours, theirs, the ratio to reach.
COMPARED: list[tuple[str, str, float | None]] = [
    ("stage", "bare: PyAV and our LFBE, in memory", 0.9),
    ("stage", "plain loop: PyAV, torchaudio, h5py", None),
    ("stage on FLAC", "lhotse: compute_and_store_features, FLAC", None),
]

Runs = dict[str, Callable[[], object]]


def rows(quick: bool) -> list[dict[str, Any]]:
    """One row a rival; ``ratio`` is how many times faster ours is."""
    # All of them on one thread: parallelism comes from processes.
    with one_thread(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeated = 1 if quick else REPEATED
        of_whom, sound_s = make_recordings(folder, repeated)
        rounds = 3 if quick else 7
        kernel_s = alternate(kernels(folder), rounds)
        runs = whole_paths(folder)
        compared = COMPARED[:-1] if quick else COMPARED
        chosen = {name: runs[name] for pair in compared for name in pair[:2]}
        whole_s = alternate(chosen, rounds)
        measured = ["stage"] if quick else list(chosen)
        memory_mb = {path: in_fresh_process(_peak_mb, folder, path) for path in measured}
    of_whom = f"of {of_whom}, one process, one thread"
    what = f"LFBE alone, {sound_s:.0f} s {of_whom}"
    found = [
        _row(what, "ours", name, kernel_s, sound_s, {}, 1.0)
        for name in ("torchaudio", "kaldi-native-fbank", "lhotse")
    ]
    for ours, theirs, target in compared:
        what = f"{ours}: open, decode, LFBE, write; {repeated * sound_s:.0f} s {of_whom}"
        found.append(_row(what, ours, theirs, whole_s, repeated * sound_s, memory_mb, target))
    return found


def make_recordings(folder: Path, repeated: int) -> tuple[str, float]:
    """Writes FOLDER/m4a and FOLDER/flac; returns whose they are and the seconds of one of each."""
    from pipelines.demo.video_file import write_audio

    place = next((place for place in PLACES if place.is_dir()), None)
    found = _librispeech(place) if place else _synthesised()
    n_samples = 0
    for number, samples in zip(range(N_FILES), found, strict=False):
        write_audio(folder / "m4a" / f"{number:03d}-0.m4a", samples)
        _write_flac(folder / "flac" / f"{number:03d}-0.flac", samples)
        n_samples += len(samples)
    for path in [*(folder / "m4a").iterdir(), *(folder / "flac").iterdir()]:
        for again in range(1, repeated):
            shutil.copy(path, path.with_stem(path.stem[:-1] + str(again)))
    return "LibriSpeech" if place else "espeak-ng", n_samples / SAMPLE_RATE_HZ


def kernels(folder: Path) -> Runs:
    """LFBE of the same arrays, file by file."""
    from kaldi_native_fbank import FbankOptions, OnlineFbank
    from lhotse import Fbank, FbankConfig
    from torchaudio.compliance import kaldi

    waves = [read_audio(path) for path in sorted((folder / "m4a").glob("*-0.m4a"))]
    options = FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 40
    lists = [(wave * 32768).tolist() for wave in waves]  # the form it takes fastest
    extractor = Fbank(FbankConfig(num_filters=40, high_freq=0.0))

    def native(samples: list[float]) -> np.ndarray:
        fbank = OnlineFbank(options)
        fbank.accept_waveform(SAMPLE_RATE_HZ, samples)
        fbank.input_finished()
        return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    def by_torchaudio(wave: np.ndarray) -> np.ndarray:
        samples = torch.from_numpy(wave)[None] * 32768
        return kaldi.fbank(samples, num_mel_bins=40, dither=0.0).numpy()

    np.testing.assert_allclose(lfbe(waves[0], SAMPLE_RATE_HZ), native(lists[0]), atol=1e-3)
    return {
        "ours": lambda: [lfbe(wave, SAMPLE_RATE_HZ) for wave in waves],
        "torchaudio": lambda: [by_torchaudio(wave) for wave in waves],
        "kaldi-native-fbank": lambda: [native(samples) for samples in lists],
        "lhotse": lambda: [extractor.extract(wave, SAMPLE_RATE_HZ) for wave in waves],
    }


def whole_paths(folder: Path) -> Runs:
    """From files to features, and to a file of them for all but the bare work."""
    m4a, flac = (sorted((folder / kind).iterdir()) for kind in ("m4a", "flac"))
    return {
        "stage": partial(_stage, folder, m4a),
        "bare: PyAV and our LFBE, in memory": lambda: [
            lfbe(_decoded(path), SAMPLE_RATE_HZ) for path in m4a
        ],
        "plain loop: PyAV, torchaudio, h5py": partial(_plain_loop, folder, m4a),
        "stage on FLAC": partial(_stage, folder, flac),
        "lhotse: compute_and_store_features, FLAC": partial(_by_lhotse, folder, flac),
    }


def _stage(folder: Path, paths: list[Path]) -> None:
    """The stage as the command runs it, one shard, in this process."""
    from pipelines.backends import Loky
    from pipelines.extract import ExtractSettings
    from pipelines.extract_work import audio_work
    from pipelines.manifest import Utterance
    from pipelines.runner import Unit, run_stage
    from pipelines.settings import Settings

    settings = ExtractSettings.load(Settings("paper"), video={}, glove=None, store={}, device="cpu")
    with _fresh(folder / "features") as out:
        unit = Unit(
            shard=0,
            output=out / "shard-00000.audio.h5",
            fingerprint="",
            config=settings.of("audio"),
            root=paths[0].parent,
            utterances=[Utterance(path.stem, "", path.name, None) for path in paths],
        )
        summary = run_stage(
            "audio", [unit], partial(audio_work, settings), backend=Loky(1), redo=False,
            max_reject_share=0.0, progress=lambda _: None,
        )  # fmt: skip
        assert summary.n_done == len(paths)


def _plain_loop(folder: Path, paths: list[Path]) -> None:
    from torchaudio.compliance import kaldi

    with _fresh(folder / "plain") as out, h5py.File(out / "features.h5", "w") as file:
        for path in paths:
            samples = torch.from_numpy(_decoded(path))[None] * 32768
            features = kaldi.fbank(samples, num_mel_bins=40, dither=0.0).numpy()
            file.create_group(path.stem)["features"] = features.astype(np.float16)


def _by_lhotse(folder: Path, paths: list[Path]) -> None:
    from lhotse import CutSet, Fbank, FbankConfig, NumpyHdf5Writer, Recording, RecordingSet

    recordings = RecordingSet.from_recordings(Recording.from_file(path) for path in paths)
    with _fresh(folder / "lhotse") as out:
        CutSet.from_manifests(recordings=recordings).compute_and_store_features(
            extractor=Fbank(FbankConfig(num_filters=40, high_freq=0.0)),
            storage_path=out / "features",
            storage_type=NumpyHdf5Writer,
            progress_bar=False,
        )


def _decoded(path: Path) -> np.ndarray:
    """PyAV as its documentation shows it."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
        frames = [
            resampled.to_ndarray()[0]
            for frame in [*container.decode(audio=0), None]
            for resampled in resampler.resample(frame)
        ]
    return np.concatenate(frames)


def _librispeech(place: Path) -> Iterator[np.ndarray]:
    for path in sorted(place.glob("*.flac")):
        yield np.round(read_audio(path) * 32768).astype(np.int16)


def _synthesised() -> Iterator[np.ndarray]:
    from pipelines.demo.sentences import english_sentence
    from pipelines.demo.sound import spoken
    from pipelines.demo.speech import Voice

    rng = np.random.default_rng(0)
    while True:  # about eight seconds each, as in VoxCeleb2
        yield np.concatenate([spoken(english_sentence(rng), Voice(), rng) for _ in range(3)])


def _write_flac(path: Path, samples: np.ndarray) -> None:
    import soundfile

    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder


def _peak_mb(folder: Path, path: str) -> float:
    torch.set_num_threads(1)
    whole_paths(folder)[path]()
    return peak_bytes() / MIB


def _row(
    what: str,
    ours: str,
    theirs: str,
    median_s: dict[str, float],
    sound_s: float,
    memory_mb: dict[str, float],
    target: float | None,
) -> dict[str, Any]:
    ratio = median_s[theirs] / median_s[ours]
    return {
        "modality": "audio",
        "what": what,
        "value": sound_s / median_s[ours],
        "unit": "x real time",
        "against": f"{theirs}: {sound_s / median_s[theirs]:,.0f} x real time"
        + (f", {memory_mb[theirs]:.0f} MiB" if theirs in memory_mb else ""),
        "ratio": ratio,
        "target": target,
        "reached": None if target is None else ratio >= target,
        "memory_mb": memory_mb.get(ours),
    }
