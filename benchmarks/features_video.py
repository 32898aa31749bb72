"""Video: mp4 to VGG-16 in shards, against the bare network, a plain loop, and OpenCV used well.

The clips are like VoxCeleb2's: 224 x 224, H.264 with AAC, 25 frames a second, 8 s. What moves in
them are the faces of ../shared/data/video where they are, else the demo's drawn ones. Weights are
random: they change no time.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import torch
from joblib import cpu_count
from torchvision.models import VGG16_Weights, vgg16

from benchmarks.peak import matmul_flops
from benchmarks.timing import MIB, alternate, peak_bytes
from featurize.media import iter_frames, read_frames
from featurize.vgg import PREPROCESSING, Vgg16, prepare
from pipelines.backends import Loky
from pipelines.extract import ExtractSettings, resolve_device
from pipelines.extract_work import video_work
from pipelines.manifest import Utterance
from pipelines.runner import Unit, run_stage
from pipelines.settings import Settings
from pipelines.video_vectors import network_of_this_process

CLIP_S, FILE_FPS, SIDE = 8, 25, 224
FLOP_A_PICTURE = 2 * 15.47e9  # multiply-adds of VGG-16 at 224 x 224, torchvision's figure
PLACES = [folder / "shared/data/video" for folder in Path(__file__).resolve().parents[2:4]]
RIVALS = {
    "bare": "bare network: ready tensors, same precision and batches",
    "loop": "plain loop: OpenCV, PIL, float32, frame by frame",
    "opencv": "OpenCV + torchvision: a batch a clip, same precision, channels-last",
}


def rows(quick: bool) -> list[dict[str, Any]]:
    """A row a rival, ``ratio`` being how many times faster ours is; then the hardware's limits."""
    on_gpu = resolve_device("auto") == "cuda"
    n_files = 2 if quick else 24
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whose = make_clips(folder, n_files)
        n_clips = n_files * (40 if on_gpu else 1)
        # The slow ways take a part of the clips: a clip costs them the same whatever the others.
        n_of = dict.fromkeys(("stage", "bare"), n_clips)
        n_of |= dict.fromkeys(("loop", "opencv"), 1 if quick else n_clips // 4)
        jobs = 1 if quick or on_gpu else cpu_count()  # the command's default; a shard each
        seconds = alternate(paths(folder, n_of, jobs), 1 if quick else 3)
        names = () if quick else ("stage", "loop", "opencv")
        memory_mb = {name: _memory_mb(folder, min(n_clips, 8), jobs, name) for name in names}
    speed = {name: n_of[name] * CLIP_S / seconds[name] for name in n_of}
    settings = _settings()
    what = (
        f"stage: open, decode, VGG-16 fc7, write; {n_clips} clips of {CLIP_S} s of {whose}, "
        f"{settings.fps:g} frame a second, {_network(settings).resolved['precision']}, batches of "
        f"{settings.vgg.batch_size}, {torch.get_num_threads()} threads in {jobs} processes, "
        f"{settings.device}"
    )
    targets = {"bare": 0.95 if on_gpu else 0.9, "loop": None if on_gpu else 2.5, "opencv": None}
    found = [_row(what, rival, speed, memory_mb, target) for rival, target in targets.items()]
    return [*found, *_limits(settings, speed["stage"])]


def _limits(settings: ExtractSettings, frames_per_s: float) -> list[dict[str, Any]]:
    """What the processor has: the share of it that the stage uses, what bfloat16 is worth on it."""
    precision = _network(settings).resolved["precision"]
    peak, float32 = (
        matmul_flops(getattr(torch, name), settings.device) for name in (precision, "float32")
    )
    used = frames_per_s * FLOP_A_PICTURE
    return [
        _limit("model FLOP utilisation: 31 GFLOP a frame", used, precision, peak),
        _limit(f"matrix products, {precision}", peak, "float32", float32),
    ]


def _limit(what: str, flops: float, precision: str, peak: float) -> dict[str, Any]:
    return {
        "modality": "video",
        "what": what,
        "value": flops / 1e9,
        "unit": "GFLOP/s",
        "against": f"matrix products {precision}: {peak / 1e9:,.0f} GFLOP/s",
        "ratio": flops / peak,
        "target": None,
        "reached": True,
        "memory_mb": None,
    }


def _row(
    what: str,
    rival: str,
    speed: dict[str, float],
    memory_mb: dict[str, float],
    target: float | None,
) -> dict[str, Any]:
    ratio = speed["stage"] / speed[rival]
    theirs = f"{speed[rival]:.1f} frames/s"
    theirs += f", {memory_mb[rival]:,.0f} MiB" if rival in memory_mb else ""
    return {
        "modality": "video",
        "what": what,
        "value": speed["stage"],
        "unit": "frames/s",
        "against": f"{RIVALS[rival]}: {theirs}",
        "ratio": ratio,
        "target": target,
        "reached": target is None or ratio >= target,
        "memory_mb": memory_mb.get("stage"),
    }


def paths(folder: Path, n_of: dict[str, int], jobs: int) -> dict[str, Callable[[], object]]:
    """Each way from so many clips of FOLDER to their vectors."""
    settings = _settings()
    files = sorted((folder / "clips").iterdir())
    clips = {name: [files[k % len(files)] for k in range(n)] for name, n in n_of.items()}
    ways: dict[str, Callable[[list[Path]], Callable[[], object]]] = {
        "stage": lambda clips: lambda: stage(folder, clips, settings, jobs),
        "bare": lambda clips: bare(clips, settings),
        "loop": lambda clips: plain_loop(folder, clips),
        "opencv": lambda clips: opencv_used_well(folder, clips, settings),
    }
    return {name: ways[name](clips[name]) for name in n_of}


def stage(folder: Path, clips: list[Path], settings: ExtractSettings, jobs: int) -> None:
    """Ours: `trimodal extract WORK video --jobs JOBS` on a shard a process."""
    units = []
    for number in range(jobs):
        utterances = [
            Utterance(f"u{number}-{k}", "s", None, str(clip.relative_to(folder)))
            for k, clip in enumerate(clips[number::jobs])
        ]
        output = folder / f"shard-{number}.h5"
        output.unlink(missing_ok=True)
        units.append(Unit(number, output, "", {}, folder, utterances))
    work = partial(video_work, settings)
    summary = run_stage(
        "video",
        units,
        work,
        backend=Loky(jobs),
        redo=False,
        max_reject_share=0,
        progress=lambda _: None,
    )
    assert summary.n_done == len(clips)


def bare(clips: list[Path], settings: ExtractSettings) -> Callable[[], object]:
    """The same network on the same pictures, ready in its own type and layout: the limit."""
    network = _network(settings)
    by_file = {clip: prepare(read_frames(clip, fps=settings.fps)[1]) for clip in set(clips)}
    n = settings.vgg.batch_size
    pictures = np.concatenate([by_file[clip] for clip in clips])
    ready = [network.normalised(pictures[i : i + n]) for i in range(0, len(pictures), n)]

    def run() -> None:
        with torch.inference_mode():
            for images in ready:
                last = network.network(images)
            last.cpu()

    return run


def plain_loop(folder: Path, clips: list[Path]) -> Callable[[], object]:
    """A user's script: every second's picture, one by one, through torchvision as it comes."""
    import cv2
    from PIL import Image

    device = resolve_device("auto")
    model = vgg16().eval().to(device)
    model.classifier = model.classifier[:5]
    transform = VGG16_Weights.IMAGENET1K_V1.transforms()

    def run() -> None:
        for clip in clips:
            vectors = []
            for picture in _opencv_pictures(clip):
                image = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                with torch.no_grad():
                    vectors.append(model(transform(image)[None].to(device))[0].cpu().numpy())
            np.save(folder / "vectors.npy", np.stack(vectors))

    return run


def opencv_used_well(
    folder: Path, clips: list[Path], settings: ExtractSettings
) -> Callable[[], object]:
    """OpenCV decodes, skipped frames are not converted, a clip is a batch in our precision."""
    import cv2

    network = _network(settings)
    device = next(network.network.parameters()).device

    def run() -> None:
        with h5py.File(folder / "opencv.h5", "w") as file, torch.inference_mode():
            for number, clip in enumerate(clips):
                pictures = [cv2.cvtColor(p, cv2.COLOR_BGR2RGB) for p in _opencv_pictures(clip)]
                images = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)
                dtype = next(network.network.parameters()).dtype
                images = PREPROCESSING(images).to(dtype, memory_format=torch.channels_last)
                vectors = network.network(images).float().cpu().numpy()
                file[f"u{number}"] = vectors.astype(np.float16)

    return run


def _opencv_pictures(clip: Path) -> Iterator[np.ndarray]:
    """The picture in the middle of each second."""
    import cv2

    capture = cv2.VideoCapture(str(clip))
    number = 0
    while capture.grab():
        if number % FILE_FPS == FILE_FPS // 2:
            yield capture.retrieve()[1]
        number += 1


def make_clips(folder: Path, n_clips: int) -> str:
    """Writes FOLDER/clips; returns whose faces they show."""
    place = next((place for place in PLACES if place.is_dir()), None)
    faces = _recorded(place, n_clips) if place else _drawn()
    (folder / "clips").mkdir()
    for number in range(n_clips):
        pictures = faces[number % len(faces)]
        _write_clip(folder / "clips" / f"{number:05d}.mp4", pictures)
    return "recorded faces" if place else "drawn faces"


def _recorded(place: Path, n_clips: int) -> list[np.ndarray]:
    paths = sorted(place.glob("*.m*"))[:n_clips]
    return [np.concatenate([prepare(p[None]) for _, p in iter_frames(f, fps=25)]) for f in paths]


def _drawn() -> list[np.ndarray]:
    from pipelines.demo.footage import footage
    from pipelines.demo.looks import EMOTION_EXPRESSIONS, random_look

    rng = np.random.default_rng(0)
    sound = rng.integers(-3000, 3000, CLIP_S * 16000).astype(np.int16)
    shots = [(EMOTION_EXPRESSIONS["happy"], sound)]
    return [np.stack(footage(random_look(rng, "f"), shots, rng))[..., ::-1] for _ in range(4)]


def _write_clip(path: Path, pictures: np.ndarray) -> None:
    """H.264 as x264 makes it by default, with AAC; forwards and backwards until it is full."""
    there_and_back = np.concatenate([pictures, pictures[::-1]])
    noise = np.random.default_rng(0).normal(0, 0.05, (1, CLIP_S * 16000)).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FILE_FPS)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for k in range(CLIP_S * FILE_FPS):
            picture = np.ascontiguousarray(there_and_back[k % len(there_and_back)])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, FILE_FPS)
            container.mux(video.encode(frame))
        wave = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        wave.sample_rate = 16000
        container.mux(sound.encode(wave))
        for stream in (video, sound):
            container.mux(stream.encode(None))


def _settings() -> ExtractSettings:
    settings = ExtractSettings.load(Settings("demo"), video={}, glove=None, store={}, device="auto")
    return replace(settings, vgg=replace(settings.vgg, precision="auto"))


def _network(settings: ExtractSettings) -> Vgg16:
    return network_of_this_process(settings.vgg, settings.device)


def _memory_mb(folder: Path, n_clips: int, jobs: int, name: str) -> float:
    """Peak of a fresh process that takes one of the ways alone, with its decoding workers."""
    words = [sys.executable, "-m", __name__, str(folder), str(n_clips), str(jobs), name]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _own_memory_mb() -> float:
    """Peak of this process, and what its children hold now (shared pages by their share)."""
    children = [int(line) for line in _children(os.getpid())]
    return (peak_bytes() + sum(map(_proportional_bytes, children))) / MIB


def _children(pid: int) -> list[int]:
    found = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [c for child in found for c in _children(child)]


def _proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    _folder, _n_clips, _jobs, _name = sys.argv[1:]
    paths(Path(_folder), {_name: int(_n_clips)}, int(_jobs))[_name]()
    print(_own_memory_mb())
