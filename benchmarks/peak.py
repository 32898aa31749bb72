"""The hardware's limit for networks: the best rate of matrix products that PyTorch reaches here."""

import time

import torch

ROUNDS = 12


def matmul_flops(dtype: torch.dtype, device: str | torch.device = "cpu") -> float:
    """Floating-point operations a second of the fastest of some products of square matrices.

    A product of (n, n) by (n, n) is 2 n^3 operations. It uses as many threads as PyTorch does; on
    a CPU that others use as well it is too low, and utilisation by it too high.
    """
    side = 8192 if torch.device(device).type == "cuda" else 3072
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(1 + ROUNDS):
        synchronise(device)
        started_s = time.perf_counter()
        left @ right
        synchronise(device)
        seconds.append(time.perf_counter() - started_s)
    return 2 * side**3 / min(seconds[1:])


def synchronise(device: str | torch.device) -> None:
    """Waits for a GPU to finish; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
