"""GPUs: whether there are some, and whether PyTorch can use them."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.packages import TRIO, pip
from pipelines.doctor.probe import Answers
from pipelines.doctor.sizes import size

LEAST_FREE_BYTES = 4e9  # VGG-16 with a batch of 32 in bfloat16, and the trainer, with room to spare
WHAT = "GPU"


def gpu_findings(
    answers: Answers,
    has_driver: bool | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Finding]:
    """What PyTorch sees, against what the system has."""
    has_driver = driver_is_there() if has_driver is None else has_driver
    if "torch" in answers.errors or "numpy" in answers.errors:  # told elsewhere
        return
    if "gpus" in answers.errors:
        yield Finding(WHAT, "problem", answers.errors["gpus"], "nvidia-smi")
        return
    if "gpus" not in answers.found:  # torch itself is broken, which is told elsewhere
        return
    gpus = answers.found["gpus"]["gpus"]
    for number, gpu in enumerate(gpus):
        yield _usable(number, gpu)
    if not gpus:
        yield from _unused(answers, has_driver, environment)


def driver_is_there() -> bool:
    """Whether the system has an NVIDIA driver, whatever PyTorch says."""
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        return True
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _usable(number: int, gpu: Mapping) -> Finding:
    seen = f"{gpu['name']}, {size(gpu['free'])} of {size(gpu['total'])} free"
    what = f"{WHAT} {number}"
    if not gpu["is_right"]:
        return Finding(what, "problem", f"{seen}; it calculates wrongly", "nvidia-smi -q")
    if gpu["free"] < LEAST_FREE_BYTES:
        seen = f"{seen}: less than {size(LEAST_FREE_BYTES)}; something else is using it"
        return Finding(what, "warning", seen, "nvidia-smi")
    return ok(what, seen)


def _unused(
    answers: Answers, has_driver: bool, environment: Mapping[str, str]
) -> Iterator[Finding]:
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if not has_driver:
        yield ok(WHAT, "none; all stages run on the CPU, video and training slower")
    elif hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        seen = f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        yield Finding(WHAT, "warning", seen, "unset CUDA_VISIBLE_DEVICES")
    elif not answers.found["torch"]["cuda"]:
        seen = "a driver is there, but this PyTorch is built for CPUs alone"
        yield Finding(WHAT, "warning", seen, pip(TRIO, anew=True))
    else:
        reason = answers.found["gpus"]["problem"] or "it does not say why"
        cuda = answers.found["torch"]["cuda"]
        seen = f"a driver is there, but PyTorch (CUDA {cuda}) cannot use it: {reason}"
        mends = f"nvidia-smi   # its driver has to support CUDA {cuda}; in a container: --gpus all"
        yield Finding(WHAT, "warning", seen, mends)
