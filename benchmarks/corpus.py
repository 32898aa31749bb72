"""A made-up workspace of the size that the speed targets name, and its copies for the peers.

An utterance is 160 x 200 of audio, 40 x 4096 of video and 20 x 300 of text, float16: 404 KB. The
audio is kept as its 800 x 40 frames, as ``trimodal extract`` writes it. 1,000 utterances are
404 MB, far more than the processor's cache.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter

N_STACKED = 5
SHAPES = {"audio": (800, 40), "video": (40, 4096), "text": (20, 300)}
STACKED = {**SHAPES, "audio": (160, 200)}  # the shape in which all rivals give the audio
POOL = 32  # different utterances; the others have the content of one of these


@dataclass(frozen=True)
class Corpus:
    """Some shards' worth of utterances."""

    n_shards: int
    shard_size: int

    def __len__(self) -> int:
        return self.n_shards * self.shard_size

    @property
    def n_bytes(self) -> int:
        """Of the features of all utterances."""
        return len(self) * sum(2 * int(np.prod(shape)) for shape in SHAPES.values())

    def shard(self, number: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """(id, modality -> float16 array shaped as in ``SHAPES``) of each utterance of a shard."""
        for n in range(number * self.shard_size, (number + 1) * self.shard_size):
            yield f"id{n % 5994:05d}/21Uxsk56VDQ/{n:05d}", _POOL[n % POOL]


def _pool() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(POOL):
        arrays = {name: rng.standard_normal(shape, np.float32) for name, shape in SHAPES.items()}
        arrays["video"] = np.maximum(arrays["video"], 0)
        made.append({name: array.astype(np.float16) for name, array in arrays.items()})
    return made


_POOL = _pool()


def write_workspace(folder: Path, corpus: Corpus) -> None:
    """The features folder of a workspace, all four files of each shard."""
    for number in range(corpus.n_shards):
        for modality in SHAPES:
            path = folder / f"shard-{number:05d}.{modality}.h5"
            write_shard(path, modality, corpus.shard(number))
        path = folder / f"shard-{number:05d}.targets.h5"
        fields = TARGET_FIELDS
        with ShardWriter(path, **about("targets"), fields=fields, columns=TARGET_COLUMNS) as writer:
            for utterance_id, _ in corpus.shard(number):
                writer.add(utterance_id, {"characters": CHARACTERS}, targets_of(utterance_id))


def write_shard(
    path: Path, modality: str, utterances: Iterable[tuple[str, dict[str, np.ndarray]]]
) -> None:
    """One file, with ``times_s`` where ``trimodal extract`` writes it."""
    n_rows, *row_shape = SHAPES[modality]
    fields = {"features": (tuple(row_shape), "float16"), **TIMES.get(modality, {})}
    times = {name: np.zeros((n_rows, *shape), dtype) for name, (shape, dtype) in fields.items()}
    with ShardWriter(path, **about(modality), fields=fields) as writer:
        for utterance_id, arrays in utterances:
            writer.add(utterance_id, {**times, "features": arrays[modality]})


TIMES: dict[str, dict[str, tuple[tuple[int, ...], str]]] = {
    "video": {"times_s": ((), "float32")},
    "text": {"times_s": ((2,), "float32")},
}
CHARACTERS = np.frombuffer(b"and then she went down to the brook by the road", np.uint8)


def about(modality: str) -> dict:
    """What ``ShardWriter`` wants to know besides fields."""
    return {"modality": modality, "config": {}, "fingerprint": "made up", "tools": {}}


def targets_of(utterance_id: str) -> dict:
    """Columns of an utterance's targets: a speaker, as in VoxCeleb2, and no labels."""
    return {
        "speaker": utterance_id.partition("/")[0],
        "fold": "",
        "labels": np.full(7, np.nan, np.float32),
    }
