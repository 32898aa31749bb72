"""A plan: the sample's costs, those of the whole corpus, and what could not be measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.plan.forecast import Whole, whole
from pipelines.plan.sample import Cost, choose, measure, read_rate, refuse_empty
from pipelines.plan.training import measure_pretraining
from pipelines.progress import progress_bar

if TYPE_CHECKING:
    from model.config import ModelConfig, TrainConfig
    from pipelines.decode import DecodeSettings
    from pipelines.extract import ExtractSettings
    from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Planned:
    """What was measured and what follows for the corpus; ``read_bytes_s`` of one reader here."""

    n_utterances: int
    n_shards: int
    costs: list[Cost]
    stages: list[Whole]
    read_bytes_s: float | None
    notes: list[str]


def planned(
    workspace: Workspace,
    folder: Path,
    n_sample: int,
    decode: DecodeSettings | None,
    extract: ExtractSettings,
    model: ModelConfig,
    train: TrainConfig,
) -> Planned:
    """Measures ``n_sample`` utterances in ``folder`` and scales up; see ``sample.measure``.

    Of a corpus that has been selected from, the utterances that were kept go on from audio on;
    here all are taken to.
    """
    corpus = workspace.utterances
    chosen = choose(corpus, n_sample)
    costs: list[Cost] = []
    with progress_bar("plan", None, "stages") as advance:
        for cost in measure(workspace, chosen, folder, decode, extract):
            costs.append(cost)
            advance(1)
        refuse_empty(costs)
        if {"audio", "targets"} <= {cost.stage for cost in costs}:
            device = "cuda" if extract.device != "cpu" else "cpu"
            costs.append(measure_pretraining(folder / "features", model, train, device))
            advance(1)
    ids = {utterance.id for utterance in chosen}  # their files are in the page cache now
    others = [utterance for utterance in corpus if utterance.id not in ids] or chosen
    return Planned(
        n_utterances=len(corpus),
        n_shards=workspace.n_shards,
        costs=costs,
        stages=whole(costs, chosen, corpus, workspace.n_shards),
        read_bytes_s=read_rate(workspace.corpus_root, choose(others, 200)),
        notes=_notes(workspace, costs, extract),
    )


def _notes(workspace: Workspace, costs: list[Cost], extract: ExtractSettings) -> list[str]:
    made = {cost.stage for cost in costs}
    notes = []
    if "decode" not in made and not workspace.is_transcribed:
        notes.append("without --model neither decoding nor what needs its words is planned")
    if "text" not in made and extract.text.glove is None:
        notes.append("without --glove text is not planned")
    if extract.device == "cpu":
        notes.append("no GPU here: video is planned for cores; run plan where the GPUs are")
    return notes
