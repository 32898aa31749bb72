"""Which precision "auto" means, by what the device says of itself."""

import pytest
import torch

from featurize.precision import settled_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("abilities", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({}, "float32")],
)
def test_auto_goes_by_the_processor(monkeypatch, abilities, expected) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert settled_precision("auto", CPU) == expected
    for asked in ("float32", "bfloat16"):
        assert settled_precision(asked, CPU) == asked


@pytest.mark.parametrize("major", [7, 8, 9])
def test_auto_goes_by_the_gpu(monkeypatch, major) -> None:
    """Volta and Turing (7) emulate bfloat16; by default PyTorch calls that supported."""

    def is_supported(including_emulation: bool = True) -> bool:
        return including_emulation or major >= 8

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    expected = "bfloat16" if major >= 8 else "float32"
    assert settled_precision("auto", torch.device("cuda")) == expected
