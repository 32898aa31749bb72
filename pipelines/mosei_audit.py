"""CMU-MOSEI's segments per fold, beside the published counts and the reasons they differ."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.manifest import Utterance
from pipelines.mosei_labels import FOLDS, SCORES, LabelRow

# Labelled segments in the standard folds, as most papers count them.
PUBLISHED_SEGMENTS = {"train": 16_327, "dev": 1_871, "test": 4_662}


def audit_folds(
    utterances: Sequence[Utterance],
    dropped: Mapping[tuple[str | None, str], int],
    rows_of_video: Mapping[str, Sequence[LabelRow]],
    fold_of_video: Mapping[str, str],
) -> dict:
    """Counts by fold, "none" being the videos that no fold names.

    A fold's "segments" and "dropped" (by reason) add up to its "labelled" rows; "prevalence" is
    the share of its segments in which an emotion's score is above 0, None without segments.
    """
    labelled: Counter[str | None] = Counter()
    for video, rows in rows_of_video.items():
        labelled[fold_of_video.get(video)] += len(rows)
    without = Counter(fold for video, fold in fold_of_video.items() if video not in rows_of_video)
    return {
        "labelled_videos_in_no_fold": len(rows_of_video.keys() - fold_of_video.keys()),
        "fold_videos_without_labels": {fold: without[fold] for fold in FOLDS},
        "folds": {
            fold or "none": {
                "segments": sum(utterance.fold == fold for utterance in utterances),
                "published": PUBLISHED_SEGMENTS.get(fold or ""),
                "labelled": labelled[fold],
                "dropped": {reason: n for (of, reason), n in dropped.items() if of == fold},
                "prevalence": _prevalence([u.labels for u in utterances if u.fold == fold]),
            }
            for fold in (*FOLDS, None)
        },
    }


def _prevalence(labels: Sequence[tuple[float, ...] | None]) -> dict[str, float | None]:
    known = [scores for scores in labels if scores is not None]
    return {
        emotion: sum(scores[column] > 0 for scores in known) / len(known) if known else None
        for column, emotion in enumerate(SCORES[1:], start=1)
    }
