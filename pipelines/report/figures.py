"""The report's curves of training, and the histogram of decoding likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.drawing import INK, LINES, Picture, number, panel, svg
from pipelines.report.runs import PRETRAINING, Run


@dataclass(frozen=True)
class Panel:
    """One plot of an epoch's figures; ``keys`` are names in the log, ``legend`` their titles."""

    title: str
    keys: tuple[str, ...]
    legend: tuple[str, ...] = ()


PANELS = {
    "emotion": (
        Panel("loss", ("train_loss", "dev_loss"), ("train", "dev")),
        Panel("weighted accuracy, dev", ("dev_wa",)),
        Panel("weighted F1, dev", ("dev_f1",)),
    ),
    "sentiment": (
        Panel("loss", ("train_loss", "dev_loss"), ("train", "dev")),
        Panel("correlation, dev", ("dev_correlation",)),
    ),
}


def _pretraining_panels(run: Run) -> tuple[Panel, ...]:
    """The character error rate is of whole speakers that were held out, where some were."""
    whose = "unseen speakers" if run.config.get("unseen_speakers") else "dev"
    return (
        Panel("loss", ("train_loss", "dev_loss"), ("train", "dev")),
        Panel(f"character error rate, {whose}", ("dev_cer", "dev_cer_beam"), ("greedy", "beam")),
        Panel("speaker accuracy, dev", ("dev_speaker_accuracy",)),
    )


def curves(run: Run) -> Picture | None:
    """What the run's log tells, by epoch: one line a seed. None without a finished epoch."""
    logs = [lines for lines in run.logs.values() if lines]
    if not logs:
        return None
    panels = _pretraining_panels(run) if run.role == PRETRAINING else PANELS[run.task]
    drawn = tuple(_curve(one, logs, f"{run.path} {one.title}") for one in panels)
    n_seeds = f", {len(logs)} random initialisations" if len(logs) > 1 else ""
    of_task = ", for sentiment" if run.task == "sentiment" else ""
    return Picture(f"{run.name}: {run.role}{of_task}{n_seeds}", panels=drawn)


def _curve(one: Panel, logs: Sequence[Sequence[dict[str, Any]]], salt: str) -> str:
    from matplotlib.ticker import MaxNLocator

    figure, ax = panel(one.title, "epoch")
    for k, key in enumerate(one.keys):
        for n_drawn, lines in enumerate(logs):
            # Named once, not once a seed.
            label = one.legend[k] if one.legend and not n_drawn else None
            epochs = [line.get("epoch", 0) for line in lines]
            values = [number(line.get(key)) for line in lines]
            ax.plot(epochs, values, color=LINES[k], label=label, lw=1.4, alpha=0.85)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if one.legend:
        ax.legend(frameon=False, labelcolor=INK, fontsize=8)
    return svg(figure, salt)


def scores(selected: dict[str, Any]) -> Picture | None:
    """Histograms of the scores, kept and dropped, with the cut, from WORK/select/select.json."""
    found = selected.get("scores")
    panels = []
    for name, one in found.items() if isinstance(found, dict) else ():
        is_cut = name == selected.get("score")
        drawn = _histogram(name, one, number(selected.get("threshold")) if is_cut else math.nan)
        panels += [drawn] if drawn else []
    return Picture(_caption(selected), panels=tuple(panels)) if panels else None


def _histogram(name: str, one: Any, threshold: float) -> Any | None:
    edges, kept, dropped = ((one or {}).get(key) or [] for key in ("bin_edges", "kept", "dropped"))
    if not kept or not len(edges) == len(kept) + 1 == len(dropped) + 1:
        return None
    title = "utterances" if math.isnan(threshold) else f"utterances; kept from {threshold:.3f} on"
    if (auc := number(one.get("auc"))) and not math.isnan(auc):
        title += f"; AUC {auc:.3f}"
    figure, ax = panel(title, name.replace("_", " "), (6.4, 2.6))
    total = [a + b for a, b in zip(kept, dropped, strict=True)]
    ax.stairs(dropped, edges, fill=True, color=LINES[1], alpha=0.6, label="dropped")
    ax.stairs(total, edges, baseline=dropped, fill=True, color=LINES[0], alpha=0.6, label="kept")
    ax.legend(frameon=False, labelcolor=INK, fontsize=8)
    if not math.isnan(threshold):
        ax.axvline(threshold, color=INK, lw=1.2, ls="--")
    return svg(figure, f"score {name}")


def _caption(selected: dict[str, Any]) -> str:
    text = f"{selected.get('n_kept', '?')} utterances kept, {selected.get('n_dropped', '?')} not"
    if selected.get("n_without_words"):
        text += f" ({selected['n_without_words']} of them without words)"
    known = [(name, selected.get(name)) for name in ("precision", "recall")]
    told = [f"{name} {100 * value:.1f}%" for name, value in known if value is not None]
    if told:
        text += f"; against the known languages: {', '.join(told)}"
    definition = str(selected.get("definition") or "").rstrip(".")
    name = str(selected.get("score") or "score").replace("_", " ")
    return f"{text}. Selected by {name}: {definition}." if definition else text


def all_curves(runs: Sequence[Run]) -> list[Picture]:
    """The curves of every run that has some."""
    return [picture for picture in map(curves, runs) if picture]
