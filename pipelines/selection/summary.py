"""What the screen tells of a selection."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HOW = {
    "otsu": "Otsu's threshold",
    "threshold": "as asked",
    "keep_fraction": "the share asked",
    "calibrate": "calibrated",
}


def summary_lines(summary: Mapping[str, Any], folder: Path) -> list[str]:
    """What is told of ``select.json``."""
    n_total = summary["n_kept"] + summary["n_dropped"]
    without = f"{summary['n_without_words']} without a word"
    if summary["n_without_score"]:
        without += f", {summary['n_without_score']} without this score"
    lines = [
        f"select: kept {summary['n_kept']} of {n_total} utterances "
        f"({summary['n_kept'] / n_total:.1%}), those whose {_plain(summary['score'])} is "
        f"{summary['threshold']:.3f} or more ({_HOW[summary['rule']]}); {without}"
    ]
    if summary["languages"] is not None:
        precision, recall = (_percent(summary[name]) for name in ("precision", "recall"))
        lines.append(f"  of known language: precision {precision}, recall {recall} for English")
    for name, found in summary["scores"].items():
        auc = "" if found["auc"] is None else f" (AUC {found['auc']:.3f})"
        lines.append(f"  {_plain(name)}{auc}: {found['definition']}")
    lines += _calibration_lines(summary["calibration"]) + _agreement_lines(summary["agreement"])
    return [*lines, f"  look at {folder / 'histogram.png'} and scores.png before you trust it"]


def _calibration_lines(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    low, high = found["auc_interval"]
    weights = ", ".join(
        f"{_plain(name)} {weight:+.2f}"
        for name, weight in zip(found["names"], found["weights"], strict=True)
    )
    return [
        f"  calibrated on {found['n_english']} English and {found['n_other']} other utterances, "
        f"five-fold: AUC {found['auc']:.3f} (95%: {low:.3f} to {high:.3f}); at the threshold "
        f"precision {_percent(found['precision'])}, recall {_percent(found['recall'])}",
        f"  weights of the standardised scores: {weights}",
    ]


def _agreement_lines(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    jaccard, kappa = (
        "undefined" if found[name] is None else f"{found[name]:.3f}"
        for name in ("jaccard", "kappa")
    )
    return [
        f"  against the published list: {found['n_both']} kept by both, {found['n_only_ours']} "
        f"only here, {found['n_only_theirs']} only there, {found['n_neither']} by neither; Jaccard "
        f"{jaccard}, Cohen's kappa {kappa}; {found['n_foreign']} of its ids are not decoded here"
    ]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{share:.1%}"
