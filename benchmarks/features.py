"""Feature extraction: for each modality our stage, its limit, a plain loop and a named peer.

    python -m benchmarks.features [--quick] [--json]

A ratio says how many times faster ours is; 1 against the bare work is the limit. Each modality's
file has a function ``rows`` that returns dicts of modality, what, value, unit, against, ratio,
target, reached and memory_mb (peak of a fresh process that did ours alone).
"""

import importlib.util
import re
from typing import Any

from benchmarks.timing import Options, Report, run

MODALITIES = ("audio", "text", "video")


def features(options: Options) -> Report:
    """One table over the modalities."""
    found = [row for modality in MODALITIES for row in _rows(modality, options.quick)]
    report = Report()
    columns = ("what", "ours", "MiB", "against", "ratio", "target")
    report.table("Features", columns, [_cells(row) for row in found])
    report.ratios.update({_key(row): round(row["ratio"], 4) for row in found})
    return report


def _rows(modality: str, quick: bool) -> list[dict[str, Any]]:
    name = f"benchmarks.features_{modality}"
    if importlib.util.find_spec(name) is None:
        return []
    return importlib.import_module(name).rows(quick)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    target, memory_mb = row["target"], row["memory_mb"]
    verdict = "reached" if row["reached"] else "MISSED"
    return (
        f"{row['modality']}: {row['what']}",
        f"{row['value']:,.4g} {row['unit']}",
        "" if memory_mb is None else f"{memory_mb:,.0f}",
        row["against"],
        f"{row['ratio']:.3g}",
        "" if target is None else f">= {target:g}: {verdict}",
    )


def _key(row: dict[str, Any]) -> str:
    """ "audio stage over bare": what stands before the first comma or colon of each."""
    ours, theirs = (re.split(r"[,:]", row[name])[0] for name in ("what", "against"))
    return f"{row['modality']} {ours} over {theirs}".replace(" ", "_")


if __name__ == "__main__":
    run(features)
