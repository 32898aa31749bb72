"""A corpus whose answer is known: does the whole path find it?

In the demo's MOSEI-like corpus the words tell emotions best, then the face, then the voice
(``pipelines/demo/emotion_traces.py``). So, with the full protocol,

- without some modality, the scores should come in the order A < A+V < A+T < A+V+T;
- pretraining should beat a start from scratch when only 10% of the labels are there.

    python -m benchmarks.known_answer FOLDER [--size small|full] [--n-seeds 10]

makes both corpora and every run in FOLDER with the commands a user types, then FOLDER/answer.md.
What is done is not done again, so that it can be killed and typed anew.
"""

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.known_answer_tables import answer, read_run
from featurize.atomic import write_text
from pipelines.demo.corpora import DemoSize, make_mosei, make_voxceleb2

SIZES = {
    "small": DemoSize(60, 8, 200, 6),
    "full": DemoSize(n_speakers=200, utterances_per_speaker=15, n_mosei_videos=400),
}
SETTINGS = ["--preset", "demo", "--config", str(Path(__file__).with_suffix(".toml"))]
FEW = 0.1  # of the labels of train
FEW_EPOCHS = 100  # each has a tenth of the steps
MODELS = ("scratch", "embeddings")


def commands(folder: Path, n_seeds: int) -> list[list[str]]:
    """The command lines up to the last evaluation, without the leading ``trimodal``."""
    corpora, vox, mosei = folder / "corpora", str(folder / "voxceleb2"), str(folder / "mosei")
    pretrained = str(folder / "runs" / "pretrained")
    lines = [
        ["prepare", "voxceleb2", str(corpora / "voxceleb2"), vox, *SETTINGS],
        ["prepare", "mosei", str(corpora / "mosei"), mosei, *SETTINGS],
        ["decode", vox, *SETTINGS],
        ["select", vox, "--languages", str(corpora / "voxceleb2" / "languages.csv"), *SETTINGS],
        ["extract", vox, "all", *SETTINGS],
        ["extract", mosei, "all", *SETTINGS],
        ["pretrain", vox, pretrained, *SETTINGS],
    ]
    for name, options in _finetuned(n_seeds).items():
        run = str(folder / "runs" / name)
        init = ["--init", pretrained] if name.startswith("embeddings") else []
        lines.append(["finetune", mosei, run, *init, *options, *SETTINGS])
        lines.append(["evaluate", mosei, run])
    return lines


def _finetuned(n_seeds: int) -> dict[str, list[str]]:
    """Run -> its options. With few labels each run has others: chance is in the choice as well."""
    few = {
        k: [
            "--train-fraction",
            str(FEW),
            "--fraction-seed",
            str(k),
            "--max-epochs",
            str(FEW_EPOCHS),
        ]
        for k in range(n_seeds)
    }
    options = {model: ["--n-seeds", str(n_seeds)] for model in MODELS}
    return options | {
        f"{model}-few-{k}": [*few[k], "--n-seeds", "1"] for k in few for model in MODELS
    }


def known_answer(folder: Path, size: DemoSize, n_seeds: int) -> str:
    """Runs everything that is not done yet; the answer as Markdown."""
    from pipelines.cli import main

    for name, make in (("voxceleb2", make_voxceleb2), ("mosei", make_mosei)):
        make(folder / "corpora" / name, size, 0, lambda *_: None)
    for words in commands(folder, n_seeds):
        print(f"\n$ trimodal {shlex.join(words)}", flush=True)
        main.main(words, prog_name="trimodal", standalone_mode=False)
    return answer({name: read_run(folder / "runs" / name) for name in _finetuned(n_seeds)})


def run(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--n-seeds", type=int, default=10)
    options = parser.parse_args(arguments)
    started_s = time.monotonic()
    text = known_answer(options.folder, SIZES[options.size], options.n_seeds)
    write_text(options.folder / "answer.md", text)
    print(f"{text}\nThis took {time.monotonic() - started_s:.0f} s.")


if __name__ == "__main__":
    run()
