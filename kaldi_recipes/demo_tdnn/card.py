"""The README that travels with the trained model."""

from typing import Any

_TEXT = """\
# The demo's acoustic model

A Kaldi nnet3 TDNN with its decoding graph, as `vosk` loads it.

**It reads synthesised English only** (espeak-ng's voices). It was never shown a recording of a
person and is of no use on one, neither for the words nor for telling the language. For real
corpora take the LibriSpeech TDNN or any English Vosk model.

| | |
|---|---|
| made by | `python -m kaldi_recipes.demo_tdnn.train OUT` |
| seed {seed} | `--utterances {utterances} --epochs {epochs} --seed {seed}` |
| training data | {hours:.2f} h of espeak-ng speech |
| network | {layers} layers of {width}, {parameters:,} parameters, 16-bit matrices |
| graph | unigram over {words} words (GloVe 6B's order of frequency, and the demo's own words) |
| word error rate, {n_voices} voices never trained on | {wer:.1%} of {n_words} words |
| log-likelihood per frame, English | {english:.3f} |
{foreign}

The score is the decoder's: scaled acoustic log-likelihood less 0.9 x graph cost, over the number
of decoded frames. AUC is the chance that an English clip scores above one of the other language,
all of them synthesised, with noise, in voices never trained on.

The speech was made with espeak-ng (GPL-3), the word order comes from GloVe (PDDL).
"""


def model_card(figures: dict[str, Any], settings: dict[str, Any]) -> str:
    """README.md of a model; ``figures`` as evaluate() gives them, ``settings`` of the training."""
    foreign = "\n".join(
        f"| log-likelihood per frame, {name} | {scores['mean']:.3f} (AUC {scores['auc']:.3f}) |"
        for name, scores in figures["other_languages"].items()
    )
    return _TEXT.format(**{**figures, **settings, "foreign": foreign})
