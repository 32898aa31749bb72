"""Weights of VGG-16: by torchvision's name, from a file with a checksum, or random by a seed."""

import hashlib
import re
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torchvision.models import VGG, VGG16_Weights, vgg16

from featurize.errors import ModelError, UsageError

# Number of modules of ``vgg16().classifier`` up to and with the ReLU of each layer.
CLASSIFIER_DEPTH = {"fc6": 2, "fc7": 5}
OUTPUT_LAYER = "classifier.6."  # the 1000 classes; not used here
# What torch.hub puts into names: the first digits of the file's sha256, vgg16-397923af.pth.
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]*$")


def load_network(
    weights: str, layer: Literal["fc7", "fc6"], sha256: str | None = None
) -> tuple[VGG, dict[str, str]]:
    """Build torchvision's ``vgg16`` up to ``layer``, for inference, on the CPU in float32.

    Args:
        weights: torchvision's name, the path of a state dict, or "random:SEED".
        layer: "fc6" or "fc7".
        sha256: what the file of a path must have as SHA-256, in hex; its first 8 digits or more.

    Returns:
        The network, and what names its weights: ``weights`` and ``weights_sha256`` (of the
        parameters as float32, whatever file held them).

    Raises:
        UsageError: a bad seed.
        ModelError: weights that cannot be had, are not those expected, or do not fit.
    """
    if weights.startswith("random:"):
        model = _random(weights)
    elif weights in VGG16_Weights.__members__:
        model = _loaded(weights, _downloaded(weights))
    else:
        check_file(weights, sha256)
        model = _loaded(weights, _from_file(weights))
    model.classifier = model.classifier[: CLASSIFIER_DEPTH[layer]]
    model.eval().requires_grad_(False)
    return model, {"weights": weights_name(weights), "weights_sha256": _sha256(model)}


def weights_name(weights: str) -> str:
    """The weights' name without the folder of a file."""
    return weights if is_by_name(weights) else Path(weights).name


def random_note(weights: str) -> str | None:
    """What a user has to know of random weights; None for others."""
    if not weights.startswith("random:"):
        return None
    return (
        f"VGG-16 has {weights} weights, which know nothing of pictures: good for trying things "
        "out, not for results; IMAGENET1K_V1 or a file has trained ones"
    )


def is_by_name(weights: str) -> bool:
    """Whether ``weights`` are torchvision's or random ones, not a file."""
    return weights in VGG16_Weights.__members__ or weights.startswith("random:")


def check_file(path: str, sha256: str | None = None) -> str:
    """Return a weights file's SHA-256 in hex.

    Raises:
        ModelError: the file cannot be read, or its digest does not begin with ``sha256`` or with
            the digits in its own name (``vgg16-397923af.pth``): another file, or a damaged one.
    """
    if not Path(path).is_file():
        names = ", ".join(VGG16_Weights.__members__)
        raise ModelError(f"weights {path!r}: no such file; give a path, {names} or random:SEED")
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"weights {path}: cannot be read ({error.strerror})") from None
    in_name = DIGEST_IN_NAME.search(Path(path).name)
    for source, wanted in (("setting", sha256), ("name", in_name and in_name.group(1))):
        if wanted and not found.startswith(wanted.lower()):
            raise ModelError(
                f"weights {path}: SHA-256 is {found[:16]}..., but the {source} says "
                f"{wanted[:16]}: another file, or a damaged one; fetch it again"
            )
    return found


def _random(weights: str) -> VGG:
    seed = weights.removeprefix("random:")
    if not seed.isdecimal() or int(seed) >= 2**63:
        raise UsageError(f"weights {weights!r} need a whole number as seed, such as random:0")
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.default_generator.manual_seed(int(seed))
        return vgg16()


def _loaded(weights: str, state: dict[str, Any]) -> VGG:
    """Build on the meta device and take the loaded tensors over, so that memory holds them once."""
    with torch.device("meta"):
        model = vgg16(init_weights=False)
    model.classifier = model.classifier[:-1]
    state = {name: value for name, value in state.items() if not name.startswith(OUTPUT_LAYER)}
    try:
        model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    except (RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{weights}: is no state dict of torchvision's vgg16: {reason}") from None
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise ModelError(f"{weights}: has values that are not finite; use IMAGENET1K_V1's file")
    return model


def _downloaded(name: str) -> dict[str, torch.Tensor]:
    member = VGG16_Weights[name]
    try:
        # torch.hub keeps the file, checks the digest in its name and renames it when complete
        return dict(
            member.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True, map_location="cpu"
            )
        )
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"weights {name} cannot be downloaded ({error}); fetch {member.url} elsewhere"
            " and give the file's path as weights"
        ) from None


def _from_file(path: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever PyTorch's own unpickler stumbles over
        raise ModelError(f"{path}: cannot be read as PyTorch weights (tensors only)") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelError(f"{path}: holds no state dict; save model.state_dict() of a vgg16")
    return state


def _sha256(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(network.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        digest.update(parameter.contiguous().numpy().data)
    return digest.hexdigest()
