"""Draws the pictures that go with a sound track."""

from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.demo.face_motion import mouth_opening, random_motion
from pipelines.demo.faces import FaceArtist
from pipelines.demo.looks import Expression, Look
from pipelines.demo.video_file import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

LIGHT_STRENGTH = 0.35  # natural logarithm of a channel's gain under the full light


def footage(
    look: Look, shots: Sequence[tuple[Expression, np.ndarray]], rng: np.random.Generator
) -> list[np.ndarray]:
    """One face through several shots, the head moving on from each to the next.

    Args:
        shots: each an expression and its sound, int16 (n_samples,), whole video frames long.

    Returns:
        A picture for every SAMPLES_PER_FRAME samples, uint8 (224, 224, 3), blue-green-red.
    """
    samples = np.concatenate([sound for _, sound in shots])
    n_frames = len(samples) // SAMPLES_PER_FRAME
    opening = mouth_opening(samples, SAMPLE_RATE_HZ, n_frames, FPS)
    motion = random_motion(n_frames, FPS, rng)
    pictures: list[np.ndarray] = []
    for expression, sound in shots:
        artist = FaceArtist(look, expression)
        light = light_table(expression)
        for n in range(len(pictures), len(pictures) + len(sound) // SAMPLES_PER_FRAME):
            shift_px = (float(motion.shift_x_px[n]), float(motion.shift_y_px[n]))
            picture = artist.frame(
                float(opening[n]), float(motion.eyes_closed[n]), shift_px, float(motion.tilt_deg[n])
            )
            pictures.append(cv2.LUT(picture, light))
    return pictures


def light_table(expression: Expression) -> np.ndarray:
    """uint8 (256, 1, 3): each value of a channel under the expression's light."""
    parts = np.array([expression.light_blue, expression.light_green, expression.light_red])
    lit = np.outer(np.arange(256), np.exp(LIGHT_STRENGTH * parts))
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)[:, None, :]
