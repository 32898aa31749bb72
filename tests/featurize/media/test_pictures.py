"""The pictures of real files, made here with FFmpeg's encoders or kept beside the checkout."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurize.errors import MediaError
from featurize.media import iter_frames, read_audio, read_frames

RATE_HZ = 16000
VIDEO_FPS = 25
N_FRAMES = 100


def test_every_picture_once_at_the_files_own_rate(clip: Path, numbers) -> None:
    times_s, pictures = read_frames(clip, fps=VIDEO_FPS)
    assert times_s.dtype == np.float32 and pictures.dtype == np.uint8
    assert pictures.shape == (N_FRAMES, 48, 64, 3)
    assert numbers(pictures) == list(range(N_FRAMES))
    np.testing.assert_allclose(times_s, (np.arange(N_FRAMES) + 0.5) / VIDEO_FPS, atol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fps=st.floats(0.5, 60), start_s=st.floats(0, 3.9), length_s=st.none() | st.floats(0.05, 5.0))
def test_pictures_are_those_on_screen_at_the_stated_times(
    clip: Path, fps: float, start_s: float, length_s: float | None, numbers
) -> None:
    end_s = None if length_s is None else start_s + length_s
    last_s = min(N_FRAMES / VIDEO_FPS, end_s or np.inf)
    wanted_s = (np.arange(1000) + 0.5) / fps
    wanted_s = wanted_s[wanted_s + start_s < last_s]
    times_s, pictures = read_frames(clip, fps=fps, start_s=start_s, end_s=end_s)
    if len(wanted_s) == 0:
        assert len(pictures) == 1
        return
    np.testing.assert_allclose(times_s, wanted_s, atol=1e-5)
    position = (wanted_s + start_s) * VIDEO_FPS
    shown = np.array(numbers(pictures))  # at the very change either picture will do
    assert np.all((shown == np.floor(position - 1e-6)) | (shown == np.floor(position + 1e-6)))


def test_variable_frame_rate_goes_by_time_stamps(
    tmp_path: Path, write_video, numbered_picture, numbers
) -> None:
    pts_ms = [0, 40, 1000, 1100, 3000, 3040]
    pictures = [numbered_picture(10 * k) for k in range(len(pts_ms))]
    path = write_video(tmp_path / "vfr.mkv", pictures, pts_ms)
    _, shown = read_frames(path, fps=2)  # at 0.25, 0.75, 1.25, ..., 2.75 s
    assert numbers(shown)[:6] == [10, 10, 30, 30, 30, 30]


@pytest.mark.parametrize(
    ("matrix", "n_turns"),
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
    ids=["90 clockwise", "180", "90 counter-clockwise"],
)
def test_rotation_in_the_metadata_is_applied(
    tmp_path: Path, matrix, n_turns: int, write_video
) -> None:
    upright = np.zeros((48, 64, 3), dtype=np.uint8)
    upright[:24, :32] = 255  # white top left quarter
    path = write_video(tmp_path / "a.mp4", [upright] * 5, [40 * k for k in range(5)])
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    picture = read_frames(path, fps=25)[1][0]
    expected = np.rot90(upright, n_turns)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 8


def test_seeking_changes_no_picture_of_real_clips(shared_data: Path) -> None:
    for path in sorted((shared_data / "video").glob("*.*")):
        times_s, whole = read_frames(path, fps=10)
        start_s = 2.0
        late_s, late = read_frames(path, fps=10, start_s=start_s)
        kept = times_s >= start_s
        np.testing.assert_allclose(late_s + start_s, times_s[kept], atol=1e-5)
        np.testing.assert_array_equal(late, whole[kept])


def test_pictures_agree_with_opencv_on_a_real_clip(shared_data: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = shared_data / "video" / "video_retalking_5.mp4"
    capture = cv2.VideoCapture(str(path))
    for (_, picture), _ in zip(iter_frames(path, fps=25), range(20), strict=False):
        reference = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        assert np.abs(picture.astype(int) - reference).mean() < 3  # chroma is upsampled otherwise


def test_corrupted_pictures_are_an_error_that_says_where(shared_data: Path) -> None:
    path = shared_data / "video" / "bad" / "decord_corrupted.mp4"
    with pytest.raises(MediaError, match=r"decoding failed after \d\.\d\d s"):
        read_frames(path, fps=5)
    assert len(read_frames(path, fps=5, end_s=1.0)[1]) == 5


def test_a_cover_image_is_not_a_video(tmp_path: Path, numbered_picture) -> None:
    cover = av.VideoFrame.from_ndarray(numbered_picture(50), format="rgb24")
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        image = container.add_stream("mjpeg", rate=1)
        image.width, image.height, image.pix_fmt = 64, 48, "yuvj420p"
        image.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(
            np.ones((1, RATE_HZ), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = RATE_HZ
        container.mux(sound.encode(frame))
        container.mux(image.encode(cover))
        for stream in (sound, image):
            container.mux(stream.encode(None))
    assert len(read_audio(path)) == RATE_HZ


@pytest.mark.parametrize("factor", [0, 10])
def test_a_frame_count_that_lies_is_not_believed(
    tmp_path: Path, factor: int, numbered_picture, numbers
) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=VIDEO_FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(numbered_picture(k), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    for box, offset in ((b"avih", 16), (b"strh", 32)):  # dwTotalFrames, dwLength
        at = content.index(box) + 8 + offset
        assert struct.unpack_from("<I", content, at) == (50,)
        struct.pack_into("<I", content, at, 50 * factor)
    path.write_bytes(content)
    assert numbers(read_frames(path, fps=VIDEO_FPS)[1]) == list(range(50))


def test_a_stream_without_a_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(MediaError, match="no picture after 0 s|cannot be opened as media"):
        read_frames(path, fps=5)


def test_black_frames_are_pictures_like_others(tmp_path: Path, write_video) -> None:
    black = np.zeros((48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", [black] * 25, [40 * k for k in range(25)])
    times_s, pictures = read_frames(path, fps=5)
    assert len(times_s) == 5 and pictures.max() == 0


def test_frames_are_given_one_by_one(clip: Path) -> None:
    """The first is there before the last has been decoded: an hour takes no more than a minute."""
    damaged = clip.parent / "damaged at the end.mp4"
    content = bytearray(clip.read_bytes())
    end = content.index(b"moov") - 4
    content[end - 200 : end] = bytes(200)
    damaged.write_bytes(content)
    frames = iter_frames(damaged, fps=VIDEO_FPS)
    assert [next(frames)[0] for _ in range(20)][-1] == pytest.approx(19.5 / VIDEO_FPS)
    with pytest.raises(MediaError, match="decoding failed|damaged picture|truncated"):
        list(frames)
