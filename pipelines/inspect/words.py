"""The words of an utterance on a time line."""

from dataclasses import dataclass
from typing import Any

from pipelines.inspect.utterance import Seen

N_LANES = 4
MOST_EDGED = 300
CHARACTERS_ACROSS = 165  # of the font used, over the width of the axes
FILL, INK = "#cfe3ee", "#1f2328"


@dataclass(frozen=True)
class Span:
    """A word from ``start`` to ``end``; an empty ``word`` is one whose text is not known."""

    word: str
    start: float
    end: float


def word_spans(seen: Seen, end_s: float | None) -> tuple[list[Span], str]:
    """The words with start and end in seconds, and how they were come by.

    Without times they are spread evenly up to ``end_s``, the end of what has a time; without that
    a word counts as a second.
    """
    import numpy as np

    times = seen.arrays.get("text", {}).get("times_s")
    n_words = len(seen.words) if times is None else len(times)
    is_timed = times is not None and len(times) > 0 and bool(np.isfinite(times).all())
    words = seen.words if len(seen.words) == n_words else [""] * n_words
    if is_timed and times is not None:
        bounds = times.astype(float).tolist()
    else:
        step = (end_s or float(n_words)) / max(n_words, 1)
        bounds = [(i * step, (i + 1) * step) for i in range(n_words)]
    counted = "1 word" if n_words == 1 else f"{n_words:,} words"
    caption = f"Words: {counted}"
    if not is_timed:
        caption += "; word times unknown: spread evenly"
    if n_words and not any(words):
        caption += "; the words themselves are not known"
    return [Span(word, *bound) for word, bound in zip(words, bounds, strict=True)], caption


def lanes(spans: list[Span], end: float) -> list[tuple[int, bool]]:
    """(lane, whether its text has room) of each word; texts in a lane do not overlap."""
    per_character = end / CHARACTERS_ACROSS
    taken = [0.0] * N_LANES
    found = []
    for span in spans:
        width = (len(span.word) + 1) * per_character
        free = [lane for lane in range(N_LANES) if taken[lane] <= span.start + 1e-9]
        has_room = bool(free) and bool(span.word) and span.start + width <= end
        lane = free[0] if free else min(range(N_LANES), key=lambda k: taken[k])
        taken[lane] = max(taken[lane], span.end, span.start + width if has_room else 0.0)
        found.append((lane, has_room))
    return found


def draw_words(axes: Any, spans: list[Span], caption: str, end: float) -> None:
    """Draws a bar a word on an axis from 0 to ``end``, and its text where there is room."""
    placed = lanes(spans, end)
    edge = 0.6 if len(spans) <= MOST_EDGED else 0.0  # else edges would be all that is seen
    for lane in range(N_LANES):
        bars = [
            (s.start, s.end - s.start) for s, (k, _) in zip(spans, placed, strict=True) if k == lane
        ]
        axes.broken_barh(
            bars, (-lane - 0.8, 0.7), facecolor=FILL, edgecolor="white", linewidth=edge
        )
    n_shown = 0
    for span, (lane, has_room) in zip(spans, placed, strict=True):
        if has_room:
            axes.text(
                span.start, -lane - 0.45, f" {span.word}", fontsize=8, color=INK, va="center",
                clip_on=True, parse_math=False,
            )  # fmt: skip
            n_shown += 1
    if n_shown < len(spans) and any(span.word for span in spans):
        caption += f"; {n_shown:,} of them named, where there is room"
    n_used = 1 + max(lane for lane, _ in placed)
    axes.set_ylim(-n_used - 0.1, 0.1)
    axes.set_yticks([])
    axes.set_title(caption, loc="left", fontsize=9, color=INK)
    axes.set_xlim(0, end)
    axes.spines[["top", "right", "left"]].set_visible(False)
