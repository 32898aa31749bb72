"""The options of a stage as they are typed, read off what it made, for the commands that are told.

What only a settings file can say (bins of the audio, a batch size) is for the user to add; a stage
refuses other settings than its other shards have.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.sources import recall
from pipelines.workspace import IMPORTED_FROM, Workspace


def typed_options(workspace: Workspace, stage: str, config: Mapping[str, Any]) -> list[str]:
    """Of ``decode`` or ``extract``; a path that is not noted is FILE or DIR."""
    noted = recall(workspace.root, stage)
    if IMPORTED_FROM in config:
        return []
    if stage == "decode":
        return _of_decode(noted, config)
    words = []
    if stage == "video":
        words = _of_video(noted, config)
    elif stage == "text":
        words = ["--glove", noted.get("glove") or str(config.get("vectors_name", "FILE"))]
    for name in ("encoding", "compression"):
        words += [f"--{name}", str(config[name])] if name in config else []
    return words


def _of_decode(noted: Mapping[str, str], config: Mapping[str, Any]) -> list[str]:
    engine = str(config.get("engine", "vosk")).split()[0]
    if engine == "import":
        return ["--engine", "import", "--decoded", noted.get("decoded", "FILE")]
    name = str(config.get("model_name", "DIR"))
    is_name = name == "demo" or name.startswith("vosk-model-")
    model = noted.get("model") or (name if is_name else "DIR")
    return [*(["--engine", "kaldi"] if engine == "kaldi" else []), "--model", model]


def _of_video(noted: Mapping[str, str], config: Mapping[str, Any]) -> list[str]:
    weights = str(config.get("weights", "FILE"))
    if weights.startswith("sha256:"):
        weights = noted.get("weights", "FILE")
    words = ["--vgg-weights", weights]
    words += ["--vgg-layer", str(config["layer"])] if "layer" in config else []
    words += ["--fps", str(config["fps"])] if "fps" in config else []
    if "faces" in config:
        is_listed = config["faces"] == "boxes"
        words += ["--faces", noted.get("faces", "DIR") if is_listed else str(config["faces"])]
    return words
