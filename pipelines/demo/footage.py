"""Draws the pictures that go with a sound track."""

from collections.abc import Sequence

import numpy as np

from pipelines.demo.face_motion import mouth_opening, random_motion
from pipelines.demo.faces import FaceArtist
from pipelines.demo.looks import Expression, Look
from pipelines.demo.video_file import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME


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
        for n in range(len(pictures), len(pictures) + len(sound) // SAMPLES_PER_FRAME):
            shift_px = (float(motion.shift_x_px[n]), float(motion.shift_y_px[n]))
            pictures.append(
                artist.frame(
                    float(opening[n]), float(motion.eyes_closed[n]), shift_px,
                    float(motion.tilt_deg[n]),
                )
            )  # fmt: skip
    return pictures
