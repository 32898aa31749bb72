"""From the settings in a shard's header back to the flags that lead to them."""

from collections.abc import Callable
from typing import Any

from pipelines.settings import Settings

FOLDER = "FOLDER"  # stands for a folder that no header tells
PRESET = "paper"  # what a command starts from that names no preset

Config = dict[str, Any]


def flags_for(stage: str, config: Config) -> tuple[list[str], Config]:
    """The flags that bring back ``config``, and the settings that they really lead to.

    The second differs from ``config`` where no flag can say it, or another version of the
    software or the processor decides it. A flag may hold the placeholder ``FOLDER``.

    Raises:
        KeyError: ``config`` is not one of this stage's own making.
        TrimodalError: what it names is not installed here.
    """
    if stage == "decode":
        return _decode(config)
    rules: dict[str, Callable[[Config], tuple[list[str], Config]]] = {
        "audio": lambda config: ([], _extracting().of("audio")),
        "video": _video,
        "text": _text,
        "targets": lambda config: ([], _extracting().of("targets")),
    }
    flags, resulting = rules[stage](config)
    stored = {key: config[key] for key in ("encoding", "compression") if key in config}
    for key, value in stored.items():
        flags += [f"--{key}", value]
    return flags, resulting | stored


def _video(config: Config) -> tuple[list[str], Config]:
    from pipelines.extract import VideoSettings

    usual = Settings(PRESET).section("video", VideoSettings)
    is_file = config["weights"].startswith("sha256:")
    weights = None if is_file else config["weights"]
    given = {"--fps": config["fps"], "--vgg-layer": config["layer"], "--vgg-weights": weights}
    known = {"--fps": usual.fps, "--vgg-layer": usual.layer, "--vgg-weights": usual.weights}
    flags = []
    for flag, value in given.items():
        if value is not None and value != known[flag]:
            flags += [flag, str(value)]
    video = {"fps": config["fps"], "layer": config["layer"], "weights": weights}
    resulting = _extracting(video=video).of("video")
    if is_file:
        flags += ["--vgg-weights", f"{FOLDER}/{config['weights_name']}"]
        resulting["weights"] = config["weights"]
    return flags, resulting


def _text(config: Config) -> tuple[list[str], Config]:
    from featurize.glove import PACKAGED
    from pipelines.extract import NORMALISER, TextSettings

    name = config["vectors_name"]
    if name == PACKAGED:
        return ["--glove", name], _extracting(glove=name).of("text")
    oov = Settings(PRESET).section("text", TextSettings).oov
    resulting = {"normaliser": NORMALISER, "vectors": config["vectors"], "oov": oov}
    return ["--glove", f"{FOLDER}/{name}"], resulting


def _decode(config: Config) -> tuple[list[str], Config]:
    from pipelines.acoustic_model import DEMO_MODEL, check_model_dir, model_folder
    from pipelines.decode import DecodeSettings, decoding_config

    name = config["model_name"]
    settings = DecodeSettings(DEMO_MODEL)
    resulting = decoding_config(settings, check_model_dir(model_folder(DEMO_MODEL)))
    if name == DEMO_MODEL:
        return ["--model", DEMO_MODEL], resulting
    resulting["model_digest"] = config["model_digest"]
    return ["--model", f"{FOLDER}/{name}"], resulting


def _extracting(video: Config | None = None, glove: str | None = None) -> Any:
    from pipelines.extract import ExtractSettings

    return ExtractSettings.load(
        Settings(PRESET), video=video or {}, glove=glove, store={}, device="auto"
    )
