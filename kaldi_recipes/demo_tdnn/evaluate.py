"""What the written model hears: word error rate on voices it never met, and other languages.

``python -m kaldi_recipes.demo_tdnn.evaluate MODEL``
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaldi_recipes.demo_tdnn.corpus import (
    HELD_OUT_VARIANTS,
    SAMPLE_RATE_HZ,
    degrade,
    draw_voice,
    to_model_rate,
)
from kaldi_recipes.demo_tdnn.network import SUBSAMPLING
from pipelines.demo.foreign_sentences import FRENCH, GERMAN, SPANISH
from pipelines.demo.sentences import EMOTION_PHRASES, emotional_sentence, english_sentence
from pipelines.demo.speech import Voice, synthesise

WINDOW_SAMPLES, HOP_SAMPLES = 400, 160  # of a frame at 16 kHz
FOREIGN = {"gmw/de": GERMAN, "roa/fr": FRENCH, "roa/es": SPANISH}


@dataclass(frozen=True)
class Heard:
    text: str
    log_likelihood_per_frame: float  # scaled acoustic score less graph cost, per decoded frame


class Decoder:
    """Vosk's Kaldi decoder over a model folder."""

    def __init__(self, model_dir: Path) -> None:
        import vosk

        vosk.SetLogLevel(-1)
        self._vosk = vosk
        self._model = vosk.Model(str(model_dir))

    def __call__(self, samples: np.ndarray) -> Heard:
        """``samples`` (n,) at 16 kHz in the range of int16, at least one frame long."""
        recogniser = self._vosk.KaldiRecognizer(self._model, SAMPLE_RATE_HZ)
        recogniser.SetMaxAlternatives(1)
        recogniser.AcceptWaveform(samples.astype("<i2").tobytes())
        best = json.loads(recogniser.FinalResult())["alternatives"][0]
        n_frames = (len(samples) - WINDOW_SAMPLES) // HOP_SAMPLES + 1
        n_decoded = -(-n_frames // SUBSAMPLING)
        return Heard(best["text"].strip(), best["confidence"] / n_decoded)


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of words to replace, leave out or put in (Levenshtein distance)."""
    previous = list(range(len(heard) + 1))
    for i, word in enumerate(reference, start=1):
        row = [i]
        for j, other in enumerate(heard, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (word != other)))
        previous = row
    return previous[-1]


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Chance that a positive scores above a negative, ties counting half."""
    gap = np.asarray(positives)[:, None] - np.asarray(negatives)[None, :]
    return float(np.mean(gap > 0) + 0.5 * np.mean(gap == 0))


def held_out_english(n: int, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """Sentences of the demo's kind with samples at 16 kHz, by voices not trained on."""
    pairs = []
    for i in range(n):
        emotions = list(rng.choice(list(EMOTION_PHRASES), 2, replace=False))
        text = emotional_sentence(emotions, rng) if i % 2 else english_sentence(rng)
        samples = to_model_rate(synthesise(text, draw_voice(rng, held_out=True)))
        pairs.append((text, degrade(samples, rng)[0]))
    return pairs


def held_out_foreign(language: str, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Samples at 16 kHz of sentences in a language of FOREIGN, by the same voices."""
    sentences = FOREIGN[language]
    out = []
    for i in range(n):
        like = draw_voice(rng, held_out=True)
        voice = Voice(
            f"{language}+{like.name.partition('+')[2]}", like.rate_wpm, like.pitch, like.pitch_range
        )
        samples = to_model_rate(synthesise(sentences[i % len(sentences)], voice))
        out.append(degrade(samples, rng)[0])
    return out


def evaluate(model_dir: Path, n_english: int = 80, n_foreign: int = 24, seed: int = 7) -> dict:
    """Word error rate, mean scores, and AUC of English against each other language."""
    rng = np.random.default_rng(seed)
    decode = Decoder(model_dir)
    n_errors = n_words = 0
    english_scores = []
    for text, samples in held_out_english(n_english, rng):
        heard = decode(samples)
        n_errors += word_errors(text.split(), heard.text.split())
        n_words += len(text.split())
        english_scores.append(heard.log_likelihood_per_frame)
    figures: dict = {"wer": n_errors / n_words, "n_words": n_words}
    figures["english"] = float(np.mean(english_scores))
    figures["n_voices"] = len(HELD_OUT_VARIANTS)
    figures["other_languages"] = {}
    for language in FOREIGN:
        clips = held_out_foreign(language, n_foreign, rng)
        scores = [decode(samples).log_likelihood_per_frame for samples in clips]
        figures["other_languages"][language] = {
            "mean": float(np.mean(scores)),
            "auc": auc(english_scores, scores),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    print(json.dumps(evaluate(parser.parse_args().model), indent=1))


if __name__ == "__main__":
    main()
