"""A corpus whose answer is known: does the whole path find it?

In the demo's MOSEI-like corpus the words tell emotions best, then the face, then the voice
(``pipelines/demo/emotion_traces.py``). So, with the full protocol,

- without some modality, the scores should come in the order A < A+V < A+T < A+V+T;
- pretraining should beat a start from scratch when only 10% of the labels are there.

    python -m benchmarks.known_answer FOLDER [--size small|full] [--n-seeds 10] [--jobs 2]

makes both corpora and every run in FOLDER with the commands a user types, then FOLDER/answer.md.
What is done is not done again, so that it can be killed and typed anew.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from joblib import cpu_count

from benchmarks.known_answer_tables import answer, read_run
from featurize.atomic import write_text
from pipelines.cli import main
from pipelines.demo.corpora import DemoSize, make_mosei, make_voxceleb2

SIZES = {
    "small": DemoSize(60, 8, 200, 6),
    "full": DemoSize(n_speakers=200, utterances_per_speaker=15, n_mosei_videos=400),
}
SETTINGS = ["--preset", "demo", "--config", str(Path(__file__).with_suffix(".toml"))]
FEW = 0.1  # of the labels of train
FEW_EPOCHS = 60  # each has a tenth of the steps
MODELS = ("scratch", "embeddings")


def shared_commands(folder: Path) -> list[list[str]]:
    """The command lines that all runs build on, in order, without the leading ``trimodal``."""
    corpora, vox, mosei = folder / "corpora", str(folder / "voxceleb2"), str(folder / "mosei")
    return [
        ["prepare", "voxceleb2", str(corpora / "voxceleb2"), vox, *SETTINGS],
        ["prepare", "mosei", str(corpora / "mosei"), mosei, *SETTINGS],
        ["decode", vox, *SETTINGS],
        ["select", vox, "--languages", str(corpora / "voxceleb2" / "languages.csv"), *SETTINGS],
        ["extract", vox, "all", *SETTINGS],
        ["extract", mosei, "all", *SETTINGS],
        ["pretrain", vox, str(folder / "runs" / "pretrained"), *SETTINGS],
    ]


def run_commands(folder: Path, name: str, options: Sequence[str]) -> list[list[str]]:
    """The two command lines of one run: fine-tune it, evaluate it."""
    mosei, run = str(folder / "mosei"), str(folder / "runs" / name)
    from_pretrained = ["--init", str(folder / "runs" / "pretrained")]
    init = from_pretrained if name.startswith("embeddings") else []
    return [["finetune", mosei, run, *init, *options, *SETTINGS], ["evaluate", mosei, run]]


def runs(n_seeds: int) -> dict[str, list[str]]:
    """Run -> its options. With few labels each run has others: chance is in the choice as well."""
    few = ["--train-fraction", str(FEW), "--max-epochs", str(FEW_EPOCHS), "--n-seeds", "1"]
    options = {model: ["--n-seeds", str(n_seeds)] for model in MODELS}
    return options | {
        f"{model}-few-{k}": [*few, "--fraction-seed", str(k)]
        for k in range(n_seeds)
        for model in MODELS
    }


def known_answer(folder: Path, size: DemoSize, n_seeds: int, jobs: int) -> str:
    """Runs everything that is not done yet; the answer as Markdown.

    Raises SystemExit where a command fails, after those beside it.
    """
    for name, make in (("voxceleb2", make_voxceleb2), ("mosei", make_mosei)):
        make(folder / "corpora" / name, size, 0, lambda *_: None)
    for words in shared_commands(folder):
        print(f"\n$ trimodal {shlex.join(words)}", flush=True)
        main.main(words, prog_name="trimodal", standalone_mode=False)
    options = runs(n_seeds)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda run: _make_run(folder, *run), options.items()))
    return answer({name: read_run(folder / "runs" / name) for name in options})


def _make_run(folder: Path, name: str, options: Sequence[str]) -> None:
    """By one thread each, as networks so small gain nothing from more; its screen is kept."""
    screen = folder / "screens" / f"{name}.txt"
    screen.parent.mkdir(parents=True, exist_ok=True)
    with screen.open("w") as output:
        for words in run_commands(folder, name, options):
            command = [sys.executable, "-m", "pipelines.cli", *words]
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            if subprocess.run(command, env=env, stdout=output, stderr=output).returncode:
                sys.exit(f"trimodal {shlex.join(words)}: failed; see {screen}")
    print(f"{name}: fine-tuned and evaluated", flush=True)


def run(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--n-seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="runs side by side")
    options = parser.parse_args(arguments)
    started_s = time.monotonic()
    text = known_answer(options.folder, SIZES[options.size], options.n_seeds, options.jobs)
    write_text(options.folder / "answer.md", text)
    print(f"{text}\nThis took {time.monotonic() - started_s:.0f} s.")


if __name__ == "__main__":
    run()
