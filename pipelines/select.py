"""The select stage: keep the utterances that the English model explains well.

Nothing is decoded again: another threshold is another run of ``select``.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurize.atomic import write_text
from featurize.errors import ShardError, UsageError
from pipelines.known_languages import precision_recall, read_languages
from pipelines.likelihood_figure import histogram, histogram_figure
from pipelines.manifest import Table, deciding, fingerprint, read_table, write_table
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class _Decoded:
    """All decoded utterances in shard order: (id, score, n_words), and each one's shard."""

    rows: list[tuple[str, float, int]]
    shard_of: dict[str, int]
    config: dict[str, Any]
    fingerprints: list[str]


@dataclass(frozen=True)
class Selection:
    """Ids kept and dropped, in the order given, and the least score that is kept."""

    threshold: float
    kept: list[str]
    dropped: list[str]


def choose(
    rows: Iterable[tuple[str, float, int]],
    *,
    threshold: float | None = None,
    keep_fraction: float | None = None,
) -> Selection:
    """Splits rows (id, score, n_words) into kept and dropped.

    Utterances without a word are dropped first. Of the others those are kept whose score is at
    least ``threshold``; or the best ``keep_fraction`` of them, rounded to the nearest number, equal
    scores in order of their ids; or, with neither, those above Otsu's threshold.

    Raises:
        UsageError: both or an impossible setting is given, or nothing would be kept.
    """
    rows = list(rows)
    spoken = {utterance_id: score for utterance_id, score, n_words in rows if n_words > 0}
    _check(threshold, keep_fraction, spoken)
    if keep_fraction is not None:
        best = sorted(spoken, key=lambda utterance_id: (-spoken[utterance_id], utterance_id))
        kept = set(best[: math.floor(keep_fraction * len(best) + 0.5)])
    else:
        threshold = otsu_threshold(spoken.values()) if threshold is None else threshold
        kept = {utterance_id for utterance_id, score in spoken.items() if score >= threshold}
    if not kept:
        raise UsageError(
            f"nothing would be kept: {len(spoken)} utterances have words, their scores go from "
            f"{min(spoken.values()):.3f} to {max(spoken.values()):.3f}; choose a lower --threshold "
            "or a larger --keep-fraction"
        )
    return Selection(
        threshold=min(spoken[i] for i in kept) if threshold is None else threshold,
        kept=[utterance_id for utterance_id, _, _ in rows if utterance_id in kept],
        dropped=[utterance_id for utterance_id, _, _ in rows if utterance_id not in kept],
    )


def otsu_threshold(scores: Iterable[float]) -> float:
    """The cut that separates scores into two groups with the most variance between their means.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979, on the scores
    themselves in place of a histogram's bins; halfway between the two scores that it parts. It
    expects two groups of similar size. When all scores are equal, that score.
    """
    import numpy as np

    ordered = np.sort(np.fromiter(scores, dtype=np.float64))
    n = len(ordered)
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    n_below = np.arange(1, n)
    sum_below = np.cumsum(ordered - ordered.mean())[:-1]  # the total is 0: stable differences
    between = sum_below**2 / (n_below * (n - n_below))
    between[ordered[:-1] == ordered[1:]] = -1.0  # equal scores are not parted
    cut = int(np.argmax(between))
    low, high = ordered[cut], ordered[cut + 1]
    middle = (low + high) / 2
    return float(middle if middle > low else high)


def select(
    work: Path,
    *,
    threshold: float | None = None,
    keep_fraction: float | None = None,
    languages: Path | None = None,
) -> list[str]:
    """Reads all of WORK/decode, writes WORK/select; returns lines for the screen.

    Raises:
        UsageError: decoding is not complete; or see ``choose`` and ``read_languages``.
    """
    workspace = Workspace(work)
    if workspace.is_transcribed:
        raise UsageError(f"{work}: this corpus has transcripts; nothing to select")
    decoded = _read_decoded(workspace)
    selection = choose(decoded.rows, threshold=threshold, keep_fraction=keep_fraction)
    known = None if languages is None else _known(languages, decoded)
    rule = _rule(threshold, keep_fraction)
    summary = _summary(selection, decoded, known, rule)
    folder = workspace.selected_path.parent
    spoken = {utterance_id: score for utterance_id, score, n_words in decoded.rows if n_words}
    asked = {"rule": rule, "threshold": threshold, "keep_fraction": keep_fraction}
    _write_selected(workspace, selection, decoded, asked)
    histogram_figure(folder / "histogram.png", spoken, selection.threshold, known)
    write_text(folder / "select.json", json.dumps(summary, indent=2) + "\n")
    return _lines(summary, folder)


def _check(
    threshold: float | None, keep_fraction: float | None, spoken: Mapping[str, float]
) -> None:
    if threshold is not None and keep_fraction is not None:
        raise UsageError("give --threshold or --keep-fraction, not both")
    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold {threshold} is no finite number")
    if keep_fraction is not None and not 0 < keep_fraction <= 1:
        raise UsageError(f"--keep-fraction {keep_fraction} must be above 0 and at most 1")
    if not spoken:
        raise UsageError("no utterance has a word; was the right model used to decode?")


def _read_decoded(workspace: Workspace) -> _Decoded:
    rows, shard_of, tables, missing = [], {}, [], []
    for number in range(workspace.n_shards):
        try:
            table = read_table(workspace.decode_path(number))
        except ShardError:
            missing.append(number)
            continue
        _check_belongs(workspace, number, table)
        for row in table.rows:
            rows.append((row["id"], row["scores"]["log_likelihood_per_frame"], len(row["words"])))
            shard_of[row["id"]] = number
        tables.append((table.config, table.fingerprint))
    if missing:
        raise UsageError(
            f"{len(missing)} of {workspace.n_shards} shards are not decoded (the first is "
            f"{missing[0]}); run `trimodal decode {workspace.root}` first"
        )
    if any(deciding(config) != deciding(tables[0][0]) for config, _ in tables):
        raise UsageError(
            f"{workspace.root / 'decode'}: shards decoded with different models, whose scores "
            "cannot be compared; run `trimodal decode` again with --redo"
        )
    return _Decoded(rows, shard_of, tables[0][0], [found for _, found in tables])


def _check_belongs(workspace: Workspace, number: int, table: Table) -> None:
    found = {row["id"] for row in table.rows} | {reject.id for reject in table.rejects}
    if found != {utterance.id for utterance in workspace.shard(number)}:
        raise UsageError(
            f"{workspace.decode_path(number)} belongs to another manifest; run `trimodal decode "
            f"{workspace.root}` again with --redo"
        )


def _known(path: Path, decoded: _Decoded) -> dict[str, str]:
    """Known languages of decoded utterances."""
    found = {i: name for i, name in read_languages(path).items() if i in decoded.shard_of}
    if not found:
        raise UsageError(f"{path}: names none of the decoded utterances; are its ids like theirs?")
    return found


def _rule(threshold: float | None, keep_fraction: float | None) -> str:
    if threshold is not None:
        return "threshold"
    return "otsu" if keep_fraction is None else "keep_fraction"


def _summary(
    selection: Selection, decoded: _Decoded, known: Mapping[str, str] | None, rule: str
) -> dict[str, Any]:
    spoken = [score for _, score, n_words in decoded.rows if n_words]
    bin_edges, counts = histogram(spoken)
    precision, recall = precision_recall(selection.kept, known or {})
    return {
        "threshold": selection.threshold,
        "rule": rule,
        "score": "log_likelihood_per_frame",
        "definition": decoded.config["likelihood"],
        "n_kept": len(selection.kept),
        "n_dropped": len(selection.dropped),
        "n_without_words": len(decoded.rows) - len(spoken),
        "scores": {"bin_edges": bin_edges, "counts": counts},
        "precision": precision,
        "recall": recall,
        "languages": None if known is None else _language_counts(selection, known),
    }


def _language_counts(selection: Selection, known: Mapping[str, str]) -> dict[str, dict[str, int]]:
    kept = Counter(known[i] for i in selection.kept if i in known)
    dropped = Counter(known[i] for i in selection.dropped if i in known)
    return {name: {"kept": kept[name], "dropped": dropped[name]} for name in sorted(kept | dropped)}


def _write_selected(
    workspace: Workspace, selection: Selection, decoded: _Decoded, settings: dict[str, Any]
) -> None:
    scores = {utterance_id: score for utterance_id, score, _ in decoded.rows}
    rows = [
        {"id": i, "shard": decoded.shard_of[i], "log_likelihood_per_frame": scores[i]}
        for i in selection.kept
    ]
    config = {
        **settings,
        "manifest": workspace.manifest.fingerprint,
        "decoding": decoded.config,
    }
    made = fingerprint("select", config, decoded.fingerprints)
    write_table(workspace.selected_path, Table("select", config, made, rows))


def _lines(summary: Mapping[str, Any], folder: Path) -> list[str]:
    n_total = summary["n_kept"] + summary["n_dropped"]
    how = {"otsu": "Otsu's threshold", "threshold": "as asked", "keep_fraction": "the share asked"}
    lines = [
        f"select: kept {summary['n_kept']} of {n_total} utterances "
        f"({summary['n_kept'] / n_total:.1%}), those from {summary['threshold']:.3f} a frame on "
        f"({how[summary['rule']]}); {summary['n_without_words']} without a word"
    ]
    if summary["languages"] is not None:
        precision, recall = (_percent(summary[name]) for name in ("precision", "recall"))
        lines.append(f"  of known language: precision {precision}, recall {recall} for English")
    return [*lines, f"  look at {folder / 'histogram.png'} before you trust it"]


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{share:.1%}"
