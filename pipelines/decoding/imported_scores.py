"""Likelihoods and ids that come beside a transcript: Kaldi's logs, and the file utt2id."""

from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from featurize.errors import TextError
from pipelines.decoding.imported_index import digest, position
from pipelines.decoding.kaldi_logs import DEFINITIONS, scores

_Columns = tuple["array[int]", "array[float]", "array[int]"]


class Likelihoods:
    """Log-likelihood a frame and number of frames of each utterance that the logs tell of.

    Where they tell in several forms, the one that tells of most utterances counts: scores of two
    definitions do not compare.

    Raises:
        TextError: an utterance has two that differ.
    """

    def __init__(self, logs: Iterable[Path]) -> None:
        found: dict[str, _Columns] = {
            form: (array("Q"), array("d"), array("Q")) for form in DEFINITIONS
        }
        for path in logs:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    for form, key, value, n_frames in scores(line):
                        digests, values, frames = found[form]
                        digests.append(digest(key.encode()))
                        values.append(value)
                        frames.append(n_frames)
        form = max(found, key=lambda name: len(found[name][0]))
        digests, values, frames = found[form]
        self.definition = DEFINITIONS[form] if digests else None
        order = np.argsort(np.array(digests, np.uint64), kind="stable")
        self._digests = np.array(digests, np.uint64)[order]
        self._values = np.array(values, np.float64)[order]
        self._n_frames = np.array(frames, np.uint64)[order]
        self._refuse_contradictions()

    def find(self, wanted: int) -> tuple[float, int] | None:
        """(log-likelihood a frame, frames) of the id with that digest."""
        at = position(self._digests, wanted)
        return None if at is None else (float(self._values[at]), int(self._n_frames[at]))

    def _refuse_contradictions(self) -> None:
        same = self._digests[1:] == self._digests[:-1]
        n = int(np.count_nonzero(same & (self._values[1:] != self._values[:-1])))
        if n:
            raise TextError(
                f"the logs give {n} utterances two different likelihoods; remove the logs of the "
                "earlier decoding"
            )


class Ids:
    """The ids of the transcripts for those of the manifest, from a file utt2id.

    Raises:
        TextError: a line is not ``kaldi-id our-id``, or one of our ids occurs twice.
    """

    def __init__(self, path: Path | None) -> None:
        self._theirs: np.ndarray | None = None
        if path is None:
            return
        ours, theirs = array("Q"), array("Q")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                pair = line.split(None, 1)
                if len(pair) != 2:
                    raise TextError(f"{path}, line {number}: is not `kaldi-id our-id`")
                theirs.append(digest(pair[0]))
                ours.append(digest(pair[1].rstrip()))
        order = np.argsort(np.array(ours, np.uint64), kind="stable")
        self._ours = np.array(ours, np.uint64)[order]
        self._theirs = np.array(theirs, np.uint64)[order]
        if np.any(self._ours[1:] == self._ours[:-1]):
            raise TextError(
                f"{path}: gives one of our ids twice; make it with `trimodal export kaldi`"
            )

    def digest_of(self, utterance_id: str) -> int:
        """Digest of the id by which the transcripts know ours."""
        ours = digest(utterance_id.encode())
        if self._theirs is None:
            return ours
        at = position(self._ours, ours)
        return ours if at is None else int(self._theirs[at])
