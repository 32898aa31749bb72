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
    """int16 (n_samples,) at 16 kHz of eight utterances by their names; the last two are German."""
    sounds = {}
    for index in range(8):
        language = "en" if index < 6 else "de"
        rng = np.random.default_rng(index)
        text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
        name = f"id{index // 2:05d}-21Uxsk56VDQ-{index:05d}"
        sounds[name] = spoken(text, random_speaker(index, language, rng).voice, rng)
    return sounds


@pytest.fixture
def workspace(tmp_path: Path, speech: dict[str, np.ndarray]) -> Callable[..., Path]:
    """``workspace(n)``: of n utterances of that speech, by ``trimodal prepare kaldi``."""
    from click.testing import CliRunner

    from pipelines.cli import main

    def make(n: int = 8) -> Path:
        write_data(tmp_path / "data", dict([*speech.items()][:n]))
        words = ["prepare", "kaldi", str(tmp_path / "data"), str(tmp_path / "work")]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return tmp_path / "work"

    return make


def write_data(folder: Path, sounds: dict[str, np.ndarray]) -> None:
    """Writes a Kaldi data directory of these utterances."""
    (folder / "wav").mkdir(parents=True)
    for name, samples in sounds.items():
        with wave.open(str(folder / "wav" / f"{name}.wav"), "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())
    sound = "".join(f"{name} {folder}/wav/{name}.wav\n" for name in sounds)
    (folder / "wav.scp").write_text(sound)
    (folder / "utt2spk").write_text("".join(f"{name} {name[:7]}\n" for name in sounds))
