"""The demo's faces: the mouth follows the sound, expressions can be seen, pictures repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.demo.face_motion import FLOOR_DB, mouth_opening, random_motion
from pipelines.demo.faces import SIZE_PX, FaceArtist
from pipelines.demo.looks import EMOTION_EXPRESSIONS, Expression, random_look

RATE_HZ, FPS = 16000, 25
SAMPLES_PER_FRAME = RATE_HZ // FPS


def _mouth_pixels(look, opening: float) -> int:
    """How many pixels of the mouth's inside a picture shows: dark, and redder than green."""
    picture = FaceArtist(look, Expression()).frame(opening).astype(int)
    return int(((picture[..., 2] < 110) & (picture[..., 2] - picture[..., 1] > 40)).sum())


def test_mouth_opening_is_the_frame_level_on_a_db_scale():
    levels_db = np.array([-10.0, 0.0, -20.0, -30.0, -60.0])
    tone = np.sin(2 * np.pi * 400 * np.arange(3 * SAMPLES_PER_FRAME) / RATE_HZ)
    sound = np.concatenate([10 ** (db / 20) * tone for db in levels_db])
    opening = mouth_opening(sound, RATE_HZ, 3 * len(levels_db), FPS)
    expected = np.clip(1 - levels_db / FLOOR_DB, 0, 1)
    np.testing.assert_allclose(opening[1::3], expected, atol=1e-3)


@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(1e-3, 1e4))
def test_mouth_opening_follows_energy_whatever_the_scale(seed, n_frames, scale):
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0.02, 1, n_frames), SAMPLES_PER_FRAME)
    sound = rng.normal(size=n_frames * SAMPLES_PER_FRAME) * loudness
    opening = mouth_opening(sound, RATE_HZ, n_frames, FPS)
    assert opening.shape == (n_frames,) and opening.dtype == np.float32
    assert opening.min() >= 0 and opening.max() == pytest.approx(1)
    np.testing.assert_allclose(mouth_opening(sound * scale, RATE_HZ, n_frames, FPS), opening, 1e-4)


def test_silence_and_no_frames_keep_the_mouth_shut():
    assert not mouth_opening(np.zeros(RATE_HZ), RATE_HZ, FPS, FPS).any()
    assert mouth_opening(np.zeros(0), RATE_HZ, 0, FPS).shape == (0,)


def test_a_louder_sound_shows_a_larger_mouth():
    for seed in range(4):
        look = random_look(np.random.default_rng(seed), "f")
        shown = [_mouth_pixels(look, opening) for opening in (0.0, 0.3, 0.6, 1.0)]
        assert shown == sorted(shown)
        assert shown[-1] > shown[0] + 100


@pytest.mark.parametrize("emotion", EMOTION_EXPRESSIONS)
def test_every_emotion_changes_the_picture(emotion):
    look = random_look(np.random.default_rng(1), "m")
    rest = FaceArtist(look, Expression()).frame(0.2).astype(int)
    moved = FaceArtist(look, EMOTION_EXPRESSIONS[emotion]).frame(0.2).astype(int)
    assert (np.abs(moved - rest).max(axis=2) > 40).mean() > 0.003


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from("fm"))
def test_any_speaker_can_be_drawn_and_repeats(seed, gender):
    rng = np.random.default_rng(seed)
    look = random_look(rng, gender)
    expression = Expression().mixed(EMOTION_EXPRESSIONS["fear"], rng.uniform(0, 2))
    pictures = [FaceArtist(look, expression).frame(0.5, 0.4, (3, -2), 2.0) for _ in range(2)]
    assert pictures[0].shape == (SIZE_PX, SIZE_PX, 3) and pictures[0].dtype == np.uint8
    np.testing.assert_array_equal(*pictures)


def test_motion_blinks_now_and_then_and_stays_small():
    motion = random_motion(500, FPS, np.random.default_rng(0))
    assert 3 <= (motion.eyes_closed == 1).sum() <= 14  # in 20 s
    assert np.abs(motion.shift_x_px).max() < 6 and np.abs(motion.tilt_deg).max() < 5
    assert np.abs(np.diff(motion.shift_x_px)).max() < 1
