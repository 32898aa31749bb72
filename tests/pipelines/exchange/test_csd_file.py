"""Metadata of a computational sequence: what the file says of itself, and what it may not cost."""

import resource
import struct
from pathlib import Path

import h5py
import numpy as np

from pipelines.exchange.csd_file import read_metadata


def write(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["COVAREP/metadata/creator"] = ["someone"]
        file["COVAREP/metadata/dataset name"] = "CMU-MOSEI"
        file["COVAREP/data/r/features"] = np.zeros((2, 3))
    return path


def test_texts_are_read(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.csd")) as file:
        assert read_metadata(file["COVAREP"]) == {"creator": "someone", "dataset name": "CMU-MOSEI"}


def test_a_text_that_claims_gigabytes_is_left_out(tmp_path: Path) -> None:
    """HDF5 would take 4 GB, and most of a minute, before it finds that the text ends."""
    path = write(tmp_path / "a.csd")
    with h5py.File(path) as file:
        place = file["COVAREP/metadata/creator"].id.get_offset()
    content = bytearray(path.read_bytes())
    assert struct.unpack_from("<I", content, place) == (len("someone"),)
    struct.pack_into("<I", content, place, 2**32 - 16)
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with h5py.File(path) as file:
        assert read_metadata(file["COVAREP"]) == {"dataset name": "CMU-MOSEI"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
