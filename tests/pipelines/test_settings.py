"""Preset, then file, then flags; and every mistake named."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from featurize.errors import UsageError
from featurize.lfbe import LfbeConfig
from model.config import ModelConfig, TrainConfig
from pipelines.decode import DecodeSettings
from pipelines.extract import TextSettings, VideoSettings
from pipelines.settings import PRESETS, PrepareSettings, SelectSettings, Settings

CLASSES = {
    "prepare": PrepareSettings,
    "decode": DecodeSettings,
    "select": SelectSettings,
    "audio": LfbeConfig,
    "video": VideoSettings,
    "text": TextSettings,
    "model": ModelConfig,
    "pretrain": TrainConfig,
    "finetune": TrainConfig,
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("section", CLASSES)
def test_every_section_of_every_preset_is_valid(preset: str, section: str) -> None:
    Settings(preset).section(section, CLASSES[section])


def test_the_paper_preset_is_the_paper() -> None:
    settings = Settings("paper")
    model = settings.section("model", ModelConfig)
    train = settings.section("pretrain", TrainConfig)
    audio = settings.section("audio", LfbeConfig)
    assert (model.d_model, model.n_heads, model.n_audio_layers, model.d_ff) == (512, 4, 4, 200)
    assert (model.n_crossmodal_layers, model.n_decoder_layers) == (4, 2)
    assert (train.asr_weight, train.speaker_weight) == (0.8, 0.2)
    assert (audio.n_bins, audio.hop_s, model.n_stacked_frames) == (40, 0.010, 5)


def test_flags_beat_the_file_and_the_file_beats_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[video]\nfps = 5\nlayer = 'fc6'\n")
    video = Settings("demo", path).section("video", VideoSettings, layer="fc7", weights=None)
    assert (video.fps, video.layer, video.weights) == (5.0, "fc7", "random:0")


def test_all_mistakes_of_a_section_come_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[video]\nfsp = 5\nbatch_size = 'many'\nlayer = 'fc8'\n")
    with pytest.raises(UsageError) as error:
        Settings("demo", path).section("video", VideoSettings)
    for word in ("fsp", "batch_size", "layer", "[video]"):
        assert word in str(error.value)


@pytest.mark.parametrize("content", ["[video", "[colour]\nx = 1", "fps = 1", "\xff"])
def test_a_file_that_is_no_settings_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match="mine.toml"):
        Settings("demo", path)


@dataclass(frozen=True)
class Sample:
    whole: int = 1
    share: float = 0.5
    flag: bool = False
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    name: str | None = None


def test_values_are_taken_only_as_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[model]\nshare = 1\nweights = [1, 2, 3.5]\nname = 'x'\n")
    sample = Settings("paper", path).section("model", Sample)
    assert sample == Sample(share=1.0, weights=(1.0, 2.0, 3.5), name="x")
    for wrong in ("whole = 1.5", "whole = true", "flag = 1", "weights = [1, 2]", "name = 3"):
        path.write_text(f"[model]\n{wrong}\n")
        with pytest.raises(UsageError, match=wrong.split(" ")[0]):
            Settings("paper", path).section("model", Sample)
