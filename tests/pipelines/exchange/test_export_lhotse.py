"""Export to lhotse, read back with lhotse itself."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet
from lhotse.features.io import close_cached_file_handles
from lhotse.qa import validate

from featurize.errors import StaleError, UsageError
from pipelines.exchange.export_lhotse import CUTS, export_lhotse
from pipelines.mosei_labels import SCORES


@pytest.fixture(autouse=True)
def _no_open_files():
    yield
    close_cached_file_handles()  # lhotse keeps them by path


def write_sound(work: Path) -> np.ndarray:
    """Half of the corpus's recordings: 8 s at 8 kHz, to be resampled to the features' 16 kHz."""
    sound = np.sin(np.arange(8 * 8000) / 20).astype(np.float32) / 2
    path = work / "corpus" / "sound" / "0.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, sound, 8000, subtype="FLOAT")
    return sound


def test_lhotse_reads_the_same_arrays_ids_and_text(
    exchanged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_lhotse(exchanged.work, tmp_path / "out")
    monkeypatch.chdir(tmp_path)  # the manifest has to work from anywhere
    cuts = CutSet.from_file(tmp_path / "out" / CUTS).to_eager()
    validate(cuts)
    heard = {i: arrays for i, arrays in exchanged.arrays.items() if "audio" in arrays}
    assert {cut.id for cut in cuts} == heard.keys()
    assert (exported.n_utterances, exported.n_left_out) == (len(cuts), 12 - len(cuts)) == (10, 2)
    for cut in cuts:
        arrays, utterance = heard[cut.id], exchanged.utterances[cut.id]
        audio = arrays["audio"]["features"]
        found = cut.load_features()
        assert found.dtype == audio.dtype
        np.testing.assert_array_equal(found, audio)
        assert (cut.num_frames, cut.num_features, cut.frame_shift) == (*audio.shape, 0.01)
        assert cut.duration == pytest.approx(len(audio) * 0.01, abs=1e-9)
        assert cut.start == utterance.start_s
        customs = {
            f"{modality}_{field}": array
            for modality in ("video", "text")
            for field, array in arrays.get(modality, {}).items()
        }
        assert (cut.custom or {}).keys() == customs.keys()
        for name, array in customs.items():
            found = cut.load_custom(name)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)
        (said,) = cut.supervisions
        assert said.text == exchanged.transcripts[cut.id]
        assert (said.speaker, said.fold, said.raw_text) == (
            utterance.speaker, utterance.fold, utterance.text,
        )  # fmt: skip
        assert [said.labels[name] for name in SCORES] == list(utterance.labels)
        assert (said.start, said.duration) == (0, cut.duration)


def test_a_part_of_a_cut_is_the_rows_of_that_time(exchanged, tmp_path: Path) -> None:
    export_lhotse(exchanged.work, tmp_path)
    for cut in CutSet.from_file(tmp_path / CUTS):
        if cut.num_frames >= 8:
            part = cut.truncate(offset=0.03, duration=0.04)
            expected = exchanged.arrays[cut.id]["audio"]["features"][3:7]
            np.testing.assert_array_equal(part.load_features(), expected)


def test_recordings_that_are_there_are_referenced(make_exchanged, tmp_path: Path) -> None:
    work = make_exchanged(tmp_path / "work").work
    sound = write_sound(work)
    export_lhotse(work, tmp_path / "out")
    cuts = CutSet.from_file(tmp_path / "out" / CUTS).to_eager()
    validate(cuts)
    n_heard = 0
    for cut in cuts:
        assert cut.has_recording == cut.recording_id.endswith("0.wav")
        if cut.has_recording:
            assert cut.recording.duration == 8 and cut.sampling_rate == 16000
            samples = cut.load_audio()[0]
            assert len(samples) == round(cut.duration * 16000)
            start = round(cut.start * 8000)
            middle = slice(20, len(samples) // 2 - 20)  # resampling blurs the edges
            expected = sound[start : start + len(samples) // 2][middle]
            if len(expected):
                assert np.abs(samples[::2][middle] - expected).max() < 0.02
                n_heard += 1
    assert n_heard > 1


def test_same_features_same_manifest_and_what_is_done_is_left(exchanged, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_lhotse(exchanged.work, out)
    close_cached_file_handles()
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "shard-00001.h5").write_bytes(b"damaged")
    again = export_lhotse(exchanged.work, out)
    assert again.n_resumed == 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert len(gzip.decompress(before[CUTS]).splitlines()) == 10


def test_a_moved_export_says_so(exchanged, tmp_path: Path) -> None:
    export_lhotse(exchanged.work, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    with pytest.raises(StaleError, match="--redo"):
        export_lhotse(exchanged.work, tmp_path / "elsewhere")
    export_lhotse(exchanged.work, tmp_path / "elsewhere", redo=True)
    cut = next(iter(CutSet.from_file(tmp_path / "elsewhere" / CUTS)))
    assert cut.load_features().shape == (cut.num_frames, 40)


@pytest.mark.parametrize("hop_s", [0.01, 1 / 30, 0.0125])
def test_shifts_of_imported_audio(hop_s: float, make_exchanged, tmp_path: Path) -> None:
    made = make_exchanged(tmp_path / "work", audio={"hop_s": round(hop_s, 6)})
    export_lhotse(made.work, tmp_path / "out")
    for cut in CutSet.from_file(tmp_path / "out" / CUTS):
        expected = made.arrays[cut.id]["audio"]["features"]
        np.testing.assert_array_equal(cut.load_features(), expected)


def test_audio_without_a_constant_shift_is_refused(make_exchanged, tmp_path: Path) -> None:
    work = make_exchanged(tmp_path / "work", audio={"hop_s": None}).work
    with pytest.raises(UsageError, match="no constant shift"):
        export_lhotse(work, tmp_path / "out")
    assert not (tmp_path / "out" / CUTS).exists()
