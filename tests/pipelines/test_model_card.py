"""What an ended run says of itself: its card, and the metadata of its weights."""

import json
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import model
from model import checkpoint
from model.build import build_multitask
from model.config import InputDims, ModelConfig
from pipelines import __version__
from pipelines.finetune import finetune
from pipelines.model_card import CARD, parameter_table, read_metadata
from pipelines.pretrain import pretrain
from pipelines.workspace import create


@pytest.fixture
def arguments(tiny_model, tiny_train) -> dict:
    return {"model": tiny_model, "train": replace(tiny_train, max_epochs=1), "device": "cpu"}


@pytest.fixture(scope="module")
def pretrained(features, tiny_model, tiny_train, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "pretrained"
    train = replace(tiny_train, max_epochs=1)
    pretrain(features, run, model=tiny_model, train=train, device="cpu")
    return run


def rows(card: str) -> dict[str, str]:
    cells = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_the_parameters_of_the_paper_are_told() -> None:
    with torch.device("meta"):
        network = build_multitask(ModelConfig(), InputDims(), n_speakers=5994)
    told = [line.split() for line in parameter_table(network).splitlines()]
    assert told[0] == ["25,183,353", "parameters"]
    assert ["encoder.transformer.video", "5,033,760"] in told
    assert ["encoder.projection.video", f"{4096 * 512 + 512:,}"] in told
    assert sum(int(n.replace(",", "")) for _, n in told[1:]) == 25_183_353


def test_the_card_says_what_the_run_is(pretrained: Path, features: Path) -> None:
    card = (pretrained / CARD).read_text(encoding="utf-8")
    said = rows(card)
    config = checkpoint.read_json(pretrained / checkpoint.CONFIG)
    done = checkpoint.read_json(pretrained / checkpoint.DONE)
    assert card.startswith("# pretrained: multitask model")
    assert int(said["utterances in train"]) + int(said["utterances in dev"]) == 48
    assert said["speakers"] == "3" and said["d_model"] == "16" and said["warmup_steps"] == "20"
    assert said["fingerprint of the features"] == config["features_fingerprint"]
    assert float(said["dev_loss"]) == pytest.approx(done["best"]["dev_loss"], rel=1e-3)
    assert said["torch"] == version("torch") and said["trimodal"] == __version__
    network = model.load(pretrained)
    n = sum(parameter.numel() for parameter in network.parameters())
    assert f"{n:,} parameters" in card and "seed 0" in card
    assert "## Intended use" in card and "## Limits" in card and "demo" not in card
    assert str(features) not in card, "a card is to be passed on; paths are the user's own"


def test_the_weights_say_it_in_short(pretrained: Path, tiny_model: ModelConfig) -> None:
    told = read_metadata(pretrained / checkpoint.BEST)
    done = checkpoint.read_json(pretrained / checkpoint.DONE)
    assert told["kind"] == "multitask" and told["best_epoch"] == 1 and told["seed"] == 0
    assert ModelConfig.from_dict(told["model"]) == tiny_model
    assert told["dims"] == {"audio": 200, "video": 12, "text": 8}
    assert told["run_fingerprint"] == done["fingerprint"]
    assert told["dev"]["dev_loss"] == done["best"]["dev_loss"]
    with safe_open(pretrained / checkpoint.BEST, "pt") as weights:
        assert list(weights.metadata()) == ["trimodal"]


def test_parts_that_a_kill_left_out_are_made_up_for(
    pretrained: Path, features: Path, arguments: dict
) -> None:
    before = {name: (pretrained / name).read_bytes() for name in (CARD, checkpoint.BEST)}
    checkpoint.save_weights(pretrained / checkpoint.BEST, model.load(pretrained))
    (pretrained / CARD).unlink()
    assert not read_metadata(pretrained / checkpoint.BEST)
    assert pretrain(features, pretrained, **arguments)["status"] == "unchanged"
    assert {name: (pretrained / name).read_bytes() for name in before} == before
    (pretrained / CARD).write_text("mine")
    assert pretrain(features, pretrained, **arguments)["status"] == "unchanged"
    assert (pretrained / CARD).read_text() == "mine"
    (pretrained / CARD).write_bytes(before[CARD])


def test_training_anew_makes_a_new_card(features: Path, arguments: dict, tmp_path: Path) -> None:
    pretrain(features, tmp_path, **arguments)
    arguments["train"] = replace(arguments["train"], warmup_steps=7)

    def no_card(*_: object) -> None:
        assert not (tmp_path / CARD).exists(), "until the run has ended there is none"

    pretrain(features, tmp_path, **arguments, redo=True, progress=no_card)
    assert rows((tmp_path / CARD).read_text())["warmup_steps"] == "7"
    config = checkpoint.read_json(tmp_path / checkpoint.CONFIG)
    assert read_metadata(tmp_path / checkpoint.BEST)["run_fingerprint"] == checkpoint.fingerprint(
        config
    )


def test_corpus_and_features_are_told_where_the_workspace_is(
    make_exchanged, arguments: dict, tmp_path: Path
) -> None:
    work, utterances, *_ = make_exchanged(tmp_path / "work")
    cut = {"shard_size": 4, "seed": 0, "settings": {"is_demo": True}}
    create(work, "mosei", work / "corpus", list(utterances.values()), [], **cut, redo=True)
    summary = finetune(work, tmp_path / "run", seeds=[0, 4], **arguments)
    assert summary["status"] == "made"
    for seed in (0, 4):
        card = (tmp_path / "run" / f"seed-{seed:02d}" / CARD).read_text()
        said = rows(card)
        assert said["corpus"] == "mosei" and "hop_s 0.01" in said["audio, 200 values a step"]
        assert said["emotions"].startswith("happy, sad") and f"seed {seed}" in card
        assert said["utterances in train"] == str(len_fold(work, "train"))
        assert "the demo's synthetic corpus" in card


def len_fold(work: Path, fold: str) -> int:
    from model.data import labelled_fold
    from model.store import FeatureStore

    return len(labelled_fold(FeatureStore(work / "features", n_stacked_frames=5), fold))


def test_parameters_are_printed_once_a_call(
    features: Path, arguments: dict, tmp_path: Path
) -> None:
    told: list[str] = []
    finetune(features, tmp_path, seeds=[0, 1], **arguments, tell=told.append)
    network = model.load(tmp_path / "seed-00")
    assert told == [parameter_table(network)]
    told.clear()
    finetune(features, tmp_path, seeds=[0, 1], **arguments, tell=told.append)
    assert not told
    assert json.loads((tmp_path / "seed-00" / "config.json").read_text())["train"] == {
        **asdict(arguments["train"])
    }


def test_names_from_shards_are_no_markup_in_the_card() -> None:
    from pipelines.model_card import _rows

    table = _rows({"<b>|": "![x](http://y/z.png) <script>\n| a |"})
    assert "<" not in table and "![" not in table and table.count("\n") == 2
    assert table.splitlines()[2].count("|") - table.count("\\|") == 3
