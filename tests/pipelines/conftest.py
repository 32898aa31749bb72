"""Small synthetic shards with a trace to learn, shared by the tests of the training stages."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from model.config import ModelConfig, TrainConfig

N_BINS, N_VIDEO, N_TEXT, N_EMOTIONS = 40, 12, 8, 6
SHARES = (0.5, 0.3, 0.3, 0.2, 0.25, 0.2)  # of the segments that show each emotion
FIELDS = {
    "audio": {"features": ((N_BINS,), "float16")},
    "video": {"features": ((N_VIDEO,), "float16"), "times_s": ((), "float32")},
    "text": {"features": ((N_TEXT,), "float16"), "times_s": ((2,), "float32")},
    "targets": TARGET_FIELDS,
}


def _utterance(i: int, rng: np.random.Generator, traces: dict) -> dict:
    """Arrays of one utterance: its speaker moves the audio, its emotions all modalities."""
    n_frames, n_video, n_words = (int(n) for n in rng.integers((40, 1, 1), (80, 5, 7)))
    speaker, emotions = i % 3, rng.random(N_EMOTIONS) < SHARES
    audio = rng.normal(size=(n_frames, N_BINS)) + traces["speaker"][speaker]
    video = rng.normal(size=(n_video, N_VIDEO)) + emotions @ traces["video"]
    text = 0.3 * rng.normal(size=(n_words, N_TEXT)) + emotions @ traces["text"]
    return {
        "audio": {"features": audio},
        "video": {"features": video, "times_s": np.zeros(n_video)},
        "text": {"features": text, "times_s": np.zeros((n_words, 2))},
        "targets": {
            "characters": np.frombuffer(b"abc cab"[: 3 + speaker], np.uint8),
        },
        "columns": {
            "speaker": f"id{speaker:05d}",
            "fold": ("train", "train", "dev", "test")[i % 4],
            "labels": [0, *emotions],
        },
    }


def write_features(work: Path, n: int = 48, n_per_shard: int = 16) -> Path:
    """WORK/features with ``n`` utterances; returns ``work``."""
    rng = np.random.default_rng(0)
    traces = {
        "speaker": 2 * rng.normal(size=(3, N_BINS)),
        "video": rng.normal(size=(N_EMOTIONS, N_VIDEO)),
        "text": rng.normal(size=(N_EMOTIONS, N_TEXT)),
    }
    for start in range(0, n, n_per_shard):
        with ExitStack() as stack:
            writers = {}
            for modality, fields in FIELDS.items():
                path = work / "features" / f"shard-{start // n_per_shard:05d}.{modality}.h5"
                writer = ShardWriter(
                    path,
                    modality=modality,
                    fields=fields,
                    columns=TARGET_COLUMNS if modality == "targets" else {},
                    config={},
                    fingerprint="f",
                    tools={},
                )
                writers[modality] = stack.enter_context(writer)
            for i in range(start, min(start + n_per_shard, n)):
                arrays = _utterance(i, rng, traces)
                for modality, writer in writers.items():
                    utterance_id = f"id{i % 3:05d}/v/{i:05d}"
                    writer.add(utterance_id, arrays[modality], arrays["columns"])
    return work


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 48 utterances, 3 speakers, half of them in fold train. Only for reading."""
    return write_features(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def make_features() -> Callable[..., Path]:
    return write_features


@pytest.fixture(scope="session")
def tiny_model() -> ModelConfig:
    return ModelConfig(
        d_model=16,
        n_heads=2,
        n_audio_layers=1,
        n_crossmodal_layers=1,
        n_decoder_layers=1,
        d_ff=16,
        gru_size=6,
        gru_layers=1,
        late_fusion_hidden=8,
    )


@pytest.fixture(scope="session")
def tiny_train() -> TrainConfig:
    return TrainConfig(
        lr_scale=0.3,
        warmup_steps=20,
        frames_per_batch=80,
        max_epochs=4,
        patience=4,
        dev_fraction=0.25,
        precision="float32",
    )


@pytest.fixture(scope="session")
def tiny_corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with both demo corpora at their tiniest: ``voxceleb2`` and ``mosei``."""
    from pipelines.demo.corpora import TINY, make_mosei, make_voxceleb2

    folder = tmp_path_factory.mktemp("corpora")
    make_voxceleb2(folder / "voxceleb2", TINY, 0, lambda *_: None)
    make_mosei(folder / "mosei", TINY, 0, lambda *_: None)
    return folder


@pytest.fixture
def trimodal() -> Callable[..., Result]:
    """Runs one command line in this process: ``trimodal("status", work)``."""
    from click.testing import CliRunner

    from pipelines.cli import main

    def run(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return run
