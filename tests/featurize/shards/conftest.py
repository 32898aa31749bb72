"""Small shards of random utterances, shared by the tests of the format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featurize.shards import ShardWriter

FIELDS = {"features": ((3,), "float16"), "times_s": ((2,), "float32")}
COLUMNS = {"speaker": "text", "labels": ((2,), "float32")}

Content = dict[str, dict[str, np.ndarray]]


def utterance(n_rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, 3)).astype(np.float16)
    return {"features": features, "times_s": rng.random((n_rows, 2)).astype(np.float32)}


def columns_of(i: int) -> dict[str, object]:
    return {"speaker": f"sprecherin {'ü' * i}", "labels": [i, np.nan]}


def new_writer(path: Path, **settings) -> ShardWriter:
    wanted = {"modality": "video", "config": {"fps": 1.0}, "fingerprint": "f0", "tools": {"x": "1"}}
    return ShardWriter(path, **{"fields": FIELDS, **wanted, **settings})


def write(path: Path, lengths: list[int], n_rejects: int = 0, **settings) -> Content:
    """A shard of utterances of the given lengths; returns what was written."""
    content = {f"speaker/é-{i}": utterance(n, i) for i, n in enumerate(lengths)}
    with new_writer(path, columns=COLUMNS, **settings) as writer:
        for i, (utterance_id, arrays) in enumerate(content.items()):
            writer.add(utterance_id, arrays, columns_of(i))
        for i in range(n_rejects):
            writer.reject(f"lost/{i}", "no sound")
    return content


@pytest.fixture(scope="session")
def write_shard() -> Callable[..., Content]:
    """(path, lengths, n_rejects=0, **settings of ShardWriter) -> id -> field -> array."""
    return write


@pytest.fixture(scope="session")
def open_writer() -> Callable[..., ShardWriter]:
    """(path, **settings) -> a writer of fields features (3,) float16 and times_s (2,) float32."""
    return new_writer


@pytest.fixture(scope="session")
def make_utterance() -> Callable[[int, int], dict[str, np.ndarray]]:
    """(n_rows, seed) -> field -> random array."""
    return utterance
