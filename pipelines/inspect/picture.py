"""One utterance as a picture: LFBE, the norms of its frames' vectors, and its words, over time."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import atomic_path
from pipelines.inspect.utterance import LABELS, Seen, blocks
from pipelines.inspect.words import draw_words, word_spans

if TYPE_CHECKING:
    import numpy as np

WIDTH_IN, DPI = 12.0, 150
HEIGHTS_IN = {"audio": 3.2, "video": 1.7, "words": 1.5}
TITLE_IN = 0.9
MOST_COLUMNS = 1600  # of the LFBE image, and points of the norms: about the picture's width
MOST_MARKERS = 200
INK, BLUE = "#1f2328", "#0b6e99"


def picture(seen: Seen, path: Path) -> None:
    """Draws what there is of the utterance into a PNG, which appears when it is complete.

    An hour costs no more than a minute: frames are averaged to the picture's width.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    end_s = known_end_s(seen)
    spans, caption = word_spans(seen, end_s)
    panels = [name for name in ("audio", "video") if len(_features(seen, name))]
    panels += ["words"] if spans else []
    heights = [HEIGHTS_IN[name] for name in panels] or [1.0]
    size = (WIDTH_IN, TITLE_IN + sum(heights))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    title = _title(seen)  # an id may hold a $
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, parse_math=False)
    timed = []
    grid = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for name, axes in zip(panels, grid, strict=False):
        if name == "words":
            draw_words(axes, spans, caption, end_s or max(span.end for span in spans))
            is_timed = end_s is not None
        else:
            is_timed = {"audio": _draw_lfbe, "video": _draw_norms}[name](axes, seen)
        timed += [axes] if is_timed else []
    if not panels:
        grid[0].set_axis_off()
    if end_s is not None:
        _share_time(timed, end_s)
    elif spans:
        grid[-1].set_xticks([])
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks
        figure.savefig(temporary, format="png")


def column_means(rows: "np.ndarray", n_columns: int = MOST_COLUMNS) -> "np.ndarray":
    """(T, D) -> float32 (at most ``n_columns``, D): means of stretches of nearly equal length."""
    import numpy as np

    n_columns = min(len(rows), n_columns)
    edges = np.linspace(0, len(rows), n_columns + 1).astype(np.int64)
    means = np.empty((n_columns, *rows.shape[1:]), np.float32)
    for i, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        means[i] = rows[start:stop].mean(axis=0, dtype=np.float32)
    return means


def norms(vectors: "np.ndarray") -> "np.ndarray":
    """(F, D) -> float32 (F,): the L2 norm of each vector."""
    import numpy as np

    parts = [np.linalg.norm(block.astype(np.float32), axis=1) for block in blocks(vectors)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def frame_start_s(config: dict[str, Any]) -> float:
    """Where the stretch that stands for the first LFBE frame begins: around its window's middle."""
    if config.get("snip_edges", True) and "window_s" in config:
        return (config["window_s"] - config["hop_s"]) / 2
    return 0.0


def _draw_lfbe(axes: Any, seen: Seen) -> bool:
    """Whether its axis is in seconds: that of features from elsewhere may be in frames."""
    import numpy as np

    frames, config = _features(seen, "audio"), seen.config["audio"]
    hop_s = config.get("hop_s")
    image = column_means(frames)
    start_s = frame_start_s(config) if hop_s else 0.0
    end = start_s + len(frames) * hop_s if hop_s else len(frames)
    low, high = np.percentile(image, (0.5, 99.5))
    drawn = axes.imshow(
        image.T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma",
        vmin=low, vmax=max(high, low + 1e-6), extent=(start_s, end, -0.5, frames.shape[1] - 0.5),
    )  # fmt: skip
    what, values, unit = _audio_words(config)
    axes.set_ylabel(values.removesuffix("s"))
    axes.figure.colorbar(drawn, ax=axes, label=unit, pad=0.01, aspect=18, extend="both")
    every = f", every {hop_s * 1000:g} ms" if hop_s else ", hop unknown"
    averaged = f"; a column is the mean of about {len(frames) / len(image):.0f}"
    _caption(
        axes,
        f"{what}: {len(frames):,} frames of {frames.shape[1]} {values}{every}"
        + (averaged if len(image) < len(frames) else ""),
    )
    if not hop_s:
        axes.set_xlabel("frame")
    return bool(hop_s)


def _audio_words(config: dict[str, Any]) -> tuple[str, str, str]:
    """What the audio features are called, their dimensions and their unit; others may be any."""
    if "n_bins" not in config:
        return "Audio", "dimensions", "value, as imported"
    power = "power" if config["use_power"] else "magnitude"
    return "LFBE", "mel bins", f"log {power} (natural log)"


def _draw_norms(axes: Any, seen: Seen) -> bool:
    import numpy as np

    vectors = _features(seen, "video")
    found = norms(vectors)
    times = seen.arrays["video"].get("times_s")
    is_timed = times is not None and bool(np.isfinite(times).all())
    x = times if is_timed and times is not None else np.arange(len(found))
    shown_x, shown = column_means(np.asarray(x)), column_means(found)
    marker = "o" if len(shown) <= MOST_MARKERS else ""
    axes.plot(shown_x, shown, color=BLUE, linewidth=1.2, marker=marker, markersize=4)
    axes.set_ylabel("L2 norm")
    axes.set_ylim(0, 1.15 * max(float(found.max()), 1e-6))
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    what = "time stamps unknown" if not is_timed else "at their time stamps"
    counted = "1 vector" if len(found) == 1 else f"{len(found):,} vectors"
    _caption(axes, f"Video: {counted} of {vectors.shape[1]:,} values, {what}")
    if not is_timed:
        axes.set_xlabel("frame")
    axes.spines[["top", "right"]].set_visible(False)
    return is_timed


def _caption(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=9, color=INK, parse_math=False)


def _share_time(timed: list[Any], end_s: float) -> None:
    """The same stretch of time on each of these axes, numbered below the last."""
    for axes in timed:
        axes.set_xlim(0, end_s or 1.0)
        axes.tick_params(labelbottom=axes is timed[-1])
    timed[-1].set_xlabel("seconds")


def known_end_s(seen: Seen) -> float | None:
    """Where the last of what has a time ends, in seconds; None when nothing has one."""
    import numpy as np

    ends = []
    hop_s = seen.config.get("audio", {}).get("hop_s")
    if hop_s and len(_features(seen, "audio")):
        config = seen.config["audio"]
        ends.append(frame_start_s(config) + len(_features(seen, "audio")) * hop_s)
    for modality in ("video", "text"):
        times = seen.arrays.get(modality, {}).get("times_s")
        if times is not None and len(times) and np.isfinite(times).all():
            ends.append(float(times.max()))
    return max(ends) if ends else None


def _features(seen: Seen, modality: str) -> "np.ndarray":
    import numpy as np

    return seen.arrays.get(modality, {}).get("features", np.zeros((0, 1), np.float32))


def _title(seen: Seen) -> str:
    parts = [seen.id if len(seen.id) <= 90 else f"{seen.id[:89]}…"]
    about = [f"speaker {seen.speaker}"] if seen.speaker else []
    about += [f"fold {seen.fold}"] if seen.fold else []
    if seen.labels is not None:
        told = zip(LABELS, seen.labels, strict=True)
        about.append(", ".join(f"{name} {label:.2g}" for name, label in told if label))
    if seen.missing:
        about.append(f"not there: {', '.join(seen.missing)}")
    return "\n".join([*parts, *(["  |  ".join(a for a in about if a)] if about else [])])
