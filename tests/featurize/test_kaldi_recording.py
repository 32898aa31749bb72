"""What stands for a recording: Kaldi's three forms, and commands that need not be run."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import CorpusError
from featurize.kaldi_recording import (
    Command,
    File,
    Piece,
    converted_file,
    ffmpeg_command,
    file_name,
    parse_recording,
)


def test_the_forms() -> None:
    assert parse_recording("a/b c.wav") == File("a/b c.wav")
    assert parse_recording("/x/wav.ark:1234") == Piece("/x/wav.ark", 1234)
    assert parse_recording("C:/x.wav") == File("C:/x.wav")
    assert parse_recording("sox a.wav -t wav - |") == Command("sox a.wav -t wav -")
    for text in ("", "-", "| tee a", "|", " |", "a | b", "a.ark:3[0:2]", "scp:a.scp", "ark,t:a"):
        with pytest.raises(CorpusError, match="no recording"):
            parse_recording(text)


def test_converters_stand_for_their_file_and_nothing_else_does() -> None:
    for command in (
        "ffmpeg -v 8 -nostdin -i '/a b/1.m4a' -vn -ac 1 -ar 16000 -f wav -acodec pcm_s16le -",
        "ffmpeg -v 8 -i '/a b/1.m4a' -f wav -acodec pcm_s16le -",
        "flac -c -d -s '/a b/1.m4a'",
    ):
        assert converted_file(command) == "/a b/1.m4a"
    for command in (
        "flac -c -d -s $HOME/a.flac",
        "flac -c -d -s `touch x`",
        "flac -c -d -s 'a.flac'; touch x",
        "flac -c -d -s a.flac>x",
        "flac -c -d -s *.flac",
        "flac -c -d -s ~/a.flac",
        "flac -c -d -s --decode-raw",
        "flac -c -d -s 'a",
        "flac -c -d -s a.flac b.flac",
        "ffmpeg -v 8 -nostdin -i a -vn -ac 1 -ar x -f wav -acodec pcm_s16le -",
        "ffmpeg -v 8 -i a -f wav -acodec pcm_s16le /etc/passwd",
        "sox a.wav -t wav -",
        "",
    ):
        assert converted_file(command) is None, command


paths = st.text(
    st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("'\"$`|; \\*]:9")
)


@given(paths.map(lambda name: f"/data/{name}"))
@settings(deadline=None)  # a process each
def test_a_shell_gives_ffmpeg_the_very_path(path: str) -> None:
    if not path.isprintable():
        with pytest.raises(CorpusError, match="rename"):
            ffmpeg_command(path, 16000)
        return
    line = ffmpeg_command(path, 16000)
    recording = parse_recording(line)
    assert isinstance(recording, Command)
    assert converted_file(recording.command) == path
    script = f'ffmpeg() {{ printf %s "$5"; }}; {recording.command}'  # instead of decoding
    found = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert found.stdout.decode() == path


@given(paths.map(lambda name: f"/data/{name}"))
def test_a_file_is_named_only_where_that_means_the_file(path: str) -> None:
    try:
        name = file_name(path)
    except CorpusError:
        assert not path.isprintable()
        return
    if name is not None:
        assert name == path == path.strip()
        assert parse_recording(name) == File(path)


@pytest.mark.parametrize("path", ["/a:9", "/a|", "/a|b", "/a[1]", "/a "])
def test_what_kaldi_reads_more_into_goes_through_the_pipe(path: str) -> None:
    assert file_name(path) is None
    assert parse_recording(ffmpeg_command(path, 16000))


@pytest.mark.parametrize("path", ["/a\nb", "/a\tb", "/a\x1bb"])
def test_what_no_line_can_hold_is_refused(path: str) -> None:
    with pytest.raises(CorpusError, match="rename"):
        file_name(path)
