"""Kaldi's online nnet3 lattice decoder, as packed in ``vosk``.

One pass gives words, times, confidences and likelihood. libvosk returns the best path's likelihood
only in its list of alternatives, and word posteriors only without that list; so the list is asked
for, and the posteriors are taken from it. What is said of libvosk here was read in
``src/recognizer.cc`` of vosk-api 0.3.45.
"""

import ctypes
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import MediaError, ModelError
from featurize.transcript import is_no_word
from pipelines.decoding.acoustic_model import check_model_dir
from pipelines.decoding.engine import Decoded

if TYPE_CHECKING:
    import numpy as np
    import vosk

LIKELIHOOD_DEFINITION = (
    "(model's acoustic scale x log p(sound | best path) - 0.9 x graph cost) / decoded frames; "
    "natural logarithm, silence included"
)
SHORTEST_S = 0.1
# Against posteriors from the whole lattice, words of demo speech: in English 0.002 too high on
# average, in a foreign language (many paths, all bad) 0.15; 500 paths leave 0.09 at four times the
# cost. A second pass for the lattice's own doubles the whole time.
N_BEST = 50
LIBVOSK_FRAME_S = 0.03  # libvosk's times assume it whatever the model's own
LIBVOSK_QUIET = -2  # errors only
RENEW_AFTER_S = 3600  # libvosk counts time in float32 from a recogniser's first sample
NOTHING_DECODED = [{"text": "", "confidence": 1.0}]  # libvosk's answer when it decoded no frame


class VoskDecoder:
    """Decodes whole utterances with a model directory; the model is loaded once a process.

    Neither the order of utterances nor what was decoded before changes a result: dither noise is
    seeded anew for each. One recogniser serves all because it keeps the part of the graph composed
    so far, which halves the time with graphs in two halves.

    Raises ModelError when the directory cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.info = check_model_dir(path)
        self._model = _model(str(path))
        self._renew()

    def decode(self, samples: "np.ndarray") -> Decoded:
        """Decodes float32 (n_samples,) in [-1, 1), at ``info.sample_rate_hz``.

        A word's confidence is its posterior among the ``N_BEST`` best paths: those with the same
        word at an overlapping time.

        Raises MediaError when that is too short to decode, or the decoder fails on it.
        """
        rate = self.info.sample_rate_hz
        duration_s = len(samples) / rate
        if duration_s < SHORTEST_S:
            raise MediaError(f"only {duration_s:.3f} s of sound, too short to decode")
        offset_s = self._n_samples / rate
        n_frames = self.info.n_decoded_frames(len(samples))
        alternatives = self._alternatives(as_int16(samples))
        if n_frames == 0 or alternatives == NOTHING_DECODED:
            raise MediaError("the decoder found no path through its graph")
        frame_s = self.info.frame_subsampling_factor * self.info.frame_shift_s
        words = [
            (word["word"], *_times(word, offset_s, frame_s, duration_s), confidence)
            for word, confidence in _with_posteriors(alternatives)
            if not is_no_word(word["word"])
        ]
        likelihood = alternatives[0]["confidence"] / n_frames
        return Decoded(words, n_frames, {"log_likelihood_per_frame": likelihood})

    def _alternatives(self, samples: "np.ndarray") -> list[dict[str, Any]]:
        if self.info.dither > 0:
            _seed_dither()
        self._n_samples += len(samples)
        try:
            self._recogniser.AcceptWaveform(samples.tobytes())
            result = json.loads(self._recogniser.FinalResult())
        except Exception as error:  # vosk raises no narrower kind
            self._renew()
            raise MediaError(f"the decoder failed: {error}") from None
        if self._n_samples > RENEW_AFTER_S * self.info.sample_rate_hz:
            self._renew()
        return result["alternatives"]

    def _renew(self) -> None:
        import vosk

        self._recogniser = vosk.KaldiRecognizer(self._model, self.info.sample_rate_hz)
        self._recogniser.SetWords(True)
        self._recogniser.SetMaxAlternatives(N_BEST)
        self._n_samples = 0


@functools.lru_cache(maxsize=1)
def _model(path: str) -> "vosk.Model":
    import vosk

    vosk.SetLogLevel(LIBVOSK_QUIET)
    try:
        return vosk.Model(path)
    except Exception:  # vosk raises no narrower kind; Kaldi's own words are on stderr
        raise ModelError(
            f"{path}: libvosk cannot load it (see its message above); copy the model again"
        ) from None


def _seed_dither() -> None:
    """Kaldi draws the seeds of its dither from C's ``rand()``; fixed, they repeat the noise."""
    ctypes.CDLL(None).srand(0)


def as_int16(samples: "np.ndarray") -> "np.ndarray":
    """Samples in [-1, 1) as Kaldi reads them."""
    import numpy as np

    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")


def _times(
    word: dict[str, Any], offset_s: float, frame_s: float, duration_s: float
) -> tuple[float, float]:
    """Start and end in seconds from the utterance's start, by the model's own frames."""
    frames = (round((word[key] - offset_s) / LIBVOSK_FRAME_S) for key in ("start", "end"))
    start_s, end_s = (round(min(frame * frame_s, duration_s), 4) for frame in frames)
    return start_s, end_s


def _with_posteriors(
    alternatives: list[dict[str, Any]],
) -> list[tuple[dict[str, Any], float]]:
    """The best path's words, each with the share of probability of the paths that hold it too."""
    import numpy as np

    scores = np.array([path["confidence"] for path in alternatives])
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    weighted = [
        (weight, path.get("result", []))
        for weight, path in zip(weights.tolist(), alternatives, strict=True)
    ]
    return [
        (word, round(sum(weight for weight, path in weighted if _holds(path, word)), 4))
        for word in weighted[0][1]
    ]


def _holds(path: list[dict[str, Any]], word: dict[str, Any]) -> bool:
    return any(
        other["word"] == word["word"]
        and other["start"] < word["end"]
        and other["end"] > word["start"]
        for other in path
    )
