"""Kaldi where the user has it, speech in a data directory, and a run of a recipe."""

import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo.foreign_sentences import foreign_sentence
from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import random_speaker

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "kaldi_recipes"
SAMPLE_RATE_HZ = 16000
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kaldi_root() -> Path:
    """The user's Kaldi; skips where KALDI_ROOT names none."""
    named = os.environ.get("KALDI_ROOT")
    if not named:
        pytest.skip("no Kaldi here: set KALDI_ROOT to run this")
    return Path(named)


@pytest.fixture(scope="session")
def run_recipe() -> Run:
    """``run_recipe("voxceleb2", "--dry-run", ..., KALDI_ROOT=...)``: without Kaldi unless given."""

    def run(recipe: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if name != "KALDI_ROOT"}
        known["PATH"] = f"{Path(sys.executable).parent}:{known['PATH']}"
        return subprocess.run(
            ["bash", RECIPES / recipe / "run.sh", *map(str, words)],
            capture_output=True, text=True, check=False,
            env={**known, "PYTHON": sys.executable, **environment},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def speech() -> dict[str, np.ndarray]:
    """int16 (n_samples,) at 16 kHz of eight utterances by their Kaldi names; the last are German."""
    sounds = {}
    for index in range(8):
        language = "en" if index < 6 else "de"
        rng = np.random.default_rng(index)
        text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
        name = f"id{index // 2:05d}-21Uxsk56VDQ-{index:05d}"
        sounds[name] = spoken(text, random_speaker(index, language, rng).voice, rng)
    return sounds


@pytest.fixture(scope="session")
def write_data() -> Callable[[Path, dict[str, np.ndarray]], None]:
    """Writes a Kaldi data directory with sound and the manifest's ids."""

    def write(folder: Path, sounds: dict[str, np.ndarray]) -> None:
        (folder / "wav").mkdir(parents=True)
        for name, samples in sounds.items():
            with wave.open(str(folder / "wav" / f"{name}.wav"), "wb") as out:
                out.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
                out.writeframes(samples.astype("<i2").tobytes())
        rows = {
            "wav.scp": [f"{name} {folder}/wav/{name}.wav" for name in sounds],
            "utt2spk": [f"{name} {name[:7]}" for name in sounds],
            "utt2id": [f"{name} {name.replace('-', '/')}" for name in sounds],
        }
        speakers = dict.fromkeys(name[:7] for name in sounds)
        rows["spk2utt"] = [
            " ".join([speaker, *(name for name in sounds if name.startswith(speaker))])
            for speaker in speakers
        ]
        for name, lines in rows.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))

    return write
