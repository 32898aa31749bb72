"""The hardware's limit for networks: the best rate of matrix products that PyTorch reaches here."""

import time

import torch

SIDE = 2048
ROUNDS = 5


def matmul_flops(dtype: torch.dtype, device: str | torch.device = "cpu", side: int = SIDE) -> float:
    """Floating-point operations a second of the fastest of some products of square matrices.

    A product of (n, n) by (n, n) is 2 n^3 operations. It uses as many threads as PyTorch does.
    """
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(1 + ROUNDS):
        _wait(device)
        started_s = time.perf_counter()
        left @ right
        _wait(device)
        seconds.append(time.perf_counter() - started_s)
    return 2 * side**3 / min(seconds[1:])


def _wait(device: str | torch.device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
