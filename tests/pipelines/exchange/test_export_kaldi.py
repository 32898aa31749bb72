"""Export to Kaldi, read back by lhotse, by hand and, where it is installed, by Kaldi itself."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from kaldiio import load_mat
from lhotse.kaldi import load_kaldi_data_dir

from featurize.errors import CorpusError, MediaError, StaleError, UsageError
from featurize.media import read_audio
from pipelines.exchange import kaldi_sound
from pipelines.exchange.export_kaldi import export_kaldi
from pipelines.manifest import Utterance
from pipelines.workspace import Workspace, create

KALDI_ROOT = os.environ.get("KALDI_ROOT")
needs_kaldi = pytest.mark.skipif(not KALDI_ROOT, reason="no Kaldi: KALDI_ROOT is not set")
RATE = 16000


class Made(NamedTuple):
    work: Path
    data: Path
    media: Path


def write_wav(path: Path, seconds: float, rate: int = RATE, n_channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(len(str(path)))
    samples = rng.integers(-9000, 9000, (round(seconds * rate), n_channels)).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setparams((n_channels, 2, rate, 0, "NONE", ""))
        sound.writeframes(samples.tobytes())
    return samples


def write_media(work: Path) -> None:
    """The two recordings of ``exchanged``: as Kaldi reads them, and not."""
    write_wav(work / "corpus" / "sound" / "0.wav", 7.0)
    write_wav(work / "corpus" / "sound" / "1.wav", 7.0, rate=8000)


@pytest.fixture
def made(make_exchanged, tmp_path: Path) -> Made:
    """A transcribed workspace of cut utterances with features, exported with its sound as WAV."""
    exchanged = make_exchanged(tmp_path / "work")
    write_media(exchanged.work)
    export_kaldi(exchanged.work, tmp_path / "data", wav=True)
    return Made(exchanged.work, tmp_path / "data", exchanged.work / "corpus")


def table(path: Path) -> dict[str, str]:
    rows = [line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    return {key: value for key, _, value in rows}


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_features_are_the_shards_bit_for_bit(made: Made, exchanged) -> None:
    names = table(made.data / "utt2id")
    lines = table(made.data / "feats.scp")
    assert not any("|" in line for line in lines.values())
    assert lines.keys() == names.keys() == table(made.data / "utt2spk").keys()
    for name, line in lines.items():
        wanted = exchanged.arrays[names[name]]["audio"]["features"].astype(np.float32)
        found = load_mat(line)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)
        assert table(made.data / "utt2num_frames")[name] == str(len(wanted))
    assert (made.data / "frame_shift").read_text() == "0.01\n"
    assert len(lines) == 10  # two have no audio features
    assert (made.data / "left_out").read_text().count("\tno audio features\n") == 2


def test_cuts_speakers_and_words(made: Made, exchanged) -> None:
    names = table(made.data / "utt2id")
    speakers, texts = table(made.data / "spk2id"), table(made.data / "text")
    for name, line in table(made.data / "segments").items():
        utterance = exchanged.utterances[names[name]]
        recording, start, end = line.split()
        assert (float(start), float(end)) == (utterance.start_s, utterance.end_s)
        assert speakers[table(made.data / "utt2spk")[name]] == utterance.speaker
        assert texts[name] == utterance.text
        wav = table(made.data / "wav.scp")[recording]
        is_kaldis = str(utterance.audio) == "sound/0.wav"
        assert wav == (str(made.media / "sound/0.wav") if is_kaldis else wav)
        heard = read_audio(wav, start_s=utterance.start_s, end_s=utterance.end_s)
        wanted = read_audio(
            made.media / str(utterance.audio), start_s=utterance.start_s, end_s=utterance.end_s
        )
        np.testing.assert_allclose(heard, wanted, atol=0.5001 / 32768)
        assert float(table(made.data / "utt2dur")[name]) == pytest.approx(len(wanted) / RATE)
    for path in made.data.iterdir():
        if path.is_file() and path.suffix not in (".json", ".ark") and path.name != "left_out":
            assert b"\r" not in path.read_bytes() and path.read_bytes().endswith(b"\n")


def test_lhotse_reads_it(made: Made, exchanged) -> None:
    recordings, supervisions, _ = load_kaldi_data_dir(made.data, RATE)
    assert supervisions is not None
    names = table(made.data / "utt2id")
    for supervision in supervisions:
        utterance = exchanged.utterances[names[supervision.id]]
        assert utterance.end_s is not None
        assert supervision.duration == pytest.approx(utterance.end_s - utterance.start_s)
        assert (supervision.start, supervision.text) == (utterance.start_s, utterance.text)
        assert recordings[supervision.recording_id].load_audio().shape == (1, 7 * RATE)
    assert len(supervisions) == 10


@needs_kaldi
@pytest.mark.parametrize("cut", [True, False])
def test_kaldi_accepts_it(made: Made, tmp_path: Path, cut: bool) -> None:
    if not cut:
        whole(tmp_path / "whole", n=5)
        export_kaldi(tmp_path / "whole", tmp_path / "data2")
    data = tmp_path / ("data" if cut else "data2")
    options = [] if cut else ["--no-feats", "--no-text"]
    if not _can_tell_letters():
        options.append("--non-print")
    for command in (["validate_data_dir.sh", *options], ["fix_data_dir.sh"]):
        done = subprocess.run(
            [f"utils/{command[0]}", *command[1:], str(data)], cwd=f"{KALDI_ROOT}/egs/wsj/s5",
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for path in (data / ".backup").iterdir():  # what it was before
        assert path.read_bytes() == (data / path.name).read_bytes()


def _can_tell_letters() -> bool:
    """Whether the locale that the script asks for is here; else no letter but a to z is one."""
    found = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=True).stdout
    return any(name in found.split() for name in ("C.UTF-8", "en_US.utf8"))


def program(name: str) -> str:
    """A program of Kaldi's; skips without it."""
    folders = [Path(str(KALDI_ROOT)) / place for place in ("bin", "src/featbin", "src/bin")]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        pytest.skip(f"no {name} below KALDI_ROOT")
    return str(found)


def kaldi(name: str, *words: object) -> str:
    command = [program(name), *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_kaldi
def test_kaldis_programs_read_sound_and_features(made: Made, exchanged, tmp_path: Path) -> None:
    wav, segments = made.data / "wav.scp", made.data / "segments"
    lengths = kaldi("feat-to-len", f"scp:{made.data / 'feats.scp'}", "ark,t:-").split()
    assert lengths == (made.data / "utt2num_frames").read_text().split()
    copied = tmp_path / "copied"
    kaldi("copy-feats", f"scp:{made.data / 'feats.scp'}", f"ark,scp:{copied}.ark,{copied}.scp")
    names = table(made.data / "utt2id")
    for name, line in table(tmp_path / "copied.scp").items():
        wanted = exchanged.arrays[names[name]]["audio"]["features"].astype(np.float32)
        assert wanted.tobytes() == load_mat(line).tobytes()
    kaldi("extract-segments", f"scp:{wav}", segments, f"ark:{tmp_path / 'cut.ark'}")
    cut = f"ark:{tmp_path / 'cut.ark'}"
    durations = kaldi("wav-to-duration", "--read-entire-file=true", cut, "ark,t:-").splitlines()
    stated = table(made.data / "utt2dur")
    assert len(durations) == len(stated)
    for line in durations:
        name, seconds = line.split()
        assert float(seconds) == pytest.approx(float(stated[name]), abs=1.01 / RATE)


@needs_kaldi
def test_kaldi_computes_the_same_features_by_conf_fbank(trimodal, tmp_path: Path) -> None:
    work, data = tmp_path / "work", tmp_path / "data"
    whole(work, text="a")
    assert trimodal("extract", work, "audio", "--jobs", 1, "--encoding", "float32").exit_code == 0
    export_kaldi(work, data, wav=True)
    options = f"--config={data / 'conf' / 'fbank.conf'}"
    theirs = tmp_path / "theirs"
    kaldi(
        "compute-fbank-feats",
        options,
        f"scp:{data / 'wav.scp'}",
        f"ark,scp:{theirs}.ark,{theirs}.scp",
    )
    ours = table(data / "feats.scp")
    assert ours.keys() == table(tmp_path / "theirs.scp").keys()
    for name, line in table(tmp_path / "theirs.scp").items():
        if name != "s0-v-0":  # at 8 kHz: above 4 kHz there is but the rounding to 16 bits
            np.testing.assert_allclose(load_mat(ours[name]), load_mat(line), atol=0.001)


def whole(work: Path, n: int = 3, text: str | None = None) -> list[Utterance]:
    """A workspace of uncut utterances, one of them at another rate."""
    utterances = []
    for i in range(n):
        name = f"s{i % 2}/v/{i}"
        write_wav(work / "corpus" / f"{name}.wav", 0.5 + i, rate=8000 if i == 0 else RATE)
        file = f"{name}.wav"
        utterances.append(Utterance(name, f"s{i % 2}", audio=file, video=file, text=text))
    create(work, "voxceleb2", work / "corpus", utterances, [], shard_size=2, seed=0, settings={})
    return utterances


def test_a_pipe_is_the_default_and_plain_wav_is_named(tmp_path: Path) -> None:
    whole(tmp_path / "work")
    exported = export_kaldi(tmp_path / "work", tmp_path / "data")
    assert (exported.state, exported.n_utterances, exported.runs_ffmpeg) == ("made", 3, True)
    lines = table(tmp_path / "data" / "wav.scp")
    first = tmp_path / "work" / "corpus" / "s0" / "v"
    assert lines == {
        "s0-v-0": f"ffmpeg -v 8 -nostdin -i {first}/0.wav -vn -ac 1 -ar 16000 -f wav -acodec "
        "pcm_s16le - |",
        "s0-v-2": f"{first}/2.wav",
        "s1-v-1": f"{first.parents[1]}/s1/v/1.wav",
    }
    assert table(tmp_path / "data" / "utt2dur") == {
        "s0-v-0": "0.5",
        "s0-v-2": "2.5",
        "s1-v-1": "1.5",
    }
    for absent in ("segments", "text", "feats.scp", "frame_shift", "conf"):
        assert not (tmp_path / "data" / absent).exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on the PATH")
def test_the_pipe_gives_what_our_reader_gives(tiny_corpora: Path, tmp_path: Path) -> None:
    from pipelines.prepare_voxceleb2 import scan_voxceleb2

    root, work = tiny_corpora / "voxceleb2", tmp_path / "work"
    utterances, rejects, _ = scan_voxceleb2(root)
    create(work, "voxceleb2", root, utterances, rejects, shard_size=9, seed=0, settings={})
    export_kaldi(work, tmp_path / "data")
    durations = table(tmp_path / "data" / "utt2dur")
    audio = {u.id: u.audio for u in utterances}
    for name, utterance_id in table(tmp_path / "data" / "utt2id").items():
        command = table(tmp_path / "data" / "wav.scp")[name].removesuffix("|")
        out = subprocess.run(command, shell=True, capture_output=True, check=True).stdout
        heard = np.frombuffer(out[out.index(b"data") + 8 :], "<i2")
        ours = np.rint(read_audio(root / str(audio[utterance_id])) * 32768)[: len(heard)]
        assert np.abs(heard - ours).max() <= 1  # versions of FFmpeg round otherwise
        padding_s = 1024 / RATE  # of the last AAC frame, which FFmpeg 5.1 leaves
        assert len(heard) / RATE == pytest.approx(float(durations[name]), abs=padding_s)


def test_what_cannot_be_used_is_left_out_and_told(tmp_path: Path) -> None:
    work = tmp_path / "work"
    utterances = whole(work)
    (work / "corpus" / "s0" / "v" / "0.wav").write_bytes(b"no sound")
    (work / "corpus" / "s1" / "v" / "1.wav").unlink()
    silent = Utterance("s2/v/9", "s2", audio=None, video="9.mp4")
    create(
        work, "voxceleb2", work / "corpus", [*utterances, silent], [], shard_size=2, seed=0,
        settings={}, redo=True,
    )  # fmt: skip
    exported = export_kaldi(work, tmp_path / "data")
    assert exported.n_utterances == 1
    assert sum(exported.left_out.values()) == 3
    left_out = dict(
        line.split("\t") for line in (tmp_path / "data" / "left_out").read_text().splitlines()
    )
    assert left_out["s2/v/9"] == "no audio file"
    assert "no such regular file" in left_out["s1/v/1"]
    assert "cannot be opened as media" in left_out["s0/v/0"]
    (work / "corpus" / "s0" / "v" / "2.wav").unlink()
    with pytest.raises(CorpusError, match="nothing can be exported"):
        export_kaldi(work, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_again_says_unchanged_and_other_input_is_stale(made: Made) -> None:
    before = tree(made.data)
    assert export_kaldi(made.work, made.data, wav=True).state == "unchanged"
    with pytest.raises(StaleError, match="--redo"):
        export_kaldi(made.work, made.data, wav=False)
    (made.data / "text").write_text("changed\n")
    with pytest.raises(StaleError, match="changed since"):
        export_kaldi(made.work, made.data, wav=True)
    assert export_kaldi(made.work, made.data, wav=True, redo=True).state == "made"
    assert tree(made.data) == before
    assert {path.name for path in made.data.parent.iterdir()} == {"work", "data"}


def test_another_folder_is_left_alone(made: Made, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "wav.scp").write_text("a b\n")
    with pytest.raises(UsageError, match="not exported by trimodal"):
        export_kaldi(made.work, tmp_path / "mine", redo=True)
    with pytest.raises(UsageError, match="no such path"):
        export_kaldi(made.work, tmp_path / "a b")
    with pytest.raises(UsageError, match="is a file"):
        export_kaldi(made.work, tmp_path / "mine" / "wav.scp")
    assert (tmp_path / "mine" / "wav.scp").read_text() == "a b\n"


def test_features_that_are_not_complete(made: Made, tmp_path: Path) -> None:
    Workspace(made.work).feature_path(1, "audio").unlink()
    with pytest.raises(UsageError, match="1 of 3 audio shards"):
        export_kaldi(made.work, tmp_path / "other")


def is_killed(work: Path, out: Path, n: int) -> bool:
    """Exports in a child that is killed at rename ``n``; False when it made fewer of them."""
    child = os.fork()
    if child == 0:
        _die_at_rename(n)
        try:
            export_kaldi(work, out, wav=True)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def _die_at_rename(n: int) -> None:
    left = iter(range(n))

    def dying(real):
        def rename(*paths) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*paths)

        return rename

    os.replace, os.rename = dying(os.replace), dying(os.rename)  # this child lives for one export


def test_killed_at_every_step_it_ends_the_same(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kaldi_sound, "PER_BLOCK", 1)
    shutil.rmtree(made.data)
    export_kaldi(made.work, made.data, wav=True)
    wanted = tree(made.data)
    shutil.rmtree(made.data)
    n = 0
    while is_killed(made.work, made.data, n):
        assert not made.data.exists()
        export_kaldi(made.work, made.data, wav=True)
        assert tree(made.data) == wanted
        assert {path.name for path in made.data.parent.iterdir()} == {"work", "data"}
        shutil.rmtree(made.data)
        n += 1 if n < 8 else 5  # what follows are tables, all alike
    assert n > 20
    assert tree(made.data) == wanted


def test_a_full_disk_is_no_fault_of_an_utterance(made: Made, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a WAV has 224,044 bytes
        try:
            export_kaldi(made.work, tmp_path / "full", wav=True)
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EFBIG
    assert not (tmp_path / "full").exists()


def test_the_command(trimodal, made: Made, tmp_path: Path) -> None:
    result = trimodal("export", "kaldi", made.work, tmp_path / "d", "--wav", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "10 utterances (all, with transcripts, and features); made" in result.output
    assert "2 left out: no audio features" in result.output


def test_a_wav_that_lies_about_its_length_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    write_wav(path, 2.0)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(path)
    block = kaldi_sound.Block(
        0, [("cut", "cut.wav")], tmp_path, tmp_path / "f", tmp_path, is_wav=True
    )
    (tmp_path / "f").mkdir()
    assert "truncated" in str(kaldi_sound.look_at(block)[0].problem)
