"""Does pretraining learn? Characters of unseen speakers, speakers of unseen utterances, ablations.

    python -m benchmarks.learning [FOLDER] [--jobs N]

Makes a corpus as the demo does, but 15 times as large (100 speakers, 30 utterances each, a bit
more than a quarter not in English), and runs the stages on it in FOLDER [build/learning]; what is
done is not done again. A tenth of the speakers is held out whole: the character error rate is
theirs. Speaker accuracy is that of the utterances of dev, which were not trained on, of speakers
that were. FOLDER/report/index.html has the curves.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.timing import Report
from model import checkpoint
from model.build import MultitaskModel, load_model
from model.config import TrainConfig
from model.data import Batch, Loader, pretraining_sets
from model.store import FeatureStore
from model.tasks import MultitaskTask
from pipelines.demo.corpora import DemoSize, make_voxceleb2

SIZE = DemoSize(n_speakers=100, utterances_per_speaker=30)
UNSEEN_SHARE = 0.1
SETTINGS = Path(__file__).with_suffix(".toml")
MOST_CER, LEAST_ACCURACY = 0.2, 0.9
ABLATIONS = {"without audio": 0, "without video": 1, "without text": 2}


def learning(folder: Path, jobs: int) -> Report:
    """Everything, from the corpus to the scores of the best epoch."""
    from pipelines.cli import main

    corpus = folder / "corpora" / "voxceleb2"
    make_voxceleb2(corpus, SIZE, 0, lambda done, n: None, n_processes=jobs)
    for words in commands(folder, jobs):
        main.main(words, prog_name="trimodal", standalone_mode=False)
    return scores(folder / "voxceleb2" / "features", folder / "run", UNSEEN_SHARE)


def commands(folder: Path, jobs: int) -> list[list[str]]:
    """The command lines, without the leading ``trimodal``."""
    corpus, work, run = folder / "corpora" / "voxceleb2", str(folder / "voxceleb2"), folder / "run"
    preset = ["--preset", "demo", "--config", str(SETTINGS)]
    stage = [*preset, "--jobs", str(jobs)]
    unseen = ["--unseen-speakers", str(UNSEEN_SHARE)]
    return [
        ["prepare", "voxceleb2", str(corpus), work, *preset],
        ["decode", work, *stage],
        ["select", work, "--languages", str(corpus / "languages.csv"), *preset],
        ["extract", work, "all", *stage],
        ["pretrain", work, str(run), *unseen, *preset],
        ["report", str(folder / "report"), str(run)],
    ]


def scores(features: Path, run: Path, unseen_share: float) -> Report:
    """What the best weights of a run reach, with all their inputs and without each."""
    settings = checkpoint.read_json(run / checkpoint.CONFIG)
    train = TrainConfig.from_dict(settings["train"])
    model = load_model(run)
    assert isinstance(model, MultitaskModel)
    store = FeatureStore(
        features,
        n_stacked_frames=settings["model"]["n_stacked_frames"],
        cmvn=settings["model"].get("cmvn", "none"),
    )
    _, dev, unseen, names = pretraining_sets(store, train.dev_fraction, unseen_share)
    numbers = {speaker: number for number, speaker in enumerate(settings["speakers"])}
    loaders = [Loader(store, rows, train.frames_per_batch, numbers) for rows in (dev, unseen)]
    rows = [("all inputs", *_reached(model, train, loaders))]
    given = model.modality_weights
    for what, place in ABLATIONS.items():
        weights = [0.0 if i == place else weight for i, weight in enumerate(given)]
        model.modality_weights = (weights[0], weights[1], weights[2])
        rows.append((f"{what} (weight 0)", *_reached(model, train, loaders)))
    model.modality_weights = given
    silent = [Silent(**vars(loader)) for loader in loaders]
    rows.append(("audio features zero", *_reached(model, train, silent)))
    return _report(rows, f"{len(names)} unseen speakers, {len(unseen)} utterances; dev {len(dev)}")


@dataclass
class Silent(Loader):
    """The batches of a loader with every audio feature zero."""

    def in_order(self) -> Iterator[Batch]:
        for batch in super().in_order():
            yield replace(batch, audio=torch.zeros_like(batch.audio))


def _reached(
    model: MultitaskModel, train: TrainConfig, loaders: Sequence[Loader]
) -> tuple[float, float, float, float]:
    """Character error rates of the second loader, greedy and by beam search; speaker accuracy and
    loss of the first."""
    found = MultitaskTask(train, loaders[0], loaders[1]).evaluate(model, torch.device("cpu"))
    cer, beam, accuracy, loss = (
        found[f"dev_{name}"] or 0.0 for name in ("cer", "cer_beam", "speaker_accuracy", "loss")
    )
    return cer, beam, accuracy, loss


def _report(rows: list[tuple[str, float, float, float, float]], title: str) -> Report:
    report = Report()
    columns = ("inputs", "CER, unseen speakers", "by beam", "speaker accuracy, dev", "dev loss")
    texts = [
        (what, f"{cer:.1%}", f"{beam:.1%}", f"{accuracy:.1%}", f"{loss:.3f}")
        for what, cer, beam, accuracy, loss in rows
    ]
    report.table(title, columns, texts)
    _, cer, _, accuracy, _ = rows[0]
    verdicts = [
        (f"character error rate <= {MOST_CER:.0%}", cer <= MOST_CER),
        (f"speaker accuracy >= {LEAST_ACCURACY:.0%}", accuracy >= LEAST_ACCURACY),
        ("zero audio is worse", rows[-1][1] > cer),
    ]
    told = [(what, "reached" if is_so else "MISSED") for what, is_so in verdicts]
    report.table("Targets", ("target", ""), told)
    report.ratios.update(learning_cer=round(cer, 4), learning_speaker_accuracy=round(accuracy, 4))
    return report


if __name__ == "__main__":
    from benchmarks.timing import Options

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/learning"))
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    learning(chosen.folder, chosen.jobs).show(Options())
