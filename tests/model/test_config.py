import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.errors import TextError, UsageError
from model.config import (
    ALPHABET,
    EOS_ID,
    SOS_ID,
    ModelConfig,
    TrainConfig,
    decode,
    encode,
)


@given(st.text(alphabet=sorted("abcdefghijklmnopqrstuvwxyz' ")))
def test_decode_inverts_encode(text):
    ids = encode(text)
    assert ids[0] == SOS_ID and ids[-1] == EOS_ID and len(ids) == len(text) + 2
    assert decode(ids) == text
    assert decode([*ids[1:], 0, 5, 9]) == text, "what follows <eos> does not count"


def test_alphabet_is_the_paper_tasks_characters():
    assert len(ALPHABET) == len(set(ALPHABET)) == 31


@pytest.mark.parametrize("text", ["Hi", "caf\u00e9", "a-b", "<eos>"])
def test_foreign_characters_are_refused(text):
    with pytest.raises(TextError, match="alphabet"):
        encode(text)


def test_the_defaults_are_the_paper():
    model, train = ModelConfig(), TrainConfig()
    assert (model.d_model, model.n_heads, model.d_ff) == (512, 4, 200)
    assert (model.n_audio_layers, model.n_crossmodal_layers, model.n_decoder_layers) == (4, 4, 2)
    assert model.pretrain_weights == (0.4, 0.4, 0.2)
    assert model.finetune_weights == (1 / 3, 1 / 3, 1 / 3)
    assert (model.gru_size, model.gru_layers, model.late_fusion_hidden) == (200, 2, 100)
    assert (train.asr_weight, train.speaker_weight) == (0.8, 0.2)
    assert (train.adam_beta1, train.adam_beta2, train.adam_eps) == (0.9, 0.98, 1e-9)


def test_choices_that_earlier_runs_did_not_have_are_recorded_where_made():
    assert "norm_first" not in ModelConfig().described()
    chosen = ModelConfig(norm_first=False, cmvn="speaker", d_ff=8)
    described = chosen.described()
    assert described["norm_first"] is False and described["cmvn"] == "speaker"
    assert "positions" not in described and described["d_ff"] == 8
    assert ModelConfig.from_dict(described) == chosen


@pytest.mark.parametrize("config", [ModelConfig(d_ff=8), TrainConfig(max_epochs=3)])
def test_a_config_survives_json(config):
    assert type(config).from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (ModelConfig, {"d_model": 510}, "d_model"),
        (ModelConfig, {"d_ff": 0}, "d_ff"),
        (ModelConfig, {"dropout": 1.0}, "dropout"),
        (ModelConfig, {"pretrain_weights": [1.0, 1.0]}, "pretrain_weights"),
        (ModelConfig, {"finetune_weights": [1.0, -1.0, float("nan")]}, "finetune_weights"),
        (ModelConfig, {"n_layers": 4}, "n_layers"),
        (ModelConfig, {"d_model": "512"}, "d_model"),
        (ModelConfig, {"n_heads": 4.5}, "n_heads"),
        (ModelConfig, {"norm_first": 1}, "norm_first"),
        (ModelConfig, {"positions": "learned"}, "positions"),
        (ModelConfig, {"crossmodal_query": "video"}, "crossmodal_query"),
        (ModelConfig, {"initialisation": "zeros"}, "initialisation"),
        (ModelConfig, {"activation": "tanh"}, "activation"),
        (ModelConfig, {"attention_dropout": 1.0}, "attention_dropout"),
        (ModelConfig, {"learned_weights": True, "finetune_weights": [1.0, 1.0, 0.0]}, "learned_w"),
        (TrainConfig, {"precision": "float16"}, "precision"),
        (TrainConfig, {"train_fraction": 0.0}, "train_fraction"),
        (TrainConfig, {"train_fraction": 1.1}, "train_fraction"),
        (TrainConfig, {"clip_norm": 0.0}, "clip_norm"),
        (TrainConfig, {"warmup_steps": 0}, "warmup_steps"),
        (TrainConfig, {"dev_fraction": -0.1}, "dev_fraction"),
        (TrainConfig, {"lr_scale": float("nan")}, "lr_scale"),
    ],
)
def test_bad_settings_are_named(config, settings, named):
    with pytest.raises(UsageError, match=named):
        config.from_dict(settings)


@pytest.mark.parametrize("setting", [field.name for field in fields(ModelConfig)])
def test_every_setting_of_the_networks_is_in_the_docs(setting):
    text = (Path(__file__).resolve().parents[2] / "docs" / "model.md").read_text(encoding="utf-8")
    assert f"`{setting}" in text
