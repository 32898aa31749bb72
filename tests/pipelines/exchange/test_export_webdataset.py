"""Export to WebDataset, read back with webdataset itself."""

import json
import re
import shutil
import tarfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext, tar_file_iterator

from featurize.errors import StaleError
from pipelines.exchange.export_webdataset import export_webdataset, safe_key
from pipelines.mosei_labels import SCORES

NAMES = {"features": "{}.npy", "times_s": "{}_times.npy"}
SKIPPED = re.compile(r"__[^/]*__($|/)")  # webdataset's default skip_meta


def samples(out: Path) -> dict[str, dict]:
    tars = [str(path) for path in sorted(out.glob("*.tar"))]
    dataset = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode()
    found = list(dataset)
    assert len({sample["json"]["id"] for sample in found}) == len(found)
    return {sample["json"]["id"]: sample for sample in found}


def test_webdataset_reads_the_same_arrays_ids_and_text(exchanged, tmp_path: Path) -> None:
    exported = export_webdataset(exchanged.work, tmp_path)
    assert (exported.n_shards, exported.n_utterances, exported.n_left_out) == (3, 11, 1)
    found = samples(tmp_path)
    assert found.keys() == {i for i, arrays in exchanged.arrays.items() if arrays}
    for utterance_id, sample in found.items():
        members = {
            NAMES[field].format(modality): array
            for modality, arrays in exchanged.arrays[utterance_id].items()
            for field, array in arrays.items()
        }
        assert {k for k in sample if not k.startswith("__")} == {*members, "json"}
        assert sample["__key__"] == safe_key(utterance_id)
        for name, array in members.items():
            assert sample[name].dtype == array.dtype
            np.testing.assert_array_equal(sample[name], array)
        utterance, facts = exchanged.utterances[utterance_id], sample["json"]
        assert facts["transcript"] == exchanged.transcripts[utterance_id]
        assert facts["text"] == utterance.text
        assert (facts["speaker"], facts["fold"]) == (utterance.speaker, utterance.fold)
        assert [facts["labels"][name] for name in SCORES] == list(utterance.labels)


parts = st.text(
    st.characters(exclude_characters="/", exclude_categories=["C", "Z"]), min_size=1, max_size=6
).filter(lambda part: part not in (".", ".."))
ids = st.lists(st.one_of(parts, st.sampled_from(["__a__", "a.b", "%2E"])), min_size=1).map("/".join)


@given(ids)
def test_any_id_is_one_key_of_webdataset(utterance_id: str) -> None:
    key = safe_key(utterance_id)
    assert unquote(key) == utterance_id
    assert base_plus_ext(f"{key}.video_times.npy") == (key, "video_times.npy")
    assert f"{key}.npy".split(".", 1) == [key, "npy"]  # as other readers split
    assert not SKIPPED.match(f"{key}.npy")


def test_nothing_is_skipped_as_metadata(exchanged, tmp_path: Path) -> None:
    export_webdataset(exchanged.work, tmp_path)
    for path in tmp_path.glob("*.tar"):
        with path.open("rb") as file, tarfile.open(path) as tar:
            assert len(list(tar_file_iterator(file))) == len(tar.getnames())


def test_same_features_same_bytes_and_what_is_done_is_left(exchanged, tmp_path: Path) -> None:
    export_webdataset(exchanged.work, tmp_path / "a")
    export_webdataset(exchanged.work, tmp_path / "b")
    before = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    (tmp_path / "a" / "shard-00001.tar").write_bytes(b"damaged")
    (tmp_path / "a" / "shard-00002.tar").unlink()
    stamp = (tmp_path / "a" / "shard-00000.tar").stat().st_mtime_ns
    again = export_webdataset(exchanged.work, tmp_path / "a")
    assert again.n_resumed == 1 and again.n_utterances == 11
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == before
    assert (tmp_path / "a" / "shard-00000.tar").stat().st_mtime_ns == stamp


def test_other_features_want_redo(make_exchanged, tmp_path: Path, trimodal) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    make_exchanged(work)
    assert trimodal("export", "webdataset", work, out).exit_code == 0
    shutil.rmtree(work)
    other = make_exchanged(work, seed=1, audio={"hop_s": 0.02, "sample_rate_hz": 16000})
    with pytest.raises(StaleError, match="shard-00000 was exported from other features"):
        export_webdataset(work, out)
    result = trimodal("export", "webdataset", work, out, "--redo")
    assert result.exit_code == 0, result.output
    assert "export webdataset: 11 utterances in 3 shards; 1 left out: " in result.stdout
    for utterance_id, sample in samples(out).items():
        if "audio" in other.arrays[utterance_id]:
            expected = other.arrays[utterance_id]["audio"]["features"]
            np.testing.assert_array_equal(sample["audio.npy"], expected)
    assert json.loads((out / "export.json").read_text())["settings"]["audio"]["hop_s"] == 0.02
