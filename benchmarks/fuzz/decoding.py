"""Fuzzed readers around decoding: transcripts made elsewhere, and model directories."""

import os
from pathlib import Path
from typing import Any

from benchmarks.fuzz.corpora import json_lines_mutation
from benchmarks.fuzz.mutations import bytes_gone_wrong, lines_gone_wrong
from benchmarks.fuzz.target import Target

IDS = ("a", "b", "c")


def decoding_targets() -> list[Target]:
    return [*_imported(), *_model()]


def _imported() -> list[Target]:
    from pipelines.decoding.import_engine import ImportEngine
    from pipelines.manifest import Utterance

    utterances = [Utterance(name, "s", None, None) for name in IDS]

    def read(folder: Path) -> Any:
        engine = ImportEngine(str(folder / "decoded"))
        config = engine.config()
        found = list(engine.decode(utterances, folder))
        return config, engine.notes(IDS), found

    def beside(**files: bytes) -> Any:
        def prepare(folder: Path) -> None:
            (folder / "decoded").mkdir()
            for name, content in files.items():
                (folder / "decoded" / name).write_bytes(content)

        return prepare

    text = b"a hello world\nb x\nc \n"
    ctm = b"a 1 0.0 0.3 hello 0.9\na 1 0.3 0.2 world\nb 1 0 1 x 1.0\n"
    lines = (
        b'{"id": "a", "words": [["hello", 0.0, 0.3, 0.9]], "n_frames": 30,'
        b' "scores": {"log_likelihood_per_frame": 1.5}}\n'
        b'{"id": "b", "segments": [{"words": [{"word": " Hi,", "start": 0, "end": 1,'
        b' "probability": 0.5}]}], "text": "Hi"}\n{"id": "c", "text": "x y"}\n'
    )
    log = (
        b"LOG (nnet3-latgen-faster:DecodeUtteranceLatticeFaster():decoder-wrappers.cc:375) "
        b"Log-like per frame for utterance a is 1.75 over 60 frames.\n"
        b"LOG (lattice-best-path[5.5]:main():lattice-best-path.cc:99) For utterance b, best cost "
        b"20.5 + -300.25 = -279.75 over 60 frames.\n"
    )
    return [
        Target("Kaldi's text, imported", "decoded/text", [text], read, names_file=False),
        Target("CTM, imported", "decoded/a.ctm", [ctm], read, names_file=False),
        Target(
            "JSON Lines, imported", "decoded/a.jsonl", [lines], read, names_file=False,
            mutations=(bytes_gone_wrong, lines_gone_wrong, json_lines_mutation),
        ),
        Target("Kaldi's logs", "decoded/a.log", [log], read, beside(text=text), names_file=False),
        Target(
            "utt2id, imported", "decoded/utt2id", [b"a a\nx b\n"], read, beside(text=text),
            names_file=False,
        ),
    ]  # fmt: skip


def _model() -> list[Target]:
    from pipelines.decoding.acoustic_model import DEMO_FOLDER, check_model_dir
    from pipelines.decoding.word_symbols import word_symbols

    def prepare(folder: Path) -> None:
        for path in DEMO_FOLDER.rglob("*"):
            if path.is_file():
                link = folder / "tdnn" / path.relative_to(DEMO_FOLDER)
                link.parent.mkdir(parents=True, exist_ok=True)
                os.symlink(path, link)

    def read(folder: Path) -> Any:
        info = check_model_dir(folder / "tdnn")
        return info, info.decoder_options, info.n_decoded_frames(16000)

    def read_words(folder: Path) -> Any:
        word_symbols.cache_clear()
        return word_symbols(folder / "words.txt")

    def own(name: str) -> Target:
        """The file itself, not what its link leads to, is written to."""

        def prepared(folder: Path) -> None:
            prepare(folder)
            (folder / "tdnn" / name).unlink()

        seed = (DEMO_FOLDER / name).read_bytes()
        return Target(f"model's {Path(name).name}", f"tdnn/{name}", [seed], read, prepared,
                      names_file=False)  # fmt: skip

    names = ["conf/model.conf", "conf/mfcc.conf", "am/final.mdl", "graph/HCLG.fst"]
    names += [str(p.relative_to(DEMO_FOLDER)) for p in DEMO_FOLDER.rglob("word_boundary.int")]
    words = b"<eps> 0\nhello 1\nworld 2\n#0 3\n"
    return [*map(own, names), Target("words.txt", "words.txt", [words], read_words)]
