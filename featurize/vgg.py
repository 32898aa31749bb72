"""Pictures -> VGG-16 vectors, with torchvision's network and preprocessing."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from torchvision.models import VGG16_Weights
from torchvision.transforms import functional

from featurize.errors import MediaError, UsageError
from featurize.precision import PRECISIONS, settled_precision
from featurize.vgg_weights import (
    CLASSIFIER_DEPTH,
    check_file,
    is_by_name,
    load_network,
    random_note,
    weights_name,
)

N_FEATURES = 4096
PREPROCESSING = VGG16_Weights.IMAGENET1K_V1.transforms()
SIZE = PREPROCESSING.crop_size[0]  # pixels a side of what the network sees: 224
NARROWEST = 32  # longer sides in a shorter one: that becomes 256, and the other follows


@dataclass(frozen=True)
class VggConfig:
    """How pictures become vectors.

    Attributes:
        weights: "IMAGENET1K_V1" (torchvision's, downloaded once), the path of a state dict file
            of torchvision's ``vgg16``, or "random:SEED" (torchvision's initialisation; for trying
            the pipeline out, not for results).
        weights_sha256: of a file: the SHA-256 it must have, in hex, 8 digits or more; None: only
            the digits in its name, if it has some (``vgg16-397923af.pth``), are checked.
        layer: "fc7" or "fc6", both after their ReLU.
        precision: "float32", "bfloat16" (about twice the speed on processors with bfloat16
            instructions; features differ by about 1%), or "auto": bfloat16 where the device has
            such instructions, else float32. The choice made is in ``Vgg16.resolved``.
        batch_size: pictures a forward pass. Another size may change the last bits.
        compile: run the network through ``torch.compile``: 15 s or more at the start, then
            somewhat faster; changes the last bits. docs/features.md has figures.
    """

    weights: str = "IMAGENET1K_V1"
    weights_sha256: str | None = None
    layer: Literal["fc7", "fc6"] = "fc7"
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    batch_size: int = 16
    compile: bool = False


class Vgg16:
    """VGG-16 up to fc6 or fc7, after Simonyan and Zisserman (2015), configuration D.

    >>> import numpy as np
    >>> vgg = Vgg16(VggConfig(weights="random:0"))
    >>> frames = np.zeros((2, 120, 160, 3), dtype=np.uint8)
    >>> vgg(frames).shape
    (2, 4096)

    With ImageNet's weights, on a GPU: ``Vgg16(VggConfig(precision="auto"), device="cuda")``.

    Args:
        config: see ``VggConfig``.
        device: a torch device name.

    Attributes:
        resolved: what made the features: architecture, layer, precision, weights, sha256 of
            the parameters in use (as float32, whatever file held them), library versions.

    Warns:
        UserWarning: random weights.

    Raises:
        UsageError: an unknown layer or precision, or a batch size below 1.
        ModelError: weights that cannot be had, are not those expected, or do not fit.
    """

    def __init__(self, config: VggConfig | None = None, device: str = "cpu") -> None:
        config = config or VggConfig()
        _check(config)
        if note := random_note(config.weights):
            warnings.warn(note, stacklevel=2)
        self.batch_size = config.batch_size
        self._device = torch.device(device)
        precision = settled_precision(config.precision, self._device)
        self._dtype = getattr(torch, precision)
        network, names = load_network(config.weights, config.layer, config.weights_sha256)
        self.resolved: dict[str, str] = {
            "architecture": "vgg16",
            "layer": config.layer,
            "precision": precision,
            **names,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        }
        self.network = network.to(self._device, self._dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._compiled = torch.compile(self.network, dynamic=False) if config.compile else None

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Compute one vector a picture.

        Preprocessing equals ``VGG16_Weights.IMAGENET1K_V1.transforms()`` on uint8 tensors, bit
        for bit: shorter side to 256, centre 224 x 224, ImageNet's mean and standard deviation.

        Args:
            frames: uint8 (F, H, W, 3) RGB.

        Returns:
            float32 (F, 4096).

        Raises:
            MediaError: frames of another shape or type.
        """
        _check_pictures(frames)
        features = np.empty((len(frames), N_FEATURES), dtype=np.float32)
        for first in range(0, len(frames), self.batch_size):
            batch = slice(first, first + self.batch_size)
            features[batch] = self.launch(prepare(frames[batch])).cpu().numpy()
        return features

    @torch.inference_mode()
    def launch(self, pictures: np.ndarray) -> torch.Tensor:
        """Compute one batch of what ``prepare`` gave; on a GPU, return before it has finished.

        Args:
            pictures: uint8 (F, 224, 224, 3), F at most ``batch_size``.

        Returns:
            float32 (F, 4096) on the device.
        """
        n_pictures = len(pictures)
        if self._compiled is not None:  # one shape alone, so that one program makes all bits
            missing = self.batch_size - n_pictures
            pictures = np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0)))
        images = self.normalised(pictures)
        # On a GPU: the same bits every time, and float32 that is not TensorFloat-32.
        with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            return (self._compiled or self.network)(images)[:n_pictures].float()

    def normalised(self, pictures: np.ndarray) -> torch.Tensor:
        """The rest of the preprocessing: uint8 (F, 224, 224, 3) to the network's input.

        (F, 224, 224, 3) seen as (F, 3, 224, 224) is channels-last already.
        """
        images = torch.tensor(pictures).to(self._device).permute(0, 3, 1, 2)
        images = functional.convert_image_dtype(images, torch.float32)
        images = functional.normalize(images, PREPROCESSING.mean, PREPROCESSING.std, inplace=True)
        return images.to(self._dtype, memory_format=torch.channels_last)


def prepare(frames: np.ndarray) -> np.ndarray:
    """The first part of torchvision's preprocessing: shorter side to 256, centre 224 x 224.

    It is done on uint8, a quarter of the bytes of its result normalised, so that pictures can be
    made small where they are decoded. The rest of ``PREPROCESSING`` is ``Vgg16.normalised``.

    Args:
        frames: uint8 (F, H, W, 3) RGB.

    Returns:
        uint8 (F, 224, 224, 3).

    Raises:
        MediaError: frames of another shape or type.
    """
    _check_pictures(frames)
    images = torch.tensor(frames).permute(0, 3, 1, 2)
    images = functional.resize(
        images,
        PREPROCESSING.resize_size,
        interpolation=PREPROCESSING.interpolation,
        antialias=PREPROCESSING.antialias,
    )
    images = functional.center_crop(images, PREPROCESSING.crop_size)
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def identity(config: VggConfig, device: str = "cpu") -> dict[str, Any]:
    """What decides the features, found without building the network: cheap to compare.

    ``weights`` is the digest of a weights file, or the name of other weights.
    Raises UsageError or ModelError as ``Vgg16`` would for a bad setting or missing file.
    """
    _check(config)
    by_name = is_by_name(config.weights)
    made: dict[str, Any] = {
        "architecture": "vgg16",
        "layer": config.layer,
        "precision": settled_precision(config.precision, torch.device(device)),
        "weights_name": weights_name(config.weights),
        "weights": config.weights
        if by_name
        else f"sha256:{check_file(config.weights, config.weights_sha256)}",
        "batch_size": config.batch_size,
    }
    return made | ({"compile": True} if config.compile else {})


def _check_pictures(frames: np.ndarray) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise MediaError(f"pictures must be uint8 (F, H, W, 3), not {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    if max(height, width) > NARROWEST * min(height, width):
        raise MediaError(f"pictures of {width} x {height}, too narrow to see anything in")


def _check(config: VggConfig) -> None:
    if config.layer not in CLASSIFIER_DEPTH:
        raise UsageError(f"no VGG layer {config.layer!r}; choose fc6 or fc7")
    if config.precision not in PRECISIONS:
        raise UsageError(f"no precision {config.precision!r}; choose {', '.join(PRECISIONS)}")
    if config.batch_size < 1:
        raise UsageError(f"a batch of {config.batch_size} pictures; choose 1 or more")
    digits = config.weights_sha256
    if digits is not None and (len(digits) < 8 or set(digits.lower()) - set("0123456789abcdef")):
        raise UsageError(f"weights_sha256 {digits!r}: give 8 to 64 hexadecimal digits")
    if digits is not None and is_by_name(config.weights):
        raise UsageError("weights_sha256 goes with a weights file; torchvision's own are checked")
