"""The report's words: what its figures mean and do not mean, and how features were made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurize.errors import ShardError
from pipelines.report.runs import PRETRAINING, Run

PAPER_N_RUNS = 10
MODALITIES = ("audio", "video", "text", "targets")


@dataclass(frozen=True)
class Source:
    """What the features of one workspace were made with, by part: settings and tools."""

    work: Path
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def vgg_weights(self) -> str:
        return str(self.parts.get("video", {}).get("weights", ""))


def read_source(work: Path) -> Source:
    """From the decode table and the first shard of each modality that can be read."""
    from featurize.shards import ShardIndex
    from pipelines.manifest import read_header

    parts: dict[str, dict[str, Any]] = {}
    for path in sorted((work / "decode").glob("shard-*.jsonl"))[:1]:
        try:
            parts["decode"] = dict(flat(read_header(path).config))
        except ShardError:
            continue
    for modality in MODALITIES:
        for path in sorted((work / "features").glob(f"shard-*.{modality}.h5"))[:1]:
            try:
                shard = ShardIndex(path)
                parts[modality] = dict(flat({**shard.tools, **shard.config}))
            except ShardError:
                continue
    return Source(work, parts)


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} -> ("a.b", 1); lists become text."""
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{name}.")
        else:
            yield name, ", ".join(map(str, inner)) if isinstance(inner, list) else inner


def caveats(
    runs: Sequence[Run], sources: Sequence[Source], statuses: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Plain statements of what the figures do and do not mean, the gravest first."""
    found = [*_about_missing(runs), *_about_corpora(statuses), *_about_features(sources)]
    found += _about_runs(runs)
    found.append(
        "The bootstrap draws test segments as if they were independent. Segments of one video "
        "resemble each other, so the true intervals are wider than those shown."
    )
    return found


def is_toy(sources: Sequence[Source], statuses: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the figures say nothing about real video: demo corpora or random weights."""
    has_random = any(source.vgg_weights.startswith("random:") for source in sources)
    return has_random or any(status.get("is_demo") for status in statuses)


def _about_missing(runs: Sequence[Run]) -> Iterator[str]:
    gone = sorted({str(run.work) for run in runs if not (run.work / "manifest.jsonl").is_file()})
    if gone:
        yield (
            f"Not there any more: {', '.join(gone)}. This page cannot say what the corpora and "
            "features of those runs were, be they real, synthesised or random."
        )


def _about_corpora(statuses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if any(status.get("is_demo") for status in statuses):
        yield (
            "The corpora are the demo's: synthesised speech and drawn faces. The emotions were put "
            "into words, voice and face on purpose, words strongest and voice weakest. The tables "
            "show that information flows through the pipeline as it should; they say nothing about "
            "real people, and are not to be compared with the paper's rows, which stand there to "
            "show the form."
        )
    else:
        yield (
            "The paper's rows were obtained on VoxCeleb2 and CMU-MOSEI (16,327 / 1,871 / 4,662 "
            "segments). Rows of yours compare with them only on the same corpora, folds and "
            "features; the provenance below says what yours are."
        )


def _about_features(sources: Sequence[Source]) -> Iterator[str]:
    random = sorted({s.vgg_weights for s in sources if s.vgg_weights.startswith("random:")})
    if random:
        yield (
            f"The VGG-16 weights are random ({', '.join(random)}), so that nothing has to be "
            "downloaded. The video features are random projections of the frames; A+V against A "
            "says nothing about the worth of VGG-16."
        )


def _about_runs(runs: Sequence[Run]) -> Iterator[str]:
    evaluated = [run for run in runs if run.evaluation]
    if not evaluated:
        yield "None of the runs has been evaluated yet: run `trimodal evaluate` for the tables."
        return
    least = min(run.n_runs for run in evaluated)
    if least < PAPER_N_RUNS:
        yield (
            f"The best of {least} random initialisation{'s' * (least > 1)} is shown where the "
            f"paper has the best of {PAPER_N_RUNS}."
        )
    n_segments = {
        figures["n"]
        for run in evaluated
        for figures in (run.scores["test"]["A+V+T"].get("per_emotion") or {}).values()
        if "n" in figures
    }
    if n_segments:
        yield (
            f"Test holds {' or '.join(map(str, sorted(n_segments)))} segments. A difference "
            "between two rows that is small beside their intervals is noise; the paired comparison "
            "below Table 2 tells more than the two intervals."
        )
    few = sorted(run.told for run in evaluated if run.is_on_few_labels)
    if few:
        yield f"Trained on a share of the labelled segments only: {'; '.join(few)}."
    if not any(run.role == PRETRAINING for run in runs):
        yield "No pretraining run was given, so its curves are not shown."
