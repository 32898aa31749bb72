"""The scores of a run are those that its log told, and silence changes them."""

import json

import pytest

from benchmarks.learning import scores
from benchmarks.training_data import write_features
from model.config import ModelConfig, TrainConfig
from pipelines.pretrain import pretrain


@pytest.mark.slow
def test_scores_are_those_of_the_best_epoch(tmp_path) -> None:
    write_features(tmp_path / "features", 40)
    model = ModelConfig(
        d_model=8, n_heads=2, d_ff=8, n_audio_layers=1, n_crossmodal_layers=1, n_decoder_layers=1
    )
    train = TrainConfig(
        max_epochs=2, warmup_steps=10, frames_per_batch=2000, precision="float32", dev_fraction=0.2
    )
    run = tmp_path / "run"
    best = pretrain(tmp_path, run, model=model, train=train, unseen=0.2, device="cpu")["best"]
    report = scores(tmp_path / "features", run, 0.2)
    assert report.ratios["learning_cer"] == pytest.approx(best["dev_cer"], abs=1e-4)
    assert report.ratios["learning_speaker_accuracy"] == pytest.approx(
        best["dev_speaker_accuracy"], abs=1e-4
    )
    table = report.tables[0]
    losses = dict(zip(table.columns[0].cells, table.columns[4].cells, strict=True))
    assert losses["all inputs"] == f"{best['dev_loss']:.3f}"
    assert losses["audio features zero"] != losses["all inputs"]
    assert json.loads((run / "config.json").read_text())["n_speakers"] == 16
