"""Probe: PyTorch and its two companions, and the GPUs that it can use."""

from typing import Any

from pipelines.doctor.probe import told


def _numpy() -> dict[str, Any]:
    import numpy

    return {"version": numpy.__version__}


def _torch() -> dict[str, Any]:
    import torch

    return {"version": torch.__version__, "cuda": torch.version.cuda, "file": torch.__file__}


def _torchvision() -> dict[str, Any]:
    import torch
    import torchvision

    boxes, scores = torch.zeros(1, 4), torch.zeros(1)
    torchvision.ops.nms(boxes, scores, 0.5)  # in the compiled part, which must fit torch's
    return {"version": torchvision.__version__, "file": torchvision.__file__}


def _torchaudio() -> dict[str, Any]:
    import torch
    import torchaudio
    from torchaudio.compliance import kaldi

    kaldi.fbank(torch.zeros(1, 16000))
    return {"version": torchaudio.__version__, "file": torchaudio.__file__}


def _gpus() -> dict[str, Any]:
    import torch

    problem = None
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            problem = str(error).partition("\n")[0]
        return {"gpus": [], "problem": problem}
    gpus = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        product = torch.ones(64, 64, device=f"cuda:{number}") @ torch.ones(64, 1).to(number)
        name = torch.cuda.get_device_name(number)
        is_right = bool((product == 64).all())
        gpus.append({"name": name, "free": free, "total": total, "is_right": is_right})
    return {"gpus": gpus, "problem": None}


if __name__ == "__main__":
    for step, look in (
        ("numpy", _numpy),  # which torch cannot do without: told once, for itself
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("torchaudio", _torchaudio),
        ("gpus", _gpus),
    ):
        told(step, look)
