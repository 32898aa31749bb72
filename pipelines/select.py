"""The select stage: keep the utterances whose scores say English.

Nothing is decoded again: another score or threshold is another run of ``select``.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurize.atomic import remove_stale, write_text
from featurize.errors import UsageError
from pipelines.decoding.scores import OF_WORDS, PER_FRAME, PER_SPEECH_FRAME
from pipelines.manifest import Table, fingerprint, read_header, write_table
from pipelines.selection import published
from pipelines.selection.calibration import Calibration, calibrate, roc_auc
from pipelines.selection.decoded_scores import DecodedScores, read_scores
from pipelines.selection.histograms import all_scores_figure, both_counts, histogram_figure
from pipelines.selection.known_languages import is_english, precision_recall, read_languages
from pipelines.selection.rules import Selection, choose
from pipelines.selection.summary import summary_lines
from pipelines.workspace import Workspace

PROBABILITY = "probability_of_english"  # a calibration's


@dataclass(frozen=True)
class Wish:
    """What to keep: see ``trimodal select --help``.

    Raises UsageError for settings that contradict each other.
    """

    score: str | None = None
    threshold: float | None = None
    keep_fraction: float | None = None
    calibrate: Path | None = None
    precision: float | None = None

    def __post_init__(self) -> None:
        if self.calibrate is not None and self.score is not None:
            raise UsageError("--calibrate weighs all scores; leave out --score")
        if self.calibrate is not None and self.threshold is not None:
            raise UsageError("--calibrate chooses the threshold; leave out --threshold")
        if self.calibrate is not None and self.keep_fraction is not None:
            raise UsageError("--calibrate chooses the share; leave out --keep-fraction")
        if self.calibrate is None and self.precision is not None:
            raise UsageError("--precision needs a labelled list: --calibrate CSV")

    @property
    def rule(self) -> str:
        for name in ("calibrate", "threshold", "keep_fraction"):
            if getattr(self, name) is not None:
                return name
        return "otsu"


def select(
    work: Path,
    wish: Wish,
    *,
    languages: Path | None = None,
    compare: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Reads the scores of WORK/decode, writes WORK/select; returns lines for the screen.

    Args:
        languages: CSV of known languages, to tell how good the choice is.
        compare: published ids, one a line, to tell how far both agree.
        progress: is told of each shard that is read.

    Raises:
        UsageError: decoding is not complete, the score is not known, nothing would be kept; or see
            ``Wish`` and the readers of the lists.
    """
    workspace = Workspace(work)
    folder = workspace.selected_path.parent
    remove_stale(folder)
    decoded = read_scores(workspace, folder / "scores.cache", progress)
    known = None if languages is None else _known(languages, decoded)
    name, scores, calibration, threshold = _scores(wish, decoded)
    rows = list(zip(decoded.ids, scores.tolist(), _n_words(decoded, scores), strict=True))
    selection = choose(rows, threshold=threshold, keep_fraction=wish.keep_fraction)
    agreement = None
    if compare is not None:
        found = published.read_published(compare)
        agreement = published.compare(selection.kept, decoded.ids, found)
    kept = set(selection.kept)
    is_kept = np.array([i in kept for i in decoded.ids])
    summary = _summary(wish, name, scores, selection, is_kept, decoded, known)
    summary["calibration"] = None if calibration is None else _calibration(calibration)
    summary["agreement"] = None if agreement is None else published.as_dict(agreement)
    _write_selected(workspace, wish, name, scores, selection.threshold, is_kept, decoded)
    spoken = {i: score for i, score, n_words in rows if n_words}
    histogram_figure(folder / "histogram.png", spoken, selection.threshold, known, name=name)
    all_scores_figure(folder / "scores.png", summary["scores"])
    write_text(folder / "select.json", json.dumps(summary, indent=2) + "\n")
    return summary_lines(summary, folder)


def _known(path: Path, decoded: DecodedScores) -> dict[str, str]:
    """Known languages of decoded utterances."""
    ids = set(decoded.ids)
    found = {i: name for i, name in read_languages(path).items() if i in ids}
    if not found:
        raise UsageError(f"{path}: names none of the decoded utterances; are its ids like theirs?")
    return found


def _scores(
    wish: Wish, decoded: DecodedScores
) -> tuple[str, np.ndarray, Calibration | None, float | None]:
    """What is selected by: its name, (N,) scores, and the threshold if there is one already."""
    if wish.calibrate is None:
        name = wish.score or PER_FRAME
        return name, decoded.of(name), None, wish.threshold
    known = _known(wish.calibrate, decoded)
    labelled = np.array([i in known for i in decoded.ids]) & (decoded.n_words > 0)
    right = np.array([i in known and is_english(known[i]) for i in decoded.ids])
    found = calibrate(
        {name: scores[labelled] for name, scores in decoded.scores.items()}, right[labelled],
        wish.precision,
    )  # fmt: skip
    return PROBABILITY, found.probabilities(decoded.scores), found, found.threshold


def _n_words(decoded: DecodedScores, scores: np.ndarray) -> list[int]:
    """Words of each utterance; 0 where the score is not known, as such a one cannot be kept."""
    return np.where(np.isfinite(scores), decoded.n_words, 0).tolist()


def _summary(
    wish: Wish,
    name: str,
    scores: np.ndarray,
    selection: Selection,
    is_kept: np.ndarray,
    decoded: DecodedScores,
    known: Mapping[str, str] | None,
) -> dict[str, Any]:
    spoken = decoded.n_words > 0
    columns = {**({} if name in decoded.scores else {name: scores}), **decoded.scores}
    precision, recall = precision_recall(selection.kept, known or {})
    return {
        "threshold": selection.threshold,
        "rule": wish.rule,
        "score": name,
        "definition": _definition(name, decoded),
        "n_kept": len(selection.kept),
        "n_dropped": len(selection.dropped),
        "n_without_words": int((~spoken).sum()),
        "n_without_score": int((spoken & ~np.isfinite(scores)).sum()),
        "scores": {
            one: {
                "definition": _definition(one, decoded),
                "auc": _auc(values, decoded, known),
                **both_counts(np.where(spoken, values, np.nan), is_kept),
            }
            for one, values in columns.items()
            if np.isfinite(values[spoken]).any()
        },
        "precision": precision,
        "recall": recall,
        "languages": None if known is None else _language_counts(selection, known),
    }


def _definition(name: str, decoded: DecodedScores) -> str:
    if name == PROBABILITY:
        return "logistic regression over the other scores, fitted to the labelled list"
    of_all, _, of_speech = str(decoded.config.get("likelihood", "")).partition(
        "; per speech frame: "
    )
    return OF_WORDS.get(name) or (of_speech if name == PER_SPEECH_FRAME and of_speech else of_all)


def _auc(
    scores: np.ndarray, decoded: DecodedScores, known: Mapping[str, str] | None
) -> float | None:
    """English against all others, of utterances with words whose language is known."""
    if known is None:
        return None
    groups: dict[bool, list[float]] = {True: [], False: []}
    for i, score, n_words in zip(decoded.ids, scores.tolist(), decoded.n_words, strict=True):
        if i in known and n_words and np.isfinite(score):
            groups[is_english(known[i])].append(score)
    if not groups[True] or not groups[False]:
        return None
    return roc_auc(np.array(groups[True]), np.array(groups[False]))


def _language_counts(selection: Selection, known: Mapping[str, str]) -> dict[str, dict[str, int]]:
    kept = Counter(known[i] for i in selection.kept if i in known)
    dropped = Counter(known[i] for i in selection.dropped if i in known)
    return {name: {"kept": kept[name], "dropped": dropped[name]} for name in sorted(kept | dropped)}


def _calibration(found: Calibration) -> dict[str, Any]:
    numbers = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(found).items()}
    return {**numbers, "names": list(found.names), "auc_interval": list(found.auc_interval)}


def _write_selected(
    workspace: Workspace,
    wish: Wish,
    name: str,
    scores: np.ndarray,
    threshold: float,
    is_kept: np.ndarray,
    decoded: DecodedScores,
) -> None:
    rows = [
        {"id": decoded.ids[k], "shard": int(decoded.shards[k]), "score": float(scores[k])}
        for k in np.flatnonzero(is_kept).tolist()
    ]
    config = {
        "rule": wish.rule,
        "score": name,
        "threshold": threshold,
        "keep_fraction": wish.keep_fraction,
        "manifest": read_header(workspace.manifest_path).fingerprint,
        "decoding": decoded.config,
    }
    made = fingerprint("select", config, decoded.fingerprints)
    write_table(workspace.selected_path, Table("select", config, made, rows))
