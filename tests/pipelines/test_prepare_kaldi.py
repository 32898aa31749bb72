"""A Kaldi data directory as a workspace: what is read, refused, run, and how it comes back."""

import io
import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import CorpusError, TrimodalError, UsageError
from featurize.kaldi_io import seconds_text, table_text
from featurize.media import read_audio
from pipelines.exchange.export_kaldi import export_kaldi
from pipelines.manifest import Utterance, safe_path
from pipelines.prepare_kaldi import scan_kaldi
from pipelines.workspace import Workspace, create


def wav_bytes(n_samples: int = 1600) -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes((np.arange(n_samples) % 199).astype("<i2").tobytes())
    return sound.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """``data``: two utterances of one recording, and one of another; WAV files in ``sound``."""
    (tmp_path / "sound").mkdir()
    for name in ("r1", "r2"):
        (tmp_path / "sound" / f"{name}.wav").write_bytes(wav_bytes(16000))
    write(
        tmp_path / "data",
        {
            "wav.scp": {name: str(tmp_path / "sound" / f"{name}.wav") for name in ("r1", "r2")},
            "segments": {"a-1": "r1 0.0 0.25", "a-2": "r1 0.5 1.0", "b-1": "r2 0.125 -1"},
            "utt2spk": {"a-1": "a", "a-2": "a", "b-1": "b"},
            "text": {"a-1": "one two", "a-2": "", "b-1": "three"},
        },
    )
    return tmp_path / "data"


def write(folder: Path, tables: dict[str, dict[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (folder / name).write_bytes(table_text(rows).encode())


def listed(data: Path, **options) -> tuple[Path, dict[str, Utterance], dict[str, str]]:
    root, (utterances, rejects, _) = scan_kaldi(data, data.parent / "work", **options)
    return root, {u.id: u for u in utterances}, {reject.id: reject.reason for reject in rejects}


def test_cuts_speakers_and_transcripts(data: Path) -> None:
    root, utterances, rejects = listed(data)
    assert root == data.parent / "sound"
    assert not rejects
    assert utterances["a-2"] == Utterance(
        id="a-2", speaker="a", audio="r1.wav", video=None, start_s=0.5, end_s=1.0, text="",
        audio_bytes=32044, recording="r1", recording_start_s=0.5, recording_end_s=1.0,
    )  # fmt: skip
    assert (utterances["b-1"].start_s, utterances["b-1"].end_s) == (0.125, None)
    assert [utterances[i].text for i in ("a-1", "b-1")] == ["one two", "three"]


def test_without_segments_and_text_a_recording_is_an_utterance(data: Path) -> None:
    for name in ("segments", "text"):
        (data / name).unlink()
    write(data, {"utt2spk": {"r1": "a", "r2": "b"}, "utt2dur": {"r1": "1.0", "r2": "0.8"}})
    _, utterances, _ = listed(data)
    assert utterances["r2"] == Utterance("r2", "b", "r2.wav", None, audio_bytes=32044)
    _, (_, _, audit) = scan_kaldi(data, data.parent / "work")
    assert audit["hours"] == pytest.approx(1.8 / 3600)


def test_relative_paths_begin_here_or_at_root(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(data, {"wav.scp": {"r1": "sound/r1.wav", "r2": "sound/r2.wav"}})
    monkeypatch.chdir(tmp_path)
    assert listed(data)[0] == tmp_path / "sound"
    monkeypatch.chdir("/")
    assert set(listed(data)[2].values()) == {"no such file"}
    root, utterances, rejects = listed(data, root=tmp_path)
    assert (root, utterances["b-1"].audio, rejects) == (tmp_path, "sound/r2.wav", {})
    with pytest.raises(UsageError, match="no such folder"):
        listed(data, root=tmp_path / "no")


def test_nothing_outside_of_root_is_used(data: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.wav").symlink_to(tmp_path / "sound" / "r1.wav")
    shutil.copy(tmp_path / "sound" / "r1.wav", tmp_path / "root" / "in.wav")
    write(data, {"wav.scp": {"r1": "link.wav", "r2": "../sound/r2.wav", "r3": "in.wav"}})
    write(data, {"segments": {"a-1": "r1 0 1", "a-2": "r2 0 1", "b-1": "r3 0 1"}})
    _, utterances, rejects = listed(data, root=tmp_path / "root")
    assert utterances.keys() == {"b-1"}
    assert rejects == dict.fromkeys(("a-1", "a-2"), "its file is not inside --root")


def test_what_is_missing_costs_its_utterances(data: Path, tmp_path: Path) -> None:
    (tmp_path / "sound" / "empty.wav").touch()
    sound = tmp_path / "sound"
    names = [f"a-{i}" for i in range(8)]
    recordings = ["r1", "r2", "gone", "empty", "folder", "nowhere", "r1", "r1"]
    write(
        data,
        {
            "wav.scp": {name: str(sound / f"{name}.wav") for name in ("r1", "r2", "gone", "empty")}
            | {"folder": str(sound)},
            "segments": {n: f"{r} 0 1" for n, r in zip(names, recordings, strict=True)},
            "utt2spk": {name: "a" for name in [*names[:7], "a-9"]},
            "text": {name: "x" for name in names if name != "a-1"},
        },
    )
    _, utterances, rejects = listed(data)
    assert utterances.keys() == {"a-0", "a-6"}
    assert rejects == {
        "a-1": "no line in text",
        "a-2": "no such file",
        "a-3": "empty file (0 bytes)",
        "a-4": "not a regular file",
        "a-5": "its recording is not in wav.scp",
        "a-7": "no speaker in utt2spk",
        "a-9": "in utt2spk, but neither segments nor wav.scp has it",
    }


WRONG = {
    "utt2spk": [("a-1 a b\n", "utt2spk:1: 'a-1' has 2 columns after it, not 1")],
    "segments": [
        ("a-1 r1 0.0\n", "segments:1: 'a-1' has 2 columns after it, not 3"),
        ("a-1 r1 0 1 A\n", "segments:1: 'a-1' has 4 columns"),
        ("a-1 r1 0.5 0.5\n", "segments:1: a segment from 0.5 s to 0.5 s"),
        ("a-0 r1 0 1\na-1 r1 nan 1\n", "segments:2: a segment from nan s"),
        ("a-1 r1 0 inf\n", "segments:1: a segment"),
        ("a-1 r1 -1 1\n", "segments:1: a segment"),
        ("a-1 r1 x 1\n", "segments:1: a segment"),
    ],
    "wav.scp": [
        ("r1 -\n", "wav.scp:1: '-' is no recording"),
        ("r1\n", "wav.scp:1: '' is no recording"),
        ("r2 a.wav\nr1 a.wav\n", "wav.scp:2: 'r1' comes after 'r2'"),
        ("r1 a.wav\r\n", "wav.scp:1: a Windows line end"),
    ],
    "utt2dur": [("a-1 0\n", "utt2dur:1: '0' is no duration")],
    "utt2id": [("a-1 ../x\n", r"utt2id:1: utterance id '\.\./x' is not allowed")],
}


@pytest.mark.parametrize(
    ("name", "content", "message"), [(n, *case) for n, cases in WRONG.items() for case in cases]
)
def test_a_wrong_line_is_named(name: str, content: str, message: str, data: Path) -> None:
    (data / name).write_bytes(content.encode())
    with pytest.raises(CorpusError, match=message):
        listed(data)


@pytest.mark.parametrize("name", ["..", "a/../b", "/etc/x", "a//b"])
def test_ids_do_not_climb_out(data: Path, name: str) -> None:
    write(data, {"utt2spk": {name: "a"}})
    with pytest.raises(CorpusError, match="utt2spk:1: utterance id .* is not allowed"):
        listed(data)


def test_no_data_directory(data: Path, tmp_path: Path) -> None:
    (data / "utt2spk").unlink()
    with pytest.raises(CorpusError, match="no utt2spk; this is no Kaldi data directory"):
        listed(data)
    with pytest.raises(UsageError, match="no such folder"):
        listed(tmp_path / "no")


@pytest.fixture
def piped(data: Path, tmp_path: Path) -> Path:
    """``data`` with a command for r1 that leaves a mark each time it is run, and one that fails."""
    sound = tmp_path / "sound"
    write(
        data,
        {
            "wav.scp": {
                "r1": f"echo run >> '{tmp_path}/mark'; cat '{sound}/r1.wav' |",
                "r2": "echo no such thing >&2; exit 3 |",
                "unused": f"touch {tmp_path}/unused |",
            }
        },
    )
    return data


def test_commands_are_refused_and_not_run(piped: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match='wav.scp:1: a shell command, one of 3: "echo run.*--allow'
    ):
        listed(piped)
    assert not (tmp_path / "mark").exists()


def test_commands_that_are_allowed_are_run_once(piped: Path, tmp_path: Path) -> None:
    for _ in range(2):
        root, utterances, rejects = listed(piped, allow_pipes=True)
        assert rejects == {"b-1": "its command failed (3): no such thing"}
        assert (tmp_path / "mark").read_text() == "run\n"
    path = safe_path(root, str(utterances["a-1"].audio))
    assert path.parent == tmp_path / "work" / "recordings"
    assert path.read_bytes() == wav_bytes(16000)
    assert not (tmp_path / "unused").exists()
    listed(piped, allow_pipes=True, redo=True)
    assert (tmp_path / "mark").read_text() == "run\nrun\n"
    with pytest.raises(UsageError, match="not inside --root"):
        listed(piped, allow_pipes=True, root=tmp_path / "sound")


def test_no_later_command_runs_them_again(piped: Path, tmp_path: Path, trimodal: Callable) -> None:
    work = tmp_path / "work"
    result = trimodal("prepare", "kaldi", piped, work)
    assert result.exit_code == 1 and "--allow-pipes" in result.output
    for words in (
        ("prepare", "kaldi", piped, work, "--allow-pipes"),
        ("extract", work, "audio", "--jobs", 1),
        ("status", work),
        ("export", "kaldi", work, tmp_path / "out", "--jobs", 1),
        ("prepare", "kaldi", tmp_path / "out", tmp_path / "again"),
    ):
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "mark").read_text() == "run\n"


def test_a_command_that_only_converts_is_its_file(data: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    flac = sound / "a b.flac"
    soundfile.write(flac, np.zeros(16000, np.int16), 16000)
    write(
        data,
        {
            "wav.scp": {
                "r1": f"flac -c -d -s '{flac}' |",
                "r2": f"ffmpeg -v 8 -i {sound}/r2.wav -f wav -acodec pcm_s16le -|",
            }
        },
    )
    root, utterances, _ = listed(data)
    assert (utterances["a-1"].audio, utterances["b-1"].audio) == ("a b.flac", "r2.wav")
    assert len(read_audio(root / "a b.flac")) == 16000


def test_recordings_in_an_archive_are_copied_out(data: Path, tmp_path: Path) -> None:
    sounds = {"r1": wav_bytes(16000), "r2": wav_bytes(3000), "r3": wav_bytes(9)[:50]}
    archive, lines = b"", {}
    for name, content in sounds.items():
        archive += f"{name} ".encode()
        lines[name] = f"{tmp_path}/wav.ark:{len(archive)}"
        archive += content
    (tmp_path / "wav.ark").write_bytes(archive)
    lines |= {
        "r4": f"{tmp_path}/wav.ark:1",
        "r5": f"{tmp_path}/no.ark:1",
        "r6": f"{data}/text:9999",
    }
    segments = {f"a-{i}": f"r{i} 0 0.1" for i in range(1, 7)}
    write(data, {"wav.scp": lines, "segments": segments, "utt2spk": dict.fromkeys(segments, "a")})
    (data / "text").write_bytes(table_text(dict.fromkeys(segments, "x")).encode())
    root, utterances, rejects = listed(data)
    for name, utterance in utterances.items():
        assert (root / str(utterance.audio)).read_bytes() == sounds[name.replace("a-", "r")]
    assert rejects == {
        "a-3": "the archive ends within the WAV",
        "a-4": "no WAV begins at the offset",
        "a-5": "no such file",
        "a-6": "no WAV begins at the offset",
    }


def test_video_comes_along(data: Path, tmp_path: Path) -> None:
    (tmp_path / "sound" / "r1.mp4").write_bytes(b"video")
    write(data, {"video.scp": {"r1": f"{tmp_path}/sound/r1.mp4", "r2": f"{tmp_path}/gone.mp4"}})
    _, utterances, rejects = listed(data)
    assert (utterances["a-1"].video, utterances["a-1"].video_bytes) == ("r1.mp4", 5)
    assert (utterances["b-1"].video, rejects) == (None, {})


files = ("wav.scp", "utt2spk", "segments", "text", "utt2dur", "utt2id", "video.scp", "spk2id")
values = st.sampled_from(["a", "", "0 1", "a 0 1", "a 1 -1", "/a:1", "-"])
lines = st.lists(
    st.tuples(st.sampled_from("ab"), values)
    .map(lambda pair: " ".join(pair).encode() + b"\n")
    | st.binary(max_size=9),
    max_size=4,
).map(b"".join)  # fmt: skip


@given(st.dictionaries(st.sampled_from(files), lines | st.binary(max_size=40)))
@settings(deadline=None)
def test_any_directory_is_listed_or_the_projects_error(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any_directory"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in {"wav.scp": b"", "utt2spk": b"", **contents}.items():
        (folder / name).write_bytes(content)
    try:
        scan_kaldi(folder, folder / "work")
    except TrimodalError as error:
        assert str(folder) in str(error)


letters = st.characters(blacklist_categories=("C", "Z"))
tokens = st.text(
    letters | st.sampled_from("-/=+._%"),
    min_size=1, max_size=6,
).filter(
    lambda t: t.isprintable() and len(t.split()) == 1
    and not {"", ".", ".."} & set(t.split("/"))
)  # fmt: skip
times = st.floats(0, 0.4).map(lambda t: round(t, 5))


@st.composite
def directories(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """Tables of a data directory; recording i is ``i.wav``, half a second."""
    recordings = draw(st.lists(tokens, min_size=1, max_size=3, unique=True))
    is_cut = draw(st.booleans())
    names = draw(st.lists(tokens, min_size=1, max_size=5, unique=True)) if is_cut else recordings
    speakers = draw(st.lists(tokens, min_size=1, max_size=3))
    words = st.lists(tokens.filter(lambda t: "#0" not in t and "s>" not in t)).map(" ".join)
    tables = {
        "wav.scp": {name: f"{i}.wav" for i, name in enumerate(recordings)},
        "utt2spk": {name: draw(st.sampled_from(speakers)) for name in names},
    }
    if is_cut:
        tables["segments"] = {
            name: f"{draw(st.sampled_from(recordings))} {seconds_text(draw(times))} "
            f"{seconds_text(0.5 - draw(times) / 5)}"
            for name in names
        }
    if draw(st.booleans()):
        tables["text"] = {name: draw(words) for name in names}
    return tables


@given(directories())
@settings(max_examples=30, deadline=None)
def test_there_and_back_again(
    tmp_path_factory: pytest.TempPathFactory, tables: dict[str, dict[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "round"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.wav").write_bytes(wav_bytes(8000))
    write(folder / "one", tables)
    root, (first, rejects, _) = scan_kaldi(folder / "one", folder / "work", folder)
    assert not rejects
    cut = {"shard_size": 2, "seed": 0, "settings": {}}
    create(folder / "work", "kaldi", root, first, rejects, **cut)
    export_kaldi(folder / "work", folder / "two")
    _, (second, rejects, _) = scan_kaldi(folder / "two", folder / "work", folder)
    assert sorted(second, key=lambda u: u.id) == sorted(first, key=lambda u: u.id)
    assert not rejects


def test_voxceleb2_there_and_back_again(tiny_corpora: Path, tmp_path: Path) -> None:
    """Through pipes that are read, not run; what cannot be opened is left out on the way."""
    from pipelines.prepare_voxceleb2 import scan_voxceleb2

    root = tiny_corpora / "voxceleb2"
    utterances, rejects, _ = scan_voxceleb2(root)
    create(
        tmp_path / "w", "voxceleb2", root, utterances, rejects, shard_size=9, seed=0, settings={}
    )
    exported = export_kaldi(tmp_path / "w", tmp_path / "data")
    back, (found, rejects, _) = scan_kaldi(tmp_path / "data", tmp_path / "w2", root)
    assert back == root
    assert len(found) == exported.n_utterances == len(utterances) - sum(exported.left_out.values())
    wanted = {utterance.id: utterance for utterance in utterances}
    for utterance in found:
        assert utterance == wanted[utterance.id]


def test_decode_select_extract_go_on(tiny_corpora: Path, tmp_path: Path, trimodal) -> None:
    """The stages after it, on recordings that are cut; then out again, with words and features."""
    corpus = tiny_corpora / "voxceleb2" / "dev" / "aac"
    sounds = sorted(corpus.rglob("*.m4a"))[:4]
    names = [f"{path.parts[-3]}-{i}" for i, path in enumerate(sounds)]
    write(
        tmp_path / "data",
        {
            "wav.scp": {f"r{i}": str(path) for i, path in enumerate(sounds)},
            "segments": {name: f"r{i} 0.01 3.0" for i, name in enumerate(names)},
            "utt2spk": {name: name.partition("-")[0] for name in names},
        },
    )
    work = tmp_path / "work"
    for words in (
        ("prepare", "kaldi", tmp_path / "data", work, "--preset", "demo"),
        ("decode", work, "--model", "demo", "--jobs", 1),
        ("select", work, "--keep-fraction", 0.5),
        ("extract", work, "audio", "--jobs", 1),
        ("export", "kaldi", work, tmp_path / "out", "--jobs", 1),
    ):
        result = trimodal(*words)
        assert result.exit_code == 0, result.output
    kept = {
        u.id for k in range(Workspace(work).n_shards) for u in Workspace(work).selected_shard(k)
    }
    out = {line.split()[0]: line.split()[1:] for line in (tmp_path / "out" / "text").open()}
    assert out.keys() == kept and len(kept) == 2
    assert all(out.values())
    assert (tmp_path / "out" / "feats.scp").read_text().count("\n") == 2
    assert os.listdir(tmp_path / "out" / "conf") == ["fbank.conf"]
