"""What is left of sound without its pauses, and a score that added silence does not move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.pauses import LONGEST_PAUSE_S, MARGIN_S, without_pauses
from pipelines.decoding.vosk_decoder import DISCOUNT_UP_TO, VoskDecoder

RATE = 1000


@given(gaps=st.lists(st.tuples(st.floats(0, 3), st.floats(0.05, 1)), min_size=1, max_size=6))
def test_long_pauses_are_cut_to_margins_and_short_ones_stay(
    gaps: list[tuple[float, float]],
) -> None:
    words, time_s = [], 0.0
    for pause_s, length_s in gaps:
        words.append(("w", time_s + pause_s, time_s + pause_s + length_s, 1.0))
        time_s += pause_s + length_s
    sound = np.arange(int((time_s + 0.2) * RATE))
    kept = set(without_pauses(sound, words, RATE).tolist())
    # Sample by sample: silent if in a pause of over the limit, and beyond the margins of words.
    ends_s = [0.0] + [word[2] for word in words]
    expected = set()
    for k in range(len(sound)):
        t = k / RATE
        in_pause = any(
            begin_s - ends_s[n] > LONGEST_PAUSE_S
            and ends_s[n] + (MARGIN_S if n else 0) <= t < begin_s - MARGIN_S
            for n, (_, begin_s, _, _) in enumerate(words)
        )
        if not in_pause:
            expected.add(k)
    assert len(kept ^ expected) <= 2 * len(words) + 2  # rounding, at each edge


def test_no_word_leaves_nothing_and_no_pause_leaves_all() -> None:
    sound = np.zeros(2000, np.float32)
    assert len(without_pauses(sound, [], RATE)) == 0
    assert len(without_pauses(sound, [("w", 0.3, 1.7, 1.0)], RATE)) == 2000


@pytest.mark.parametrize("noise_rms", [0, 8, 50])  # of 32768; the demo's rooms have 8
def test_silence_moves_the_score_of_speech_far_less_than_the_whole_ones(
    sentences: list[np.ndarray], noise_rms: float
) -> None:
    decoder = VoskDecoder(DEMO_FOLDER)
    rng = np.random.default_rng(0)

    def silence() -> np.ndarray:
        return (rng.normal(0, noise_rms, 32000) / 32768).astype(np.float32)

    moved = {name: [] for name in ("log_likelihood_per_frame", "log_likelihood_per_speech_frame")}
    for first, second in zip(sentences, sentences[1:], strict=False):
        plain = decoder.decode(np.concatenate([first, second])).scores
        spaced = decoder.decode(
            np.concatenate([silence(), first, silence(), second, silence()])
        ).scores
        for name, differences in moved.items():
            differences.append(abs(spaced[name] - plain[name]))
    assert np.mean(moved["log_likelihood_per_frame"]) > 0.25
    assert np.mean(moved["log_likelihood_per_speech_frame"]) < 0.05
    assert max(moved["log_likelihood_per_speech_frame"]) < 0.15


def test_a_short_pause_is_discounted_without_decoding_again(sentences: list[np.ndarray]) -> None:
    decoder = VoskDecoder(DEMO_FOLDER)
    speech = np.concatenate(sentences[:3])
    pause = (np.random.default_rng(1).normal(0, 8, 16000) / 32768).astype(np.float32)
    assert len(pause) < DISCOUNT_UP_TO * len(speech)
    decoder.decode(np.concatenate([speech, pause]))  # learns the score of silence
    before = decoder._n_samples
    spaced = decoder.decode(np.concatenate([speech, pause])).scores
    assert decoder._n_samples - before == len(speech) + len(pause)
    plain = decoder.decode(speech).scores
    name = "log_likelihood_per_speech_frame"
    assert spaced[name] == pytest.approx(plain[name], abs=0.03)
    assert abs(spaced["log_likelihood_per_frame"] - plain[name]) > 0.04


def test_without_long_pauses_both_scores_are_one(sentences: list[np.ndarray]) -> None:
    scores = VoskDecoder(DEMO_FOLDER).decode(sentences[0]).scores
    assert len(set(scores.values())) == 1 and len(scores) == 2


def test_silence_has_no_score_of_speech() -> None:
    scores = VoskDecoder(DEMO_FOLDER).decode(np.zeros(32000, np.float32)).scores
    assert set(scores) == {"log_likelihood_per_frame"}
