"""What a run leaves on disk: settings, log, weights and the state to go on from.

A run is one folder: ``config.json`` (settings in force), ``log.jsonl`` (one line an epoch),
``tensorboard`` (its curves), ``best.safetensors`` (weights of the best epoch), ``checkpoint.pt``
(all state to go on from) and ``done.json``, written last. Every file but the curves is replaced in
one atomic step, and nothing is ever unpickled: checkpoints are loaded with ``weights_only``,
weights are safetensors.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from featurize.atomic import remove_stale, write_bytes, write_text
from featurize.errors import ModelError, StaleError, TrainError
from featurize.plain_json import parse_json
from featurize.precision import settled_precision

CONFIG = "config.json"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
DONE = "done.json"
CURVES = "tensorboard"  # a folder

# Where the run was made, not what was made: these may differ when a run is started again.
PLACES = frozenset({"features", "init"})


def begin_run(run: Path, config: Mapping[str, Any], *, redo: bool) -> bool:
    """Readies ``run`` for training with ``config``; True when it is already finished.

    Raises:
        StaleError: the folder holds a run made with other settings; names the first that differs.
    """
    run.mkdir(parents=True, exist_ok=True)
    remove_stale(run)
    if redo:
        # done.json goes first: a run half deleted must not look finished.
        for name in (DONE, CHECKPOINT, BEST, LOG, CONFIG):
            (run / name).unlink(missing_ok=True)
        shutil.rmtree(run / CURVES, ignore_errors=True)
    if not (run / CONFIG).is_file():
        write_json(run / CONFIG, config)
        return False
    difference = _difference(read_json(run / CONFIG), config)
    if difference:
        raise StaleError(
            f"{run} was made with another setting: {difference}; "
            "choose another folder, or pass --redo to make it again"
        )
    return (run / DONE).is_file()


def run_precision(runs: Iterable[Path], wanted: str, device: torch.device) -> str:
    """ "float32" or "bfloat16": what "auto" means for ``runs``, seeds of one.

    It is what the first of them was begun in, so that a run may go on with another device; where
    none has been begun, what the device is faster in.
    """
    begun = (run / CONFIG for run in runs)
    path = next((path for path in begun if path.is_file()), None) if wanted == "auto" else None
    train = read_json(path).get("train") if path else None
    stored = train.get("precision") if isinstance(train, dict) else None
    return stored if stored in ("float32", "bfloat16") else settled_precision(wanted, device)


def fingerprint(config: Mapping[str, Any]) -> str:
    """Digest of the settings and input of a run, the same wherever its files lie."""
    kept = {key: value for key, value in config.items() if key not in PLACES}
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``. Raises TrainError when it is missing or damaged."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainError(f"{path}: not readable ({error.strerror}); is this a run?") from None
    except ValueError:
        raise TrainError(f"{path}: not valid JSON; make the run again with --redo") from None
    if not isinstance(value, dict):
        raise TrainError(f"{path}: not a JSON object; make the run again with --redo")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes ``value`` as indented JSON in one atomic step."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def save_weights(path: Path, model: nn.Module) -> None:
    """Writes the model's parameters and buffers as safetensors, in one atomic step."""
    state = {k: tensor.detach().cpu().contiguous() for k, tensor in model.state_dict().items()}
    write_bytes(path, to_bytes(state))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Reads what ``save_weights`` wrote. Raises ModelError when it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: let the training run get past an epoch") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is damaged ({error}); train the run again") from None


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes tensors, numbers, strings, lists and dicts of them, in one atomic step.

    By way of memory: on a full disk torch.save says "unexpected pos 640 vs 598", and what is
    written by name has that name in it, here a temporary one.
    """
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_bytes(path, content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what ``save_checkpoint`` wrote, on the CPU; nothing in the file is executed.

    Raises:
        TrainError: the file is missing, damaged, or holds anything but plain data and tensors.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything: struct.error, IndexError ...
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainError(f"{path}: not a checkpoint ({reason}); pass --redo") from None


def _difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first setting, by name, in which two configurations differ; "" when in none."""
    # Through JSON, so that a tuple equals the list it was stored as.
    old, new = _flatten(stored), _flatten(json.loads(json.dumps(wanted)))
    for key in sorted(old.keys() | new.keys()):
        if key.split(".")[0] not in PLACES and old.get(key) != new.get(key):
            return f"{key} is {_short(old.get(key))} there and {_short(new.get(key))} now"
    return ""


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
