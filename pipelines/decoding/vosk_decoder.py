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
from pipelines.decoding.engine import Decoded, Word
from pipelines.decoding.n_best import with_posteriors
from pipelines.decoding.pauses import LONGEST_PAUSE_S, MARGIN_S, without_pauses
from pipelines.decoding.pieces import Piece, joined

if TYPE_CHECKING:
    import numpy as np
    import vosk

DISCOUNT_UP_TO = 0.2  # of the sound may be pauses, before the rest is decoded once more
NOISE_RMS = 8 / 32768  # a quiet room
SILENCES_S = (1, 3)  # lengths of it that are compared
LIKELIHOOD_DEFINITION = (
    "(model's acoustic scale x log p(sound | best path) - 0.9 x graph cost) / decoded frames; "
    "natural logarithm, silence included; per speech frame: the same of the sound with pauses of "
    f"over {LONGEST_PAUSE_S:g} s, where the best path has no word, cut to {2 * MARGIN_S:g} s; up "
    f"to {DISCOUNT_UP_TO:.0%} of the sound discounted at the model's score of faint noise, "
    "else decoded again"
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
        """Decodes float32 (n_samples,) in [-1, 1), at ``info.sample_rate_hz``, in one piece.

        A word's confidence is its posterior among the ``N_BEST`` best paths: those with the same
        word at an overlapping time.

        Raises MediaError when that is too short to decode, or the decoder fails on it.
        """
        return joined([self.piece(samples)])

    def piece(self, samples: "np.ndarray") -> Piece:
        """What ``decode`` hears, as a piece of a longer sound."""
        rate = self.info.sample_rate_hz
        length_s = len(samples) / rate
        if length_s < SHORTEST_S:
            raise MediaError(f"only {length_s:.3f} s of sound, too short to decode")
        offset_s = self._n_samples / rate
        alternatives, n_frames = self._best(samples)
        total = alternatives[0]["confidence"]
        words = [
            (word["word"], *self._times(word, offset_s, length_s), confidence)
            for word, confidence in with_posteriors(alternatives)
        ]
        speech_total, n_speech_frames = self._speech(samples, words, total, n_frames)
        return Piece(
            length_s=length_s,
            words=[word for word in words if not is_no_word(word[0])],
            n_frames=n_frames,
            log_likelihood=total,
            n_speech_frames=n_speech_frames,
            speech_log_likelihood=speech_total,
        )

    def _speech(
        self, samples: "np.ndarray", words: list[Word], total: float, n_frames: int
    ) -> tuple[float, int]:
        """Log-likelihood and frames without long pauses.

        Few of them are discounted at the model's score of silence, which depends on the speaker
        where the network takes i-vectors; with many of them the speech is decoded once more.
        """
        speech = without_pauses(samples, words, self.info.sample_rate_hz)
        n_cut = len(samples) - len(speech)
        if n_cut == 0:
            return total, n_frames
        if len(speech) < SHORTEST_S * self.info.sample_rate_hz:
            return 0.0, 0
        if n_cut <= DISCOUNT_UP_TO * len(samples):
            n_silent = round(n_frames * n_cut / len(samples))
            return total - n_silent * self._silence_per_frame, n_frames - n_silent
        try:
            alternatives, n_speech_frames = self._best(speech)
        except MediaError:
            return 0.0, 0
        return alternatives[0]["confidence"], n_speech_frames

    @functools.cached_property
    def _silence_per_frame(self) -> float:
        """What a frame of faint noise more adds to the log-likelihood; the ends cancel out."""
        import numpy as np

        lengths = [length_s * self.info.sample_rate_hz for length_s in SILENCES_S]
        noise = np.random.default_rng(0).normal(0, NOISE_RMS, lengths[-1]).astype(np.float32)
        (short, n_short), (long, n_long) = (self._best(noise[:length]) for length in lengths)
        return float((long[0]["confidence"] - short[0]["confidence"]) / (n_long - n_short))

    def _best(self, samples: "np.ndarray") -> tuple[list[dict[str, Any]], int]:
        """The best paths, best first, and the number of decoded frames."""
        alternatives = self._alternatives(as_int16(samples))
        n_frames = self.info.n_decoded_frames(len(samples))
        if n_frames == 0 or alternatives == NOTHING_DECODED:
            raise MediaError("the decoder found no path through its graph")
        if any(not word["word"] for word in alternatives[0].get("result", [])):
            raise ModelError(
                f"{self.info.path}: its words.txt lacks words that the graph has; copy the one "
                "that lies beside HCLG.fst where the graph was made"
            )
        return alternatives, n_frames

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

    def _times(self, word: dict[str, Any], offset_s: float, length_s: float) -> tuple[float, float]:
        """Start and end in seconds from the sound's start, by the model's own frames."""
        frame_s = self.info.frame_subsampling_factor * self.info.frame_shift_s
        frames = (round((word[key] - offset_s) / LIBVOSK_FRAME_S) for key in ("start", "end"))
        start_s, end_s = (round(min(frame * frame_s, length_s), 4) for frame in frames)
        return start_s, end_s

    def _renew(self) -> None:
        import vosk

        try:
            self._recogniser = vosk.KaldiRecognizer(self._model, self.info.sample_rate_hz)
        except Exception:  # vosk raises no narrower kind; Kaldi's own words are on stderr
            raise ModelError(
                f"{self.info.path}: libvosk cannot decode with it (see its message above); mend "
                "the setting that it names, or copy the model again"
            ) from None
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
