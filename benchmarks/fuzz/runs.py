"""Fuzzed readers of training runs: settings, weights, checkpoints, logs, evaluations."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz.corpora import json_lines_mutation, json_mutation
from benchmarks.fuzz.mutations import as_json, bytes_gone_wrong, json_gone_wrong, lines_gone_wrong
from benchmarks.fuzz.target import Target

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
CONDITIONS = ("A+V+T", "A", "A+V", "A+T")


def runs_targets() -> list[Target]:
    return [*_weights(), *_records(), _vgg()]


def _small_run(folder: Path) -> None:
    """RUN/config.json and RUN/best.safetensors of a very small model."""
    from model import checkpoint
    from model.build import build_downstream
    from model.config import InputDims, ModelConfig

    config = ModelConfig(
        d_model=8, n_heads=2, n_audio_layers=1, n_crossmodal_layers=1, n_decoder_layers=1, d_ff=8
    )
    dims = InputDims(audio=4, video=4, text=4)
    settings = {
        "kind": "crossmodal", "task": "emotion", "model": config.described(),
        "dims": vars(dims), "features": str(folder / "work" / "features"),
    }  # fmt: skip
    run = folder / "run"
    run.mkdir()
    checkpoint.write_json(run / checkpoint.CONFIG, settings)
    model = build_downstream("crossmodal", config, dims, "emotion")
    checkpoint.save_weights(run / checkpoint.BEST, model)
    state = {"model": model.state_dict(), "state": {"epoch": 1, "lines": [{"a": 1.5}]}}
    checkpoint.save_checkpoint(run / checkpoint.CHECKPOINT, state)


def safetensors_mutation(rng: Random, seed: bytes) -> bytes:
    """The header, JSON, says other things; the tensors stay."""
    n = int.from_bytes(seed[:8], "little")
    header = as_json(json_gone_wrong(rng, json.loads(seed[8 : 8 + n])))
    return len(header).to_bytes(8, "little") + header + seed[8 + n :]


def _weights() -> list[Target]:
    from model.build import load_model
    from model.checkpoint import load_checkpoint
    from pipelines.model_card import read_metadata

    def read(folder: Path) -> Any:
        read_metadata(folder / "run" / "best.safetensors")
        return load_model(folder / "run")

    def read_state(folder: Path) -> Any:
        return load_checkpoint(folder / "run" / "checkpoint.pt")

    name, both = "run/best.safetensors", (bytes_gone_wrong, safetensors_mutation)
    settings = (bytes_gone_wrong, json_mutation)
    only_bytes = (bytes_gone_wrong,)
    return [
        Target("weights", name, (), read, _small_run, both),
        Target("a run's settings", "run/config.json", (), read, _small_run,
               settings, False),
        Target("checkpoint", "run/checkpoint.pt", (), read_state, _small_run,
               mutations=only_bytes),
    ]  # fmt: skip


def evaluation() -> dict[str, Any]:
    """As ``trimodal evaluate`` writes it, numbers made up."""
    from pipelines.emotion_scores import METRICS

    scores = {"wa": 0.6, "f1": 0.7, "f1_positive": 0.4, "average_precision": 0.5, "roc_auc": 0.6}
    one = {**scores, "wa_ci": [0.5, 0.7], "f1_ci": [0.6, 0.8], "n_positive": 4, "n": 9}
    thresholds = {f"threshold_{name}": 0.5 for name in METRICS}
    emotions = {emotion: {**one, **thresholds} for emotion in EMOTIONS}
    both = {"wa": 0.6, "f1": 0.7}
    return {
        "task": "emotion", "emotions": list(EMOTIONS), "seeds": [0], "best_seed": 0, "dev": both,
        "runs": [{"seed": 0, "dev": both, "test": both}], "train_fraction": 1.0,
        "test": {c: {"per_emotion": emotions, "average": one} for c in CONDITIONS},
        "over_runs": {"n": 1, "wa_mean": 0.6, "wa_std": None, "f1_mean": 0.7, "f1_std": None},
    }  # fmt: skip


def predictions() -> bytes:
    rng = np.random.default_rng(0)
    labels = rng.random((9, 6)) < 0.5
    scores = rng.random((9, 6)).astype(np.float32)
    ids = np.arange(9).astype(str)
    content = io.BytesIO()
    np.savez(
        content, ids=ids, labels=labels, scores=scores, wa=scores > 0.5, f1=scores > 0.5,
        dev_ids=ids, dev_labels=labels, dev_scores=scores,
    )  # fmt: skip
    return content.getvalue()


def _records() -> list[Target]:
    from pipelines.compare import compare
    from pipelines.report.further_tables import further_tables
    from pipelines.report.latex import latex
    from pipelines.report.markdown import markdown
    from pipelines.report.predictions import all_predicted
    from pipelines.report.runs import read_run
    from pipelines.report.tables import tables

    def lay_out(folder: Path) -> None:
        for run in ("a", "b"):
            (folder / run / "seed-00").mkdir(parents=True)
            described = {"kind": "crossmodal", "init": None, "seeds": [0], "work": "work"}
            described["init"] = "pretrained" if run == "b" else None
            (folder / run / "run.json").write_text(json.dumps(described))
            (folder / run / "seed-00" / "config.json").write_bytes(CONFIG)
            (folder / run / "seed-00" / "log.jsonl").write_bytes(LOG)
            (folder / run / "evaluation.json").write_text(json.dumps(evaluation()))
            (folder / run / "predictions.npz").write_bytes(predictions())

    def read(folder: Path) -> Any:
        runs = [read_run(folder / name) for name in ("a", "b")]
        emotional = [run for run in runs if run.task != "sentiment"]
        made = [*tables(emotional), *further_tables(emotional, [])]
        found = markdown(made, []), latex(made), all_predicted(emotional)
        return found, compare(folder / "a", folder / "b")

    both = (bytes_gone_wrong, json_mutation)
    log = (bytes_gone_wrong, lines_gone_wrong, json_lines_mutation)
    described = b'{"kind": "crossmodal", "init": null, "seeds": [0], "work": "work"}'
    record = json.dumps(evaluation()).encode()
    return [
        Target("evaluation", "a/evaluation.json", [record], read, lay_out, both, False),
        Target("run.json", "a/run.json", [described], read, lay_out, both, False),
        Target("log", "a/seed-00/log.jsonl", [LOG], read, lay_out, log, False),
        Target("a seed's settings", "a/seed-00/config.json", [CONFIG], read, lay_out, both, False),
        Target("predictions", "a/predictions.npz", [predictions()], read, lay_out,
               (bytes_gone_wrong,), False),
    ]  # fmt: skip


CONFIG = b'{"kind": "crossmodal", "model": {"d_model": 8}, "features": "work/features"}'
LOG = b'{"epoch": 1, "train_loss": 1.0, "dev_loss": 2.0, "dev_wa": null, "dev_f1": 0.5}\n' * 2


def _vgg() -> Target:
    import torch

    from featurize.vgg_weights import load_network

    content = io.BytesIO()
    torch.save({"features.0.weight": torch.zeros(2, 3)}, content)
    read: Callable[[Path], Any] = lambda folder: load_network(str(folder / "v.pth"), "fc7")  # noqa: E731
    seeds = [content.getvalue()]
    return Target("VGG-16's weights", "v.pth", seeds, read, mutations=(bytes_gone_wrong,))
