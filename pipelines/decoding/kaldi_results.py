"""From the files that Kaldi's programs left in a scratch folder to what was heard."""

from collections import defaultdict
from collections.abc import Mapping
from math import nan
from pathlib import Path

from featurize.errors import ModelError
from pipelines.decoding.engine import Decoded, Word
from pipelines.decoding.kaldi_jobs import Ran
from pipelines.decoding.kaldi_logs import scores
from pipelines.decoding.vosk_decoder import NO_WORD
from pipelines.decoding.word_symbols import word_symbols

_CtmRow = tuple[float, float, str, float]  # start and length in s, word's number, posterior


def results(
    folder: Path, ran: list[Ran], words_of: Path, durations_s: Mapping[str, float]
) -> dict[str, Decoded]:
    """What was heard in each utterance of ``durations_s`` that got as far as a best path.

    Raises:
        ModelError: the words' numbers are not those of ``words_of``.
    """
    costs = next((step.log for step in ran if step.program == "lattice-best-path"), "")
    times, posteriors = _ctm(folder / "words.ctm"), _ctm(folder / "posteriors.ctm")
    symbols = word_symbols(words_of)
    found = {}
    for line in costs.splitlines():
        for _, key, likelihood, n_frames in scores(line):
            rows = _with_posteriors(times[key], posteriors[key])
            words = _words(rows, symbols, words_of, durations_s[key])
            found[key] = Decoded(words, n_frames, {"log_likelihood_per_frame": likelihood})
    return found


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
    rows: list[_CtmRow], symbols: Mapping[str, str], words_of: Path, duration_s: float
) -> list[Word]:
    words = []
    for start, length, number, posterior in rows:
        if number not in symbols:
            raise ModelError(
                f"{words_of}: has no word {number}; copy the graph and its words again"
            )
        if not NO_WORD.fullmatch(symbols[number]):
            begin_s, end_s = (round(min(t, duration_s), 4) for t in (start, start + length))
            words.append((symbols[number], begin_s, end_s, min(posterior, 1.0)))
    return words
