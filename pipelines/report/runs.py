"""What the report knows of a run: read from its folder, trusted in nothing but its form."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurize.errors import UsageError
from pipelines.run_records import FINETUNED, SETTINGS, read_evaluation, read_log, read_record

PRETRAINING, LATE_FUSION = "multi-task pretraining", "late-fusion baseline"
BASELINE, EMBEDDINGS = "cross-modal transformer from scratch", "cross-modal transformer, pretrained"


@dataclass(frozen=True)
class Run:
    """A pretraining run, or the fine-tuned runs of one folder.

    ``logs`` are the epochs by seed; ``evaluation`` is None until ``trimodal evaluate`` was run.
    """

    path: Path
    role: str
    config: dict[str, Any]
    work: Path
    logs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    evaluation: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def task(self) -> str:
        """What it was trained for: "pretraining", "emotion" or "sentiment"."""
        own = (self.evaluation or self.config).get("task", "emotion")
        return "pretraining" if self.role == PRETRAINING else own

    @property
    def scores(self) -> dict[str, Any]:
        """The evaluation, empty until there is one."""
        return self.evaluation or {}

    @property
    def is_on_few_labels(self) -> bool:
        return (self.scores.get("train_fraction") or 1) < 1

    @property
    def told(self) -> str:
        """Its name, and the share of the labels if that is not all."""
        if not self.is_on_few_labels:
            return self.name
        return f"{self.name}, {100 * self.scores['train_fraction']:.3g}% of the labels"

    @property
    def n_runs(self) -> int:
        return len(self.evaluation["seeds"]) if self.evaluation else len(self.logs)


def read_run(path: Path) -> Run:
    """Reads a run folder. Raises UsageError when it is none, TrainError when it is damaged."""
    if (path / "run.json").is_file():
        return _read_finetuned(path)
    if (path / "config.json").is_file():
        config = read_record(path / "config.json", SETTINGS)
        logs = {0: list(read_log(path / "log.jsonl"))}
        return Run(path, PRETRAINING, config, _work_of(config), logs)
    raise UsageError(f"{path}: not a finished run; make it with `trimodal pretrain` or `finetune`")


def _read_finetuned(path: Path) -> Run:
    described = read_record(path / "run.json", FINETUNED)
    wanted = {seed: path / f"seed-{seed:02d}" for seed in described.get("seeds", [])}
    folders = {seed: folder for seed, folder in wanted.items() if folder.is_dir()}
    logs = {seed: list(read_log(folder / "log.jsonl")) for seed, folder in folders.items()}
    first = next(iter(folders.values()), None)
    config = {} if first is None else read_record(first / "config.json", SETTINGS)
    has_scores = (path / "evaluation.json").is_file()
    role = LATE_FUSION if described.get("kind") == "late-fusion" else BASELINE
    return Run(
        path=path,
        role=EMBEDDINGS if described.get("init") else role,
        config=config,
        work=Path(described["work"]) if "work" in described else _work_of(config),
        logs=logs,
        evaluation=read_evaluation(path / "evaluation.json") if has_scores else None,
    )


def _work_of(config: dict[str, Any]) -> Path:
    return Path(config.get("features", "unknown")).parent
