"""CMU-MOSEI's segments per fold, beside the published counts and the reasons they differ."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.manifest import Utterance
from pipelines.mosei_folds import FOLDS
from pipelines.mosei_labels import SCORES, LabelRow

# Labelled segments in the standard folds, as most papers count them.
PUBLISHED_SEGMENTS = {"train": 16_327, "dev": 1_871, "test": 4_662}
EMOTIONS = SCORES[1:]


def audit_folds(
    utterances: Sequence[Utterance],
    dropped: Mapping[tuple[str | None, str], int],
    rows_of_video: Mapping[str, Sequence[LabelRow]],
    fold_of_video: Mapping[str, str],
) -> dict[str, Any]:
    """Counts by fold, "none" being the videos that no fold names.

    A fold's "segments" and "dropped" (by reason) add up to its "labelled" rows; "prevalence" is
    the share of its segments in which an emotion's score is above 0, None without segments.
    """
    labelled: Counter[str | None] = Counter()
    for video, rows in rows_of_video.items():
        labelled[fold_of_video.get(video)] += len(rows)
    without = Counter(fold for video, fold in fold_of_video.items() if video not in rows_of_video)
    found: dict[str | None, list[Utterance]] = {fold: [] for fold in (*FOLDS, None)}
    for utterance in utterances:
        found[utterance.fold].append(utterance)
    return {
        "labelled_videos_in_no_fold": len(rows_of_video.keys() - fold_of_video.keys()),
        "fold_videos_without_labels": {fold: without[fold] for fold in FOLDS},
        "folds": {
            fold or "none": {
                "segments": len(found[fold]),
                "published": PUBLISHED_SEGMENTS.get(fold or ""),
                "labelled": labelled[fold],
                "dropped": {reason: n for (of, reason), n in dropped.items() if of == fold},
                "hours": hours(found[fold]),
                "prevalence": _prevalence([u.labels for u in found[fold]]),
            }
            for fold in found
        },
    }


def hours(utterances: Sequence[Utterance]) -> float:
    """Length of the segments in their recordings, in hours."""
    return (
        sum(
            u.recording_end_s - u.recording_start_s
            for u in utterances
            if u.recording_start_s is not None and u.recording_end_s is not None
        )
        / 3600
    )


def fold_lines(folds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """``audit_folds(...)["folds"]`` for the screen: a table, and why counts are not those
    published."""
    heads = ("fold", "segments", "published", "difference", "hours", *EMOTIONS)
    rows = [heads, *(_cells(name, fold) for name, fold in folds.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [
        "  " + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]  # fmt: skip
    why = [f"  {name}: {reason}" for name, fold in folds.items() for reason in _reasons(fold)]
    return [*lines, "  (emotions: per cent of the segments with a score above 0)", *why]


def _cells(name: str, fold: Mapping[str, Any]) -> tuple[str, ...]:
    published = fold["published"]
    shares = fold["prevalence"].values()
    return (
        name,
        f"{fold['segments']:,}",
        "-" if published is None else f"{published:,}",
        "-" if published is None else f"{fold['segments'] - published:+,}",
        f"{fold['hours']:.2f}",
        *("-" if share is None else f"{100 * share:.1f}" for share in shares),
    )


def _reasons(fold: Mapping[str, Any]) -> Iterator[str]:
    """They add up to the difference from the published count."""
    for reason, n in sorted(fold["dropped"].items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{n:,} dropped: {reason}"
    if fold["published"] is not None and fold["labelled"] != fold["published"]:
        more = fold["labelled"] - fold["published"]
        yield f"{abs(more):,} labels {'more' if more > 0 else 'fewer'} than published in this fold"
    if fold["published"] is None and fold["segments"]:
        yield "of videos that no fold names; not used for training or scores"


def _prevalence(labels: Sequence[tuple[float, ...] | None]) -> dict[str, float | None]:
    known = [scores for scores in labels if scores is not None]
    return {
        emotion: sum(scores[column] > 0 for scores in known) / len(known) if known else None
        for column, emotion in enumerate(EMOTIONS, start=1)
    }
