"""What is opened as media, what is refused and why, and what is cut off."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from featurize.errors import MediaError
from featurize.media import probe_audio, read_audio, read_frames

RATE_HZ = 16000


@pytest.mark.parametrize(
    "name", ["sound.wav", "sound.mp4", "sound.txt", "sound", "日本語 ñ 😀.m4a", "-i a'b\"c%d.m4a"]
)
def test_audio_is_opened_by_its_content_not_its_name(
    stereo_m4a: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(stereo_m4a, tmp_path / name)
    np.testing.assert_array_equal(read_audio(tmp_path / name), read_audio(stereo_m4a))


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_the_header_says_rate_channels_and_length(tmp_path: Path, rate_hz: int, write_wav) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((12345, 2)), rate_hz)
    assert probe_audio(path) == (rate_hz, 2, 12345)


def test_a_header_without_sound_is_an_error(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(MediaError, match="no audio stream"):
        probe_audio(clip)
    with pytest.raises(MediaError, match="no such regular file"):
        probe_audio(tmp_path / "absent.wav")


def test_audio_errors_are_named(tmp_path: Path, clip: Path, write_wav) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp4").write_text("no media at all\n" * 100)
    sound = write_wav(tmp_path / "a.wav", np.ones(RATE_HZ), RATE_HZ)
    header_only = write_wav(tmp_path / "none.wav", np.ones(0), RATE_HZ)
    for match, path, segment in [
        ("zero bytes", tmp_path / "empty.wav", {}),
        ("cannot be opened as media", tmp_path / "text.mp4", {}),
        ("no such regular file", tmp_path / "absent.wav", {}),
        ("no such regular file", tmp_path, {}),
        ("no audio stream", clip, {}),
        ("no sound", header_only, {}),
        ("no sound after 2 s", sound, {"start_s": 2.0}),
        ("empty or negative segment", sound, {"start_s": 0.5, "end_s": 0.5}),
        ("empty or negative segment", sound, {"start_s": -1.0}),
        ("empty or negative segment", sound, {"start_s": float("nan")}),
    ]:
        with pytest.raises(MediaError, match=match) as caught:
            read_audio(path, **segment)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_only_plain_local_media_files_are_opened(tmp_path: Path, monkeypatch, write_wav) -> None:
    write_wav(tmp_path / "a.wav", np.ones(RATE_HZ), RATE_HZ)
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/a.wav\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.wav").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/a.wav'\n")
    for path in ["http://127.0.0.1:9/a.wav", f"concat:{tmp_path}/a.wav", "/dev/zero"]:
        with pytest.raises(MediaError, match="no such regular file"):
            read_audio(path)
    for name in ["list.m3u8", "list.wav"]:
        with pytest.raises(MediaError, match="cannot be opened as media"):
            read_audio(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").rename("concat:a.wav")
    assert len(read_audio("concat:a.wav")) == RATE_HZ


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_truncated_sound_is_never_taken_for_whole(tmp_path: Path, suffix: str, kept: float) -> None:
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".m4a": "aac"}[suffix]
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(3).integers(-9000, 9000, (1, 4 * RATE_HZ), dtype=np.int16)
    options = {"movflags": "faststart"} if suffix == ".m4a" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read_audio(path)) == pytest.approx(4 * RATE_HZ, abs=2048)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(MediaError, match="truncated|decoding failed after"):
        read_audio(path)
    assert len(read_audio(path, end_s=0.5)) == RATE_HZ // 2  # what lies before is good


@pytest.mark.parametrize("kept", [0.4, 0.8])
def test_truncated_video_is_never_taken_for_whole(tmp_path: Path, kept: float, write_video) -> None:
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(75)]
    path = write_video(tmp_path / "a.mp4", pictures, [40 * k for k in range(75)])
    content = path.read_bytes()
    media, index = content.index(b"mdat") - 4, content.index(b"moov") - 4
    path.write_bytes(content[: media + int((index - media) * kept)])
    with pytest.raises(MediaError, match="cannot be opened as media"):
        read_frames(path, fps=5)
    damaged = bytearray(content)  # the index says there is more than there is
    cut = media + 8 + int((index - media) * kept)
    damaged[cut:index] = bytes(index - cut)
    path.write_bytes(damaged)
    with pytest.raises(MediaError, match="truncated|decoding failed|damaged picture"):
        read_frames(path, fps=5)


def test_video_errors_are_named(tmp_path: Path, clip: Path, stereo_wav: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for match, path, options in [
        ("zero bytes", tmp_path / "empty.mp4", {}),
        ("no video stream", stereo_wav, {}),
        ("no picture after 9 s", clip, {"start_s": 9.0}),
        ("empty or negative segment", clip, {"start_s": 2.0, "end_s": 1.0}),
        ("give fps above 0", clip, {"fps": 0.0}),
    ]:
        with pytest.raises(MediaError, match=match):
            read_frames(path, **{"fps": 5.0, **options})


@pytest.mark.parametrize("name", ["clip.avi", "clip.txt", "clip.wav", "clip", "klip ж 視.m4a"])
def test_a_wrong_suffix_is_no_obstacle(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    np.testing.assert_array_equal(read_frames(path, fps=5)[1], read_frames(clip, fps=5)[1])
