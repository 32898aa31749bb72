"""The model card, RUN/README.md, and the same in short in the metadata of the weights.

Both are made of what the run's folder holds, once the run has ended, and then left alone: they name
the versions that the run was made with. Weights that were trained anew have no metadata yet, and
get a new card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import write_bytes, write_text
from featurize.errors import ShardError, TrimodalError
from featurize.plain_json import parse_json
from pipelines import __version__
from pipelines.manifest import read_header

if TYPE_CHECKING:
    from torch import nn

CARD = "README.md"
METADATA = "trimodal"  # one key: safetensors keeps several in no fixed order
PACKAGES = ("torch", "numpy", "h5py", "safetensors")
NAMES = {
    "multitask": "multitask model: characters and speaker",
    "crossmodal": "{task} model: cross-modal transformer",
    "late-fusion": "{task} model: late fusion",
}
USES = {
    "multitask": "Embeddings of talking-face video (`trimodal embed`, `model.load`), and a start "
    "for `trimodal finetune --init`. Its characters and speakers are what it was trained by, not a "
    "speech recogniser or a speaker identification to be used.",
    "crossmodal": "Research on {task} recognition from audio, video and text of short segments.",
    "late-fusion": "The baseline to compare cross-modal models with.",
}
LIMITS = """- Needs features made with the settings above; audio in any case.
- The labels of emotions, where it has them, are what viewers saw in faces and heard in voices. They
  do not say what a person feels, and the scores are no ground for decisions about people.
- Scores are of held-out parts of the corpus above. Other languages, channels, ages and cameras were
  not measured."""
DEMO_LIMIT = (
    "\n- Trained on the demo's synthetic corpus: it shows that the path works, and nothing else."
)


def parameter_table(network: nn.Module) -> str:
    """How many parameters there are to train, in all and by part, a line each."""
    from model.build import parameter_counts

    counts = parameter_counts(network)
    total = counts.pop("total")
    width = max(map(len, counts))
    parts = [f"  {part:<{width}} {n:>12,}" for part, n in counts.items()]
    return "\n".join([f"{total:,} parameters", *parts])


def finish_run(run: Path) -> None:
    """Writes card and metadata of an ended run, unless they are there.

    The card comes last: where it is, the weights have their metadata.
    """
    from model import checkpoint
    from model.build import load_model

    if (run / CARD).is_file() and read_metadata(run / checkpoint.BEST):
        return
    config = checkpoint.read_json(run / checkpoint.CONFIG)
    done = checkpoint.read_json(run / checkpoint.DONE)
    _describe_weights(run / checkpoint.BEST, config, done)
    write_text(run / CARD, _card(run, config, done, load_model(run)))


def _describe_weights(path: Path, config: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    """Writes the weights anew with metadata that says what they are."""
    from safetensors.torch import save

    from model.checkpoint import load_weights

    told = {
        "kind": config["kind"],
        **({"task": config["task"]} if "task" in config else {}),
        "model": config["model"],
        "dims": config["dims"],
        "run_fingerprint": done["fingerprint"],
        "features_fingerprint": config["features_fingerprint"],
        "seed": config["seed"],
        "best_epoch": done["best_epoch"],
        "dev": _dev_scores(done),
        "versions": _versions(),
    }
    weights = load_weights(path)
    write_bytes(path, save(weights, {METADATA: json.dumps(told, sort_keys=True)}))


def read_metadata(path: Path) -> dict[str, Any]:
    """What ``finish_run`` wrote into the weights; empty where it has not, or cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as weights:
            told = parse_json((weights.metadata() or {}).get(METADATA, "{}"))
            return told if isinstance(told, dict) else {}
    except (OSError, ValueError, SafetensorError):
        return {}


def _card(run: Path, config: Mapping[str, Any], done: Mapping[str, Any], network: nn.Module) -> str:
    corpus = _corpus(config)
    is_demo = bool(corpus.get("is_demo"))
    sections = {
        "What it is": _what(config),
        "Data": _rows(_data(config, corpus)),
        "Features": _rows(_features(config)) or "The features are not at hand any more.",
        "Scores on dev": f"Of epoch {done['best_epoch']}, the best of {done['n_epochs']}. "
        f"`trimodal evaluate` scores fine-tuned models on test.\n\n{_rows(_dev_scores(done))}",
        "Parameters": f"```\n{parameter_table(network)}\n```",
        "Settings": _rows({**config["model"], **config["train"]}),
        "Versions": _rows(_versions()),
        "Intended use": USES[config["kind"]].format(task=config.get("task")),
        "Limits": LIMITS + DEMO_LIMIT * is_demo,
    }
    name = NAMES[config["kind"]].format(task=config.get("task"))
    head = (
        f"# {run.resolve().name}: {name}\n\n"
        "Written by trimodal when the run ended. Weights: `best.safetensors`; settings: "
        "`config.json`; epochs: `log.jsonl`.\n"
    )
    return head + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections.items())


def _what(config: Mapping[str, Any]) -> str:
    method = (
        "After Khare, Parthasarathy, Sundaram: *Multi-modal embeddings using multi-task learning "
        "for emotion recognition*, Interspeech 2020."
    )
    if not config.get("init"):
        return f"{method} Randomly initialised, seed {config['seed']}."
    return (
        f"{method} Seed {config['seed']}; the encoder comes from the pretraining run "
        f"`{Path(config['init']).name}` ({config['init_fingerprint']})."
    )


def _data(config: Mapping[str, Any], corpus: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {f"utterances in {fold}": n for fold, n in config["fold_sizes"].items()}
    speakers = {"speakers": config["n_speakers"]} if config["n_speakers"] else {}
    emotions = {"emotions": ", ".join(config["emotions"])} if "emotions" in config else {}
    named = {key: corpus[key] for key in ("corpus", "split") if key in corpus}
    return {
        **named,
        **sizes,
        **speakers,
        **emotions,
        "fingerprint of the features": config["features_fingerprint"],
    }


def _corpus(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``prepare`` recorded of the corpus; empty where the workspace is not at hand."""
    try:
        return read_header(Path(config["features"]).parent / "manifest.jsonl").config
    except (TrimodalError, OSError):
        return {}


def _features(config: Mapping[str, Any]) -> dict[str, Any]:
    """Modality -> the settings that made it, from its first shard."""
    from featurize.shards import ShardIndex

    found = {}
    for modality, width in config["dims"].items():
        paths = sorted(Path(config["features"]).glob(f"shard-*.{modality}.h5"))
        try:
            made = ShardIndex(paths[0]).config if paths else {}
        except ShardError:
            made = {}
        if paths:
            told = ", ".join(f"{key} {value}" for key, value in sorted(made.items()))
            found[f"{modality}, {width} values a step"] = told or "settings not recorded"
    return found


def _dev_scores(done: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in done["best"].items() if name.startswith("dev_")}


def _versions() -> dict[str, str]:
    return {"trimodal": __version__, **{package: version(package) for package in PACKAGES}}


def _rows(values: Mapping[str, Any]) -> str:
    """A table of two columns."""
    if not values:
        return ""
    lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in values.items()]
    return "\n".join(["| what | value |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value).replace("|", "\\|").replace("\n", " ")
    # Names come from the shards, and sites that show the card take HTML and fetch pictures.
    return text.replace("<", "&lt;").replace("[", "\\[")
