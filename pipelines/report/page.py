"""The report's page: one file of HTML, its style and pictures inside."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from featurize.plain_json import parse_json
from pipelines import __version__
from pipelines.report.drawing import Picture
from pipelines.report.figures import all_curves, scores
from pipelines.report.frames import frames
from pipelines.report.runs import Run
from pipelines.report.tables import EMOTIONS, Table, interval_text, percent
from pipelines.report.text import Source, flat, is_toy
from pipelines.report.worst import WorstSegment

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("torch", "torchvision", "torchaudio", "numpy", "h5py", "av", "gensim", "vosk")

Status = Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """What the page shows besides runs and tables.

    ``worst`` is the name of a run with its most wrong segments; ``said`` are the caveats.
    """

    differences: Sequence[Any] = ()  # as ``pipelines.compare`` has them
    over_thresholds: Sequence[Picture] = ()  # ROC, precision-recall
    dev_thresholds: Sequence[Picture] = ()
    spread: Picture | None = None
    maps: Sequence[Picture] = ()
    worst: tuple[str, Sequence[WorstSegment]] = ("", ())
    statuses: Sequence[Status] = ()
    sources: Sequence[Source] = ()
    said: Sequence[str] = ()


def render(runs: Sequence[Run], made: Sequence[Table], found: Findings) -> str:
    """The page as text. Everything from outside is escaped; pictures are our own markup."""
    import jinja2
    from markupsafe import Markup

    works = works_of(runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval_text, "svg": Markup}
    curves = all_curves(runs)
    return environment.get_template("report.html.j2").render(
        version=__version__,
        runs=runs,
        tables=made,
        emotions=EMOTIONS,
        evaluated=[run for run in runs if run.evaluation and run.task == "emotion"],
        found=found,
        is_toy=is_toy(found.sources, found.statuses),
        curves=curves,
        sections=_sections(runs, made, found, bool(curves)),
        histograms=[picture for picture in map(_histogram, works) if picture],
        frames=[(work, pictures) for work in works if (pictures := frames(work))],
        settings=[(run, dict(flat(_settings(run)))) for run in runs],
        packages=_packages(),
    )


def _sections(
    runs: Sequence[Run], made: Sequence[Table], found: Findings, has_curves: bool
) -> list[tuple[str, str]]:
    """Anchor and title of each part that the page has, for the list at its top."""
    parts = {
        **{f"table-{table.number}": (table.heading, True) for table in made},
        "thresholds": ("Thresholds", bool(found.dev_thresholds)),
        "spread": ("Run to run", found.spread is not None),
        "runs": ("Every run", any(run.evaluation and run.task == "emotion" for run in runs)),
        "map": ("Map", bool(found.maps)),
        "worst": ("Most wrong", bool(found.worst[1])),
        "training": ("Training", has_curves),
        "provenance": ("Provenance", True),
    }
    return [(anchor, title) for anchor, (title, is_there) in parts.items() if is_there]


def works_of(runs: Sequence[Run]) -> list[Path]:
    """The workspaces that the runs were made from, each once."""
    return list(dict.fromkeys(run.work for run in runs))


def _histogram(work: Path) -> Picture | None:
    try:
        chosen = parse_json((work / "select" / "select.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return scores(chosen) if isinstance(chosen, dict) else None


def _settings(run: Run) -> dict[str, Any]:
    """A run's settings, without the long lists of names."""
    return {k: v for k, v in run.config.items() if k not in ("speakers", "alphabet", "emotions")}


def _packages() -> dict[str, str]:
    versions = {"Python": platform.python_version(), "trimodal": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
