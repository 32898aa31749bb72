"""float32 or bfloat16: which of them a device is faster in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "auto")


def settled_precision(wanted: str, device: torch.device) -> str:
    """One of ``PRECISIONS`` as "float32" or "bfloat16".

    "auto" is bfloat16 where the device has instructions for it: NVIDIA's GPUs from Ampere on,
    processors with AVX-512 BF16 or AMX. On others PyTorch emulates it: on one with AVX2 alone
    products of matrices take a hundred times as long as in float32 (benchmarks/README.md).
    """
    import torch

    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        abilities = torch.cpu.get_capabilities()
        has_it = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return "bfloat16" if has_it else "float32"
