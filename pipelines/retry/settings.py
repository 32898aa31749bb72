"""The settings that made a shard, built again from its header, so that nothing has to be typed.

A header has all settings that decide a result, files by their digests; where those lie is noted
beside it (``pipelines.sources``). What is built is held against the header: where it would make
another shard, because a file, a program or trimodal itself has changed, that is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import UsageError
from pipelines.manifest import Table, deciding
from pipelines.retry.rejected import Rejected
from pipelines.runner import Outcome, Unit, difference
from pipelines.sources import recall
from pipelines.workspace import IMPORTED_FROM, Workspace

if TYPE_CHECKING:
    from pipelines.decode import DecodeSettings
    from pipelines.extract import ExtractSettings

OF_INPUT = ("boxes",)  # settings that tell what a shard was made from: mended like its media
FACES = {"none": "none", "detect": "detect"}


@dataclass(frozen=True)
class Again:
    """Shards of one stage that were made with one setting, ready to be made again.

    ``settings`` are for what a stage has to do before its workers start.
    """

    stage: str
    units: list[Unit]
    work: Callable[[Unit], Outcome]
    settings: Any


def again(workspace: Workspace, found: Sequence[Rejected]) -> list[Again]:
    """Units that make these shards again, a group for each stage and setting.

    Raises:
        UsageError: a file that the settings need is not known or not there any more, or the result
            would be another than the settings of before gave.
        TrimodalError: what it is made from cannot be used; see the stage.
    """
    groups: dict[tuple[str, str], list[Rejected]] = {}
    for one in found:
        key = one.stage, repr(sorted(_settled(one.made.config).items()))
        groups.setdefault(key, []).append(one)
    return [_group(workspace, stage, ones) for (stage, _), ones in groups.items()]


def is_imported(one: Rejected) -> bool:
    """Whether a shard was taken from elsewhere, so that only its source can be mended."""
    return IMPORTED_FROM in one.made.config or one.made.config.get("engine") == "import"


def of_imported(found: Sequence[Rejected]) -> str:
    """What to do about rejects of imported shards, which are what their source lacks."""
    stages = sorted({one.stage for one in found})
    commands = ["decode ... --engine import" if s == "decode" else "import" for s in stages]
    return (
        f"{', '.join(stages)}: imported, so that its rejects are what the source lacks; mend the "
        f"source, and run `trimodal {commands[0]}` again with --redo"
    )


def _group(workspace: Workspace, stage: str, found: Sequence[Rejected]) -> Again:
    made, shards = found[0].made, [one.shard for one in found]
    units, work, settings = _planned(workspace, stage, made, shards)
    headers = [one.made for one in found]
    units = [_as_before(unit, header) for unit, header in zip(units, headers, strict=True)]
    return Again(stage, units, work, settings)


def _planned(
    workspace: Workspace, stage: str, made: Table, shards: Sequence[int]
) -> tuple[list[Unit], Callable[[Unit], Outcome], Any]:
    if stage == "decode":
        from pipelines.decode import decode_units, decode_work, engine_of

        chosen = decode_settings(workspace, made.config)
        return (
            decode_units(workspace, shards, engine_of(chosen)),
            partial(decode_work, chosen),
            chosen,
        )
    from pipelines import extract_work as works
    from pipelines.extract import plan

    settings = extract_settings(workspace, stage, made.config)
    work = partial(getattr(works, f"{stage}_work"), settings)
    return plan(workspace, stage, shards, settings), work, settings


def decode_settings(workspace: Workspace, config: Mapping[str, Any]) -> "DecodeSettings":
    """What `decode` was asked for. Raises UsageError when the model's folder is not known."""
    from pipelines.decode import DecodeSettings
    from pipelines.decoding.acoustic_model import DEMO_MODEL

    name, *words = str(config["engine"]).split()
    model = str(config["model_name"])
    noted = recall(workspace.root, "decode").get("model")
    if model != DEMO_MODEL or noted is not None:
        model = noted or _named_model(workspace, model)
    if name == "kaldi":  # its folder is that of KALDI_ROOT or the PATH: no command out of a file
        return DecodeSettings(model=model, engine="kaldi", kaldi_program=words[-1])
    return DecodeSettings(model=model)


def extract_settings(
    workspace: Workspace, modality: str, config: Mapping[str, Any]
) -> "ExtractSettings":
    """What `extract` was asked for, of one modality; the others' settings are the defaults.

    Raises UsageError when a file that it needs is not known.
    """
    from featurize.lfbe import LfbeConfig
    from featurize.vgg import VggConfig
    from pipelines.extract import (
        ExtractSettings,
        StoreSettings,
        TextSettings,
        default_decode_jobs,
        resolve_device,
    )
    from pipelines.face_settings import FaceSettings

    needed = partial(_needed, workspace, modality, config)
    kept = {modality: config["encoding"]} if "encoding" in config else {}
    lfbe, vgg, text = LfbeConfig(), VggConfig(), TextSettings()
    fps, faces = 1.0, FaceSettings("none", 1.0)
    if modality == "audio":
        lfbe = LfbeConfig(**_known(LfbeConfig, config))
    elif modality == "video":
        weights = str(config["weights"])
        if weights.startswith("sha256:"):
            weights = needed("weights", "--vgg-weights")
        vgg = VggConfig(**{**_known(VggConfig, config), "weights": weights})
        kind = config.get("faces", "none")
        source = FACES.get(kind) or needed("faces", "--faces")
        fps, faces = config["fps"], FaceSettings(source, config.get("face_scale", 1.4))
    elif modality == "text":
        text = TextSettings(_vectors(needed, config), config["oov"])
    device = resolve_device("auto") if modality == "video" else "cpu"
    return ExtractSettings(
        lfbe=lfbe,
        fps=fps,
        faces=faces,
        vgg=vgg,
        text=text,
        store=StoreSettings(**kept, compression=config.get("compression", "none")),
        device=device,
        decode_jobs=default_decode_jobs(device),
    )


def _vectors(needed: Callable[[str, str], str], config: Mapping[str, Any]) -> str:
    from featurize.glove_sources import PACKAGED

    is_packaged = str(config["vectors"]).startswith(f"{PACKAGED} ")
    return PACKAGED if is_packaged else needed("glove", "--glove")


def _named_model(workspace: Workspace, name: str) -> str:
    """A model of the Vosk project's that a cache has; `retry` fetches nothing."""
    import vosk

    if any(folder and (Path(folder) / name).is_dir() for folder in vosk.MODEL_DIRS):
        return name
    raise UsageError(
        f"{workspace.root}: was decoded with the model {name}, and where it lies is not noted; run "
        f"`trimodal decode {workspace.root} --model DIR --redo`, which also tries rejects again"
    )


def _needed(
    workspace: Workspace, stage: str, config: Mapping[str, Any], name: str, flag: str
) -> str:
    """The path noted for a setting. Raises UsageError without one."""
    noted = recall(workspace.root, stage).get(name)
    if noted is None:
        known = config.get({"glove": "vectors_name", "weights": "weights_name"}.get(name, ""))
        what = f"{name} {known}" if known else name
        raise UsageError(
            f"{workspace.root}: where the {what} of {stage} lies is not noted; run `trimodal "
            f"extract {workspace.root} {stage} {flag} PATH --redo`, which also tries rejects again"
        )
    return noted


def _known(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    return {key: value for key, value in config.items() if key in names}


def _settled(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in deciding(config).items() if key not in OF_INPUT}


def _as_before(unit: Unit, made: Table) -> Unit:
    """The unit with the very names of before; raises UsageError when it is another."""
    if _settled(unit.config) != _settled(made.config):
        stage = "decode" if unit.output.suffix == ".jsonl" else "extract"
        raise UsageError(
            f"{unit.output} {difference(_settled(made.config), _settled(unit.config))}; all shards "
            f"have to be made alike: run `trimodal {stage}` with --redo"
        )
    names = {key: value for key, value in made.config.items() if key.endswith("_name")}
    return replace(unit, config={**unit.config, **names})
