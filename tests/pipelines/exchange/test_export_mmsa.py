"""Export to MMSA, read back with MMSA's own loader where it is installed."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import StaleError, UsageError
from pipelines.exchange.export_mmsa import FOLDS, PaddedRows, export_mmsa

THEIR_NAMES = {"audio": "audio", "video": "vision", "text": "text"}
LONG = PaddedRows(audio=50, video=50, text=50)  # longer than any: nothing is cut


class _PlainArraysOnly(pickle.Unpickler):
    """Reads our own file; fails on anything but NumPy arrays and built-in values."""

    def find_class(self, module: str, name: str) -> object:
        assert module.startswith("numpy") and name in {"_reconstruct", "ndarray", "dtype"}
        return super().find_class(module, name)


def read(path: Path) -> dict:
    return _PlainArraysOnly(io.BytesIO(path.read_bytes())).load()


def check(fold: str, data: dict, exchanged) -> None:
    """One fold of the documented format against what was written to the shards."""
    expected = {
        i: arrays
        for i, arrays in exchanged.arrays.items()
        if FOLDS[exchanged.utterances[i].fold] == fold and arrays
    }
    assert set(data["id"]) == expected.keys() and len(data["id"]) == len(expected)
    for place, utterance_id in enumerate(data["id"]):
        utterance = exchanged.utterances[utterance_id]
        assert data["raw_text"][place] == utterance.text
        assert data["regression_labels"][place] == np.float32(utterance.labels[0])
        for modality, name in THEIR_NAMES.items():
            rows = data[name][place]
            there = expected[utterance_id].get(modality, {"features": rows[:0]})["features"]
            np.testing.assert_array_equal(rows[: len(there)], there)
            assert not rows[len(there) :].any()
            if modality != "text":
                assert data[f"{name}_lengths"][place] == max(1, len(there))


def test_the_file_is_plain_arrays_of_the_documented_shape(exchanged, tmp_path: Path) -> None:
    export_mmsa(exchanged.work, tmp_path / "out.pkl", padded=LONG)
    content = read(tmp_path / "out.pkl")
    assert content.keys() == {"train", "valid", "test"}
    for fold, data in content.items():
        check(fold, data, exchanged)
        n = len(data["id"])
        assert data["audio"].shape == (n, 50, 40) and data["audio"].dtype == np.float16
        assert (data["vision"].shape, data["text"].shape) == ((n, 50, 12), (n, 50, 8))
        emotions = [exchanged.utterances[i].labels[1:] for i in data["id"]]
        np.testing.assert_array_equal(data["emotion_labels"], np.array(emotions, np.float32))


@pytest.mark.parametrize("is_aligned", [False, True])
def test_mmsa_reads_the_same(exchanged, tmp_path: Path, is_aligned: bool) -> None:
    loader = pytest.importorskip("MMSA.data_loader", reason="MMSA is not installed")
    out = tmp_path / "out.pkl"
    export_mmsa(exchanged.work, out, padded=LONG)
    arguments = {
        "dataset_name": "mosei", "custom_feature": str(out), "feature_T": "", "feature_A": "",
        "feature_V": "", "need_data_aligned": is_aligned, "feature_dims": [0, 0, 0],
        "seq_lens": [0, 0, 0], "train_mode": "regression", "batch_size": 2,
    }  # fmt: skip
    loaders = loader.MMDataLoader(arguments, num_workers=0)
    assert arguments["feature_dims"] == [8, 40, 12]  # text, audio, vision
    assert arguments["seq_lens"] == (50, 50, 50)
    for fold, batches in loaders.items():
        data: dict = {name: [] for name in ("id", "raw_text", "regression_labels")}
        data |= {name: [] for name in THEIR_NAMES.values()}
        data |= {f"{name}_lengths": [] for name in ("audio", "vision")}
        for batch in batches:
            data["regression_labels"] += batch["labels"]["M"][:, 0].tolist()
            for name in data.keys() & batch.keys():
                values = batch[name]
                data[name] += values if isinstance(values, list) else list(values.numpy())
        if is_aligned:  # it then leaves the lengths alone
            assert not data["audio_lengths"]
            stored = read(out)[fold]
            for name in ("audio", "vision"):
                by_id = dict(zip(stored["id"], stored[f"{name}_lengths"], strict=True))
                data[f"{name}_lengths"] = [by_id[i] for i in data["id"]]
        check(fold, data, exchanged)


def test_the_usual_padding_is_mean_plus_three_deviations(exchanged, tmp_path: Path) -> None:
    summary = export_mmsa(exchanged.work, tmp_path / "out.pkl")
    for modality, name in THEIR_NAMES.items():
        lengths = [len(a[modality]["features"]) for a in exchanged.arrays.values() if modality in a]
        usual = int(np.mean(lengths) + 3 * np.std(lengths))
        assert summary.rows[modality] == min(max(lengths), usual)
        assert read(tmp_path / "out.pkl")["train"][name].shape[1] == summary.rows[modality]


def test_what_is_cut_is_counted(exchanged, tmp_path: Path, trimodal) -> None:
    out = tmp_path / "out.pkl"
    result = trimodal("export", "mmsa", exchanged.work, out, "--audio-rows", 2)
    assert result.exit_code == 0, result.output
    frames = [len(a["audio"]["features"]) for a in exchanged.arrays.values() if "audio" in a]
    n_cut = sum(n > 2 for n in frames)
    assert f"{n_cut} of them cut to 2 rows of audio" in result.stdout
    assert "1 left out" in result.stdout and f"made: {out}" in result.stdout
    assert max(max(fold["audio_lengths"]) for fold in read(out).values()) == 2


def test_same_features_same_bytes_and_another_setting_is_stale(exchanged, tmp_path: Path) -> None:
    out = tmp_path / "out.pkl"
    assert export_mmsa(exchanged.work, out).status == "made"
    before = out.read_bytes()
    assert export_mmsa(exchanged.work, out).status == "already there"
    with pytest.raises(StaleError, match="--redo"):
        export_mmsa(exchanged.work, out, padded=LONG)
    export_mmsa(exchanged.work, out, padded=LONG, redo=True)
    assert export_mmsa(exchanged.work, out, redo=True).status == "made"
    assert out.read_bytes() == before


def test_a_corpus_without_labels_or_a_modality_is_refused(make_exchanged, tmp_path: Path) -> None:
    work = make_exchanged(tmp_path / "work").work
    for path in (work / "features").glob("*.text.h5"):
        path.unlink()
    with pytest.raises(UsageError, match="no text features; .*trimodal extract"):
        export_mmsa(work, tmp_path / "out.pkl")
    unlabelled = make_exchanged(tmp_path / "unlabelled", is_labelled=False).work
    with pytest.raises(UsageError, match="no utterance with labels in fold train"):
        export_mmsa(unlabelled, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
