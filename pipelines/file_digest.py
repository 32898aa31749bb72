"""Digest of a whole file."""

from collections.abc import Callable
from pathlib import Path

import xxhash

BLOCK_BYTES = 16 * 1024**2


def file_digest(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """xxh3_128 of a file's bytes, in hex; ``progress`` is told the bytes of each block."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()
