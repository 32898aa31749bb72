"""Cutting and joining, against a search over every cut and against the pieces decoded by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decoding.acoustic_model import DEMO_FOLDER
from pipelines.decoding.pieces import CUT_FROM_S, CUT_TO_S, LONGEST_S, QUIET_S, pieces
from pipelines.decoding.vosk_decoder import VoskDecoder
from pipelines.decoding.vosk_process import VoskProcess
from pipelines.manifest import Utterance

RATE = 1000  # Hz, for sound that nobody hears


def in_blocks(sound: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(sound, sorted(cut % (len(sound) + 1) for cut in cuts))


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.floats(1, 700), cuts=st.lists(st.integers(0, 700_000), max_size=8),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_pieces_are_the_sound_whatever_the_blocks(
    seconds: float, cuts: list[int], seed: int
) -> None:
    sound = np.random.default_rng(seed).normal(size=int(seconds * RATE)).astype(np.float32)
    found = list(pieces(in_blocks(sound, cuts), RATE))
    assert np.array_equal(np.concatenate(found), sound)
    lengths_s = [len(piece) / RATE for piece in found]
    assert max(lengths_s) <= LONGEST_S
    assert len(found) == 1 or min(lengths_s) >= LONGEST_S - CUT_TO_S
    assert len(found) == 1 if seconds <= LONGEST_S else len(found) > 1
    whole = list(pieces([sound], RATE))
    assert [len(piece) for piece in whole] == [len(piece) for piece in found]


def test_a_cut_lies_in_the_quietest_place() -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(size=int(300 * RATE)).astype(np.float32)
    sound[100_000:101_000] *= 0.3
    sound[140_000:141_000] *= 0.1
    sound[30_000:32_000] = 0  # too early for a cut
    first = len(next(pieces([sound], RATE)))
    assert 140_000 + QUIET_S * RATE / 2 - 10 <= first <= 141_000 - QUIET_S * RATE / 2 + 10
    assert CUT_FROM_S * RATE <= first <= CUT_TO_S * RATE


@pytest.mark.slow
def test_a_long_file_is_its_pieces_decoded_by_hand(
    tmp_path: Path, sentences: list[np.ndarray], write_wav
) -> None:
    rate = 16000
    pause = np.zeros(int(0.45 * rate), np.float32)
    parts = [part for k in range(45) for part in (sentences[k % 6], pause)]
    sound = np.concatenate(parts)
    write_wav(tmp_path / "long.wav", sound * 32768)
    process = VoskProcess(DEMO_FOLDER)
    try:
        ((_, found),) = process.decode([Utterance("long", "s", "long.wav", None)], tmp_path)
    finally:
        process.close()

    decoder = VoskDecoder(DEMO_FOLDER)
    by_hand = [decoder.decode(piece) for piece in pieces([sound], rate)]
    assert len(by_hand) > 1
    starts_s = np.cumsum([0] + [len(piece) / rate for piece in pieces([sound], rate)])
    expected = [
        (word, pytest.approx(start_s + begin_s, abs=1e-3), pytest.approx(start_s + end_s, abs=1e-3))
        for start_s, part in zip(starts_s, by_hand, strict=False)
        for word, begin_s, end_s, _ in part.words
    ]
    assert [word[:3] for word in found.words] == expected
    assert found.n_frames == sum(part.n_frames for part in by_hand)
    total = sum(p.scores["log_likelihood_per_frame"] * p.n_frames for p in by_hand)
    assert found.scores["log_likelihood_per_frame"] == pytest.approx(total / found.n_frames)
    # The same sentences come round and round: each is heard where it was put.
    alone = [decoder.decode(sentence).words for sentence in sentences]
    lengths = [len(sentences[k % 6]) / rate + 0.45 for k in range(45)]
    heard = [[] for _ in lengths]
    for word in found.words:
        heard[int(np.searchsorted(np.cumsum(lengths), word[1], side="right"))].append(word)
    n_same = sum(
        [w[0] for w in heard[k]] == [w[0] for w in alone[k % 6]] for k in range(len(lengths))
    )
    assert n_same > 0.5 * len(lengths), n_same
