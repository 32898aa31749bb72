"""Pictures -> VGG-16 vectors, with torchvision's network and preprocessing."""

import hashlib
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models import VGG, VGG16_Weights, vgg16

from featurize.errors import MediaError, ModelError, UsageError

# Number of modules of ``vgg16().classifier`` up to and with the ReLU of each layer.
CLASSIFIER_DEPTH = {"fc6": 2, "fc7": 5}
OUTPUT_LAYER = "classifier.6."  # the 1000 classes; not used here
N_FEATURES = 4096
PREPROCESSING = VGG16_Weights.IMAGENET1K_V1.transforms()


@dataclass(frozen=True)
class VggConfig:
    """How pictures become vectors.

    Attributes:
        weights: "IMAGENET1K_V1" (torchvision's, downloaded once), the path of a state dict file
            of torchvision's ``vgg16``, or "random:SEED" (torchvision's initialisation; for trying
            the pipeline out, not for results).
        layer: "fc7" or "fc6", both after their ReLU.
        precision: "float32", "bfloat16" (about twice the speed on processors with bfloat16
            instructions; features differ by about 1%), or "auto": bfloat16 where the device has
            such instructions, else float32. The choice made is in ``VggExtractor.resolved``.
        batch_size: pictures a forward pass. Another size may change the last bits.
    """

    weights: str = "IMAGENET1K_V1"
    layer: Literal["fc7", "fc6"] = "fc7"
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    batch_size: int = 16


class VggExtractor:
    """VGG-16 up to fc6 or fc7, after Simonyan and Zisserman (2015), configuration D.

    Args:
        config: see ``VggConfig``.
        device: a torch device name.

    Attributes:
        resolved: what made the features: architecture, layer, precision, weights, sha256 of
            the parameters in use (as float32, whatever file held them), library versions.

    Raises:
        UsageError: an unknown layer or precision, or a batch size below 1.
        ModelError: weights that cannot be had or do not fit.
    """

    def __init__(self, config: VggConfig, device: str = "cpu") -> None:
        _check(config)
        self._batch_size = config.batch_size
        self._device = torch.device(device)
        precision = _precision(config.precision, self._device)
        self._dtype = getattr(torch, precision)
        network = _network(config.weights, config.layer)
        self.resolved: dict[str, str] = {
            "architecture": "vgg16",
            "layer": config.layer,
            "precision": precision,
            "weights": _weights_name(config.weights),
            "weights_sha256": _sha256(network),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        }
        self.network = network.to(self._device, self._dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Compute one vector a picture.

        Preprocessing is ``VGG16_Weights.IMAGENET1K_V1.transforms()`` itself, on uint8 tensors:
        shorter side to 256, centre 224 x 224, ImageNet's mean and standard deviation.

        Args:
            frames: uint8 (F, H, W, 3) RGB.

        Returns:
            float32 (F, 4096).

        Raises:
            MediaError: frames of another shape or type.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise MediaError(
                f"pictures must be uint8 (F, H, W, 3), not {frames.dtype} {frames.shape}"
            )
        features = np.empty((len(frames), N_FEATURES), dtype=np.float32)
        for first in range(0, len(frames), self._batch_size):
            batch = slice(first, first + self._batch_size)
            # (F, H, W, 3) seen as (F, 3, H, W) is channels-last already
            pictures = torch.tensor(frames[batch]).to(self._device).permute(0, 3, 1, 2)
            images = PREPROCESSING(pictures).to(self._dtype, memory_format=torch.channels_last)
            # On a GPU: the same bits every time, and float32 that is not TensorFloat-32.
            with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
                features[batch] = self.network(images).float().cpu().numpy()
        return features


def identity(config: VggConfig, device: str = "cpu") -> dict[str, Any]:
    """What decides the features, found without building the network: cheap to compare.

    ``weights`` is the digest of a weights file, or the name of other weights.
    Raises UsageError or ModelError as ``VggExtractor`` would for a bad setting or missing file.
    """
    _check(config)
    is_file = _weights_name(config.weights) != config.weights or Path(config.weights).is_file()
    return {
        "architecture": "vgg16",
        "layer": config.layer,
        "precision": _precision(config.precision, torch.device(device)),
        "weights_name": _weights_name(config.weights),
        "weights": _file_sha256(config.weights) if is_file else config.weights,
        "batch_size": config.batch_size,
    }


def _file_sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise ModelError(f"weights {path}: cannot be read ({error.strerror})") from None


def _check(config: VggConfig) -> None:
    if config.layer not in CLASSIFIER_DEPTH:
        raise UsageError(f"no VGG layer {config.layer!r}; choose fc6 or fc7")
    if config.precision not in ("float32", "bfloat16", "auto"):
        raise UsageError(f"no precision {config.precision!r}; choose float32, bfloat16 or auto")
    if config.batch_size < 1:
        raise UsageError(f"a batch of {config.batch_size} pictures; choose 1 or more")


def _precision(wanted: str, device: torch.device) -> str:
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    abilities = torch.cpu.get_capabilities()
    return "bfloat16" if abilities.get("avx512_bf16") or abilities.get("amx_bf16") else "float32"


def _network(weights: str, layer: str) -> VGG:
    model = _random_vgg16(weights) if weights.startswith("random:") else _loaded_vgg16(weights)
    model.classifier = model.classifier[: CLASSIFIER_DEPTH[layer]]
    return model.eval().requires_grad_(False)


def _random_vgg16(weights: str) -> VGG:
    seed = weights.removeprefix("random:")
    if not seed.isdecimal() or int(seed) >= 2**63:
        raise UsageError(f"weights {weights!r} need a whole number as seed, such as random:0")
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.default_generator.manual_seed(int(seed))
        return vgg16()


def _loaded_vgg16(weights: str) -> VGG:
    """Build on the meta device and take the loaded tensors over, so that memory holds them once."""
    state = _downloaded(weights) if weights in VGG16_Weights.__members__ else _from_file(weights)
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
    if not Path(path).is_file():
        names = ", ".join(VGG16_Weights.__members__)
        raise ModelError(f"weights {path!r}: no such file; give a path, {names} or random:SEED")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError):
        raise ModelError(f"{path}: cannot be read as PyTorch weights (tensors only)") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelError(f"{path}: holds no state dict; save model.state_dict() of a vgg16")
    return state


def _weights_name(weights: str) -> str:
    known = weights in VGG16_Weights.__members__ or weights.startswith("random:")
    return weights if known else Path(weights).name


def _sha256(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(network.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        digest.update(parameter.contiguous().numpy().data)
    return digest.hexdigest()
