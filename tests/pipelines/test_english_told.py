"""English is told from other languages: voices the TDNN never heard, sentences it never saw."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from featurize.atomic import write_text
from kaldi_recipes.demo_tdnn.corpus import HELD_OUT_VARIANTS, draw_voice
from pipelines.decoding.scores import PER_FRAME
from pipelines.demo.foreign_sentences import SENTENCES
from pipelines.demo.sentences import (
    EMOTION_PHRASES,
    OPENINGS,
    SUBJECTS,
    TOPICS,
    english_sentence,
)
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import LANGUAGE_VOICES
from pipelines.demo.speech import Voice
from pipelines.demo.video_file import write_audio

# What the sentences of the other languages mean. The training's generator cannot make them.
ENGLISH = """
yesterday we talked for a long time about the new house
my sister has been working in a small town for three years
the train to the north will leave one hour late today
i have read this book twice and still do not understand it
in summer the children go swimming in the lake every day
can you please tell me where the next station is
on sunday we always cook together with our neighbors
the weather was bad but we went out walking all the same
he always wanted to open a shop of his own by the sea
the old bridge was built again two years ago
nobody knew why the teacher had left so early
tomorrow we have to get up at six and leave early
a long time ago there was a large factory here
she gave her brother a watch for his birthday
the museum is closed on monday and free on sunday
after dinner we like to go for a long walk
""".strip().splitlines()
N = len(ENGLISH)


def voice_of(language: str, rng: np.random.Generator) -> Voice:
    like = draw_voice(rng, held_out=True)
    variant = like.name.partition("+")[2]
    assert variant in HELD_OUT_VARIANTS
    name = like.name if language == "en" else f"{LANGUAGE_VOICES[language]}+{variant}"
    return Voice(name, like.rate_wpm, like.pitch, like.pitch_range)


def write_corpus(root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for language, sentences in {"en": ENGLISH, **SENTENCES}.items():
        for k, sentence in enumerate(sentences[:N]):
            utterance_id = f"id{k:05d}/{language:_<11}/00001"
            sound = spoken(sentence, voice_of(language, rng), rng)
            write_audio(root / f"dev/aac/{utterance_id}.m4a", sound)
            rows.append(f"{utterance_id},{language}\n")
    write_text(root / "languages.csv", "".join(rows))


def test_no_sentence_is_one_of_the_training() -> None:
    phrases = [phrase for some in EMOTION_PHRASES.values() for phrase in some]
    beginnings = (*OPENINGS, *SUBJECTS, *TOPICS, *phrases)
    assert english_sentence(np.random.default_rng(0)).startswith(beginnings)
    assert not any(sentence.startswith(beginnings) for sentence in ENGLISH)


@pytest.mark.slow
def test_the_default_score_tells_english(tmp_path: Path, trimodal: Callable[..., Result]) -> None:
    root, work = tmp_path / "corpus", tmp_path / "work"
    write_corpus(root)
    for words in (
        ("prepare", "voxceleb2", root, work, "--shard-size", 16),
        ("decode", work, "--model", "demo", "--jobs", 2),
        ("select", work, "--languages", root / "languages.csv"),
    ):
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
    found = json.loads((work / "select/select.json").read_text())
    assert found["score"] == PER_FRAME and found["n_kept"] + found["n_dropped"] == 4 * N
    assert found["scores"][PER_FRAME]["auc"] >= 0.98
    assert found["precision"] > 0.9 and found["recall"] > 0.9
