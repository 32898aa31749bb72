"""Fuzzed readers of corpora: lists, tables, transcripts, labels, word vectors, settings."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz.mutations import as_json, bytes_gone_wrong, json_gone_wrong, lines_gone_wrong
from benchmarks.fuzz.target import Mutate, Target

WORD2VEC = b"2 3\nhello \0\0\x80?\0\0\0@\0\0@@word \0\0\x80?\0\0\0@\0\0@@"
GLOVE = b"the 0.1 -0.2 3e-1\n. . . 0.4 0.5 0.6\nword 1 2 3\n"


def json_mutation(rng: Random, seed: bytes) -> bytes:
    """Of one JSON value."""
    return as_json(json_gone_wrong(rng, json.loads(seed)))


def json_lines_mutation(rng: Random, seed: bytes) -> bytes:
    """Of one line of several."""
    lines = seed.splitlines()
    k = rng.randrange(len(lines))
    lines[k] = json_mutation(rng, lines[k])
    return b"\n".join(lines) + b"\n"


def corpora_targets() -> list[Target]:
    return [*_voxceleb2(), *_mosei(), *_kaldi(), *_lists(), *_vectors(), _settings(), _boxes()]


def _voxceleb2() -> list[Target]:
    from pipelines.prepare_voxceleb2 import scan_voxceleb2

    def prepare(folder: Path) -> None:
        path = folder / "dev" / "mp4" / "id00012" / "v" / "00001.mp4"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")

    seeds = [b"VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \n"]
    return [Target("VoxCeleb2's table", "vox2_meta.csv", seeds, scan_voxceleb2, prepare)]


def _mosei() -> list[Target]:
    from pipelines.mosei_folds import read_folds
    from pipelines.mosei_label_files import read_labels
    from pipelines.prepare_mosei import scan_mosei

    transcript = b"vid___0___0.5___2.25___Hello, world.\nvid___1___2.25___4.0___a___b\n"
    labels = (
        b"id,start,end,sentiment,happy,sad,anger,surprise,disgust,fear\n"
        b"vid,0.5,2.25,1.0,0.5,0,0,0,0,0.33\nvid,2.25,4.0,-1,0,1,0,0,0,0\n"
    )
    ratings = (
        b"Input.VIDEO_ID,Input.CLIP,Answer.sentiment,Answer.happiness,Answer.sadness,Answer.anger,"
        b"Answer.surprise,Answer.disgust,Answer.fear\nvid,0,1,1,0,0,0,0,0\nvid,0,2,1,0,0,0,0,0\n"
    )
    folds = b'{"train": ["vid"], "valid": ["b"], "test": ["c"]}'
    python = b"standard_train_fold = ['vid']\nstandard_valid_fold = ['b']\nstandard_test_fold=['c']"

    def prepare(folder: Path) -> None:
        for name in (
            "Raw/Transcript/Segmented/Combined/vid.txt",
            "Raw/Videos/Full/Combined/vid.mp4",
        ):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(transcript)
        (folder / "labels.csv").write_bytes(labels)

    def scan(folder: Path) -> Any:
        return scan_mosei(folder, None, folder / "labels.csv")

    name = "Raw/Transcript/Segmented/Combined/vid.txt"
    text = (bytes_gone_wrong, lines_gone_wrong)
    return [
        # A label or a segment that cannot be used may leave nothing: of all files together.
        Target("MOSEI's transcripts", name, [transcript], scan, prepare, names_file=False),
        Target("MOSEI's labels, CSV", "labels.csv", [labels, ratings], scan, prepare, text, False),
        Target("label CSV alone", "labels.csv", [labels, ratings], _on("labels.csv", read_labels)),
        Target(
            "folds, JSON", "folds.json", [folds], _on("folds.json", read_folds),
            mutations=(bytes_gone_wrong, json_mutation),
        ),
        Target("folds, Python", "folds.py", [python], _on("folds.py", read_folds)),
    ]  # fmt: skip


def _kaldi() -> list[Target]:
    from pipelines.prepare_kaldi import scan_kaldi

    good = {
        "wav.scp": b"a-1 sound.wav\na-2 archive.ark:12\na-3 flac -c -d -s x.flac |\n",
        "segments": b"a-1-0 a-1 0.5 1.25\na-2-0 a-2 0 -1\na-3-0 a-3 0 1\n",
        "utt2spk": b"a-1-0 a\na-2-0 a\na-3-0 a\n",
        "text": b"a-1-0 hello world\na-2-0 \na-3-0 x\n",
        "utt2dur": b"a-1-0 0.75\na-2-0 1.5\n",
        "video.scp": b"a-1 sound.mp4\n",
        "utt2id": b"a-1-0 a/1/0\na-2-0 a/2/0\n",
        "spk2id": b"a the a\n",
        "reco2id": b"a-1 a/1\n",
    }

    def prepare(folder: Path) -> None:
        (folder / "data").mkdir()
        for name, content in good.items():
            (folder / "data" / name).write_bytes(content)
        (folder / "sound.wav").write_bytes(b"RIFF")
        (folder / "archive.ark").write_bytes(b"x" * 12 + b"RIFF\x04\0\0\0WAVE")

    def read(folder: Path) -> Any:
        return scan_kaldi(folder / "data", folder / "work", folder)

    return [
        Target(f"Kaldi's {name}", f"data/{name}", [seed], read, prepare)
        for name, seed in good.items()
    ]


def _lists() -> list[Target]:
    from pipelines.selection.known_languages import read_languages
    from pipelines.selection.published import read_published

    ids = b"dev/mp4/id05668/XWKC1JUM_ow/00053\nid00012/a/00001\n"
    zipped = gzip.compress(ids, mtime=0)
    languages = b"utterance,language\nid00012/a/00001,en\nid2/b/00001,fr\n"
    return [
        Target("languages", "languages.csv", [languages], _on("languages.csv", read_languages)),
        Target("published ids", "vox-en.id", [ids], _on("vox-en.id", read_published)),
        Target("published ids, gz", "vox.id.gz", [zipped], _on("vox.id.gz", read_published)),
    ]


def _vectors() -> list[Target]:
    from featurize.glove import Glove

    def read(name: str, folder: Path) -> Any:
        glove = Glove.open(folder / name, oov="split", cache=folder / "cache")
        return glove(["the", "word", "don't", "xyzzy"]), glove.vocabulary.words()

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("g.txt"), GLOVE)
    seeds = {
        "g.txt": [GLOVE, b"3 3\n" + GLOVE],
        "g.txt.gz": [gzip.compress(GLOVE, mtime=0)],
        "g.zip": [archive.getvalue()],
        "g.bin": [WORD2VEC],
    }
    return [
        Target(f"word vectors, {name}", name, contents, partial(read, name))
        for name, contents in seeds.items()
    ]


def _settings() -> Target:
    from featurize.lfbe import LfbeConfig
    from featurize.vgg import VggConfig
    from model.config import ModelConfig, TrainConfig
    from pipelines.decode import DecodeSettings
    from pipelines.extract import StoreSettings, TextSettings, VideoSettings
    from pipelines.settings import PrepareSettings, SelectSettings, Settings

    sections: dict[str, Any] = {
        "prepare": PrepareSettings, "decode": DecodeSettings, "select": SelectSettings,
        "audio": LfbeConfig, "video": VideoSettings, "text": TextSettings, "store": StoreSettings,
        "model": ModelConfig, "pretrain": TrainConfig, "finetune": TrainConfig,
    }  # fmt: skip

    def read(folder: Path) -> Any:
        settings = Settings("paper", folder / "own.toml")
        found = {name: settings.section(name, cls) for name, cls in sections.items()}
        chosen = vars(found["video"])
        VggConfig(**{k: v for k, v in chosen.items() if k not in ("fps", "faces", "face_scale")})
        return found

    folder = Path(__file__).parents[2] / "pipelines" / "presets"
    seeds = [path.read_bytes() for path in sorted(folder.glob("*.toml"))]
    # A value of the wrong kind is told by its section and key.
    return Target("settings, TOML", "own.toml", seeds, read, names_file=False)


def _boxes() -> Target:
    from featurize.faces import BoxList

    seeds = [
        b"Identity  : \tid00012\nReference : \t2DLq_Kkc1r8\n\nFRAME \tX \tY \tW \tH \n"
        b"000000 \t0.392 \t0.122 \t0.301 \t0.531\n000001 \t0.392 \t0.122 \t0.301 \t0.531\n"
    ]
    read = _on("00001.txt", BoxList)
    return Target("face boxes", "00001.txt", seeds, read, names_file=False)  # told by the utterance


def _on(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name)


TEXT: tuple[Mutate, ...] = (bytes_gone_wrong, lines_gone_wrong)
