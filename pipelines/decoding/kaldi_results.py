"""From the files that Kaldi's programs left in a scratch folder to what was heard."""

from collections import defaultdict
from collections.abc import Mapping
from math import nan
from pathlib import Path

from featurize.errors import ModelError
from featurize.transcript import is_no_word
from pipelines.decoding.engine import Decoded, Word
from pipelines.decoding.kaldi_jobs import Ran
from pipelines.decoding.kaldi_logs import scores
from pipelines.decoding.kaldi_paths import Arc, best_paths, speech_likelihood
from pipelines.decoding.kaldi_steps import GRAPH_SCALE, KaldiModel
from pipelines.decoding.word_symbols import word_symbols

_CtmRow = tuple[float, float, str, float]  # start and length in s, word's number, posterior


def results(
    folder: Path, ran: list[Ran], model: KaldiModel, durations_s: Mapping[str, float]
) -> dict[str, Decoded]:
    """What was heard in each utterance of ``durations_s`` that got as far as a best path.

    Raises:
        ModelError: the words' numbers are not those of the model.
    """
    costs = next((step.log for step in ran if step.program == "lattice-best-path"), "")
    times, posteriors = _ctm(folder / "words.ctm"), _ctm(folder / "posteriors.ctm")
    paths = dict(best_paths(folder / "path.txt"))
    symbols = word_symbols(model.words)
    found = {}
    for line in costs.splitlines():
        for _, key, likelihood, n_frames in scores(line):
            rows = _with_posteriors(times[key], posteriors[key])
            measured = {"log_likelihood_per_frame": likelihood}
            speech = _speech_likelihood(times[key], paths.get(key, []), n_frames, model)
            if speech is not None:
                measured["log_likelihood_per_speech_frame"] = speech
            words = _words(rows, symbols, model.words, durations_s[key])
            found[key] = Decoded(words, n_frames, measured)
    return found


def _speech_likelihood(
    times: list[_CtmRow], path: list[Arc], n_frames: int, model: KaldiModel
) -> float | None:
    """Over the frames of words alone; None where it is not known which frames those are."""
    if not model.has_word_boundaries or sum(arc.n_frames for arc in path) != n_frames:
        return None
    is_speech = [False] * n_frames
    for start_s, length_s, _, _ in times:
        first, stop = (round(t / model.frame_s) for t in (start_s, start_s + length_s))
        is_speech[first:stop] = [True] * (min(stop, n_frames) - first)
    return speech_likelihood(path, is_speech, model.info.acoustic_scale, GRAPH_SCALE)


def _ctm(path: Path) -> dict[str, list[_CtmRow]]:
    rows: dict[str, list[_CtmRow]] = defaultdict(list)
    for line in path.read_text().splitlines() if path.is_file() else ():
        key, _, start, length, number, *posterior = line.split()
        known = float(posterior[0]) if posterior else nan
        rows[key].append((float(start), float(length), number, known))
    return rows


def _with_posteriors(times: list[_CtmRow], posteriors: list[_CtmRow]) -> list[_CtmRow]:
    """The timed words, each with the posterior of the same word in the other list.

    Both are of the same best path. The timed one may lack a last word that was cut off; it is empty
    where the words could not be aligned, and the other has but approximate times.
    """
    left = iter(posteriors)
    rows = []
    for start, length, number, unknown in times:
        same = next((other for other in left if other[2] == number), None)
        rows.append((start, length, number, same[3] if same else unknown))
    return rows or posteriors


def _words(
    rows: list[_CtmRow], symbols: Mapping[str, str], words_file: Path, duration_s: float
) -> list[Word]:
    words = []
    for start, length, number, posterior in rows:
        if number not in symbols:
            raise ModelError(
                f"{words_file}: has no word {number}; copy the graph and its words again"
            )
        if not is_no_word(symbols[number]):
            begin_s, end_s = (round(min(t, duration_s), 4) for t in (start, start + length))
            words.append((symbols[number], begin_s, end_s, min(posterior, 1.0)))
    return words
