"""Small synthetic shards with a trace to learn, shared by the tests of the training stages."""

import itertools
import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import Result

from featurize.shards import NO_LABELS, TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from model import checkpoint
from model.config import ModelConfig, TrainConfig
from pipelines.manifest import Utterance, fingerprint
from pipelines.workspace import Workspace, create

N_BINS, N_VIDEO, N_TEXT, N_EMOTIONS = 40, 12, 8, 6
SHARES = (0.5, 0.3, 0.3, 0.2, 0.25, 0.2)  # of the segments that show each emotion
FIELDS = {
    "audio": {"features": ((N_BINS,), "float16")},
    "video": {"features": ((N_VIDEO,), "float16"), "times_s": ((), "float32")},
    "text": {"features": ((N_TEXT,), "float16"), "times_s": ((2,), "float32")},
    "targets": TARGET_FIELDS,
}


def sentiment_of(emotions: np.ndarray) -> float:
    """In [-3, 3], and told by what tells the emotions."""
    return float(np.clip(emotions @ (1.5, -1.0, -1.0, 0.5, -0.5, -0.5), -3, 3))


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
            "labels": [sentiment_of(emotions), *emotions],
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
def trainable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as the commands take it, with manifest: 36 utterances. Only for reading."""
    work = tmp_path_factory.mktemp("trainable") / "work"
    rng = np.random.default_rng(0)
    traces = {name: rng.normal(size=(6, n)) for name, n in (("video", N_VIDEO), ("text", N_TEXT))}
    traces["speaker"] = rng.normal(size=(3, N_BINS))
    utterances = [
        Utterance(
            id=f"id{i % 3:05d}/v/{i:05d}", speaker=f"id{i % 3:05d}", audio=f"{i}.wav", video=None,
            start_s=0.0, end_s=1.0, text="abc",
        )
        for i in range(36)
    ]  # fmt: skip
    create(work, "mosei", work, utterances, [], shard_size=12, seed=0, settings={})
    workspace = Workspace(work)
    for number, modality in itertools.product(range(workspace.n_shards), FIELDS):
        with ShardWriter(
            workspace.feature_path(number, modality), modality=modality, fields=FIELDS[modality],
            config={}, fingerprint=fingerprint(modality, {}, workspace.inputs(modality, number)),
            tools={}, columns=TARGET_COLUMNS if modality == "targets" else {},
        ) as writer:  # fmt: skip
            for utterance in workspace.shard(number):
                i = int(utterance.id[-5:])
                arrays = _utterance(i, np.random.default_rng(i), traces)
                writer.add(utterance.id, arrays[modality], arrays["columns"])
    return work


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


TIMED = {"seconds", "utterances_per_s", "data_wait_share"}  # differ from run to run


def _figures(run: Path) -> list[dict]:
    lines = map(json.loads, (run / checkpoint.LOG).read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMED} for line in lines]


@pytest.fixture(scope="session")
def figures() -> Callable[[Path], list[dict]]:
    """(run) -> the lines of its log, without what is measured in seconds."""
    return _figures


@pytest.fixture(scope="session")
def same_run() -> Callable[[Path, Path], None]:
    """(run, other) asserts the same weights, last and best, bit for bit, and the same log."""

    def check(one: Path, other: Path) -> None:
        for read in (_last_weights, lambda run: checkpoint.load_weights(run / checkpoint.BEST)):
            first, second = read(one), read(other)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[name], second[name]) for name in first)
        assert _figures(one) == _figures(other)
        assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())

    return check


def _last_weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_checkpoint(run / checkpoint.CHECKPOINT)["model"]


CHILD = """
import json, sys
from pathlib import Path
from model import train as training
from model import checkpoint
from model.config import ModelConfig, TrainConfig
from pipelines.pretrain import pretrain

work, run, model, train = sys.argv[1:]
training.CHECKPOINT_EVERY_S = 0.1  # in the time of the test, often within an epoch
pretrain(
    Path(work), Path(run), device="cpu",
    model=ModelConfig.from_dict(json.loads(model)), train=TrainConfig.from_dict(json.loads(train)),
)
"""


@pytest.fixture
def start_pretraining(start, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """(n_processes, work, run, model, train) pretrains in a child, or in several by torchrun."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)

    def run(n_processes: int, work: Path, run: Path, *configs: object) -> subprocess.Popen:
        return start(n_processes, script, work, run, *(json.dumps(asdict(c)) for c in configs))

    return run


@pytest.fixture
def trimodal() -> Callable[..., Result]:
    """Runs one command line in this process: ``trimodal("status", work)``."""
    from click.testing import CliRunner

    from pipelines.cli import main

    def run(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


class Exchanged(NamedTuple):
    """A workspace with a manifest, and what was written to its shards."""

    work: Path
    utterances: dict[str, Utterance]
    arrays: dict[str, dict[str, dict[str, np.ndarray]]]  # id -> modality -> field -> array
    transcripts: dict[str, str]


ODD_IDS = (
    "-3g5yACwYnB/1",
    "__a__/b.c/1",
    "__a__/b%2Ec/1",
    "v.1/%2E",
    "\u00fan\u00ef/0",
    "81406/10",
)
FOLDS = ("train", "dev", "test")


def write_exchanged(
    work: Path, *, seed: int = 0, audio: dict | None = None, is_labelled: bool = True,
    last_word: str = "word",
) -> Exchanged:  # fmt: skip
    """12 utterances in 3 shards, as extraction leaves them. ``audio``: settings of its shards.

    Every modality is missing somewhere, and one utterance has none of them.
    """
    rng = np.random.default_rng(seed)
    ids = [*ODD_IDS, *(f"rec{i % 2}/{i}" for i in range(6))]
    utterances = {
        utterance_id: Utterance(
            id=utterance_id, speaker=f"s{i % 3}", audio=f"sound/{i % 2}.wav", video=None,
            start_s=0.5 * i, end_s=0.5 * i + 0.4, text=f"Word {utterance_id}, and Word.",
            labels=tuple(np.round(rng.uniform(0, 3, 7), 3).tolist()) if is_labelled else None,
            fold=FOLDS[i % 3], recording=f"rec{i % 3}", recording_start_s=0.5 * (i // 3),
            recording_end_s=0.5 * (i // 3 + 1),
        )
        for i, utterance_id in enumerate(ids)
    }  # fmt: skip
    cut = {"shard_size": 4, "seed": 0, "settings": {}}
    create(work, "mosei", work / "corpus", list(utterances.values()), [], **cut)
    transcripts = {name: f"word {chr(97 + i)} and {last_word}" for i, name in enumerate(ids)}
    arrays = {utterance_id: _random_arrays(rng) for utterance_id in ids}
    for i, modality in enumerate(("audio", "video", "text")):
        del arrays[ids[2 * i]][modality], arrays[ids[-1]][modality]
    settings = {
        "audio": {"hop_s": 0.01, "sample_rate_hz": 16000} if audio is None else audio,
        "video": {"fps": 1.0}, "text": {}, "targets": {},
    }  # fmt: skip
    workspace = Workspace(work)
    for number in range(workspace.n_shards):
        for modality, config in settings.items():
            _write_exchanged_shard(workspace, number, modality, config, arrays, transcripts)
    return Exchanged(work, utterances, arrays, transcripts)


def _random_arrays(rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    n_frames, n_video, n_words = (int(n) for n in rng.integers((1, 1, 1), (41, 5, 7)))
    return {
        "audio": {"features": rng.normal(size=(n_frames, N_BINS)).astype(np.float16)},
        "video": {
            "features": rng.normal(size=(n_video, N_VIDEO)).astype(np.float16),
            "times_s": rng.uniform(0, 3, n_video).astype(np.float32),
        },
        "text": {
            "features": rng.normal(size=(n_words, N_TEXT)).astype(np.float16),
            "times_s": np.full((n_words, 2), np.nan, np.float32),
        },
    }


def _write_exchanged_shard(
    workspace: Workspace, number: int, modality: str, config: dict, arrays: dict, transcripts: dict
) -> None:
    made = fingerprint(modality, config, workspace.inputs(modality, number))
    columns = TARGET_COLUMNS if modality == "targets" else None
    with ShardWriter(
        workspace.feature_path(number, modality), modality=modality, fields=FIELDS[modality],
        config=config, fingerprint=made, tools={}, columns=columns,
    ) as writer:  # fmt: skip
        for utterance in workspace.shard(number):
            if modality == "targets":
                characters = np.frombuffer(transcripts[utterance.id].encode(), np.uint8)
                facts = {"speaker": utterance.speaker, "fold": utterance.fold}
                facts["labels"] = NO_LABELS if utterance.labels is None else utterance.labels
                writer.add(utterance.id, {"characters": characters}, facts)
            elif modality in arrays[utterance.id]:
                writer.add(utterance.id, arrays[utterance.id][modality])
            else:
                writer.reject(utterance.id, "made to be missing")


@pytest.fixture(scope="session")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Exchanged:
    """A small workspace with features and what they are. Only for reading."""
    return write_exchanged(tmp_path_factory.mktemp("exchanged") / "work")


@pytest.fixture(scope="session")
def make_exchanged() -> Callable[..., Exchanged]:
    return write_exchanged
