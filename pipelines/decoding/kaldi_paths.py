"""The best path through a Kaldi lattice, in text: what each stretch of its frames costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arc:
    """Part of a best path: costs (negative log-likelihoods) over some of its frames, often one."""

    graph_cost: float
    acoustic_cost: float  # unscaled
    n_frames: int


def best_paths(path: Path) -> Iterator[tuple[str, list[Arc]]]:
    """Utterances and their best paths, from linear compact lattices in Kaldi's text form.

    That is a line with the utterance's name, a line ``from to word graph,acoustic,tid_tid...`` an
    arc (states are numbered along the path), ``state graph,acoustic,tids`` for the end, and an
    empty line. Weights that are zero are left out.
    """
    key = ""
    arcs: list[Arc] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        fields = line.split()
        if not fields:
            yield key, arcs
        elif len(fields) == 1 and "," not in line and not fields[0].isdigit():
            key, arcs = fields[0], []
        else:
            arcs.append(_arc(fields[-1]))


def _arc(weight: str) -> Arc:
    graph, _, rest = weight.partition(",")
    acoustic, comma, tids = rest.partition(",")
    if not comma:  # a number of a state or word: the weight is one, which costs nothing
        return Arc(0.0, 0.0, 0)
    return Arc(float(graph), float(acoustic), tids.count("_") + 1 if tids else 0)


def speech_likelihood(
    arcs: Sequence[Arc], is_speech: Sequence[bool], acoustic_scale: float, graph_scale: float
) -> float | None:
    """Log-likelihood a frame over the frames of speech alone; None when there is none.

    What an arc costs is shared evenly by its frames; an arc without frames (the entry into a word)
    counts as speech. Natural logarithm, with the scales of the whole utterance's.
    """
    total, n_speech, at = 0.0, 0, 0
    for arc in arcs:
        cost = graph_scale * arc.graph_cost + acoustic_scale * arc.acoustic_cost
        n_spoken = sum(is_speech[at : at + arc.n_frames])
        total += cost * (n_spoken / arc.n_frames if arc.n_frames else 1.0)
        n_speech += n_spoken
        at += arc.n_frames
    return -total / n_speech if n_speech else None
