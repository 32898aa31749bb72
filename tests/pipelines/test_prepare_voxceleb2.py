"""VoxCeleb2's importer on trees of small files made for the purpose."""

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import CorpusError, UsageError
from pipelines.manifest import Reject, Utterance
from pipelines.prepare_voxceleb2 import scan_voxceleb2

META = (
    "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
    "id00012 ,n000012 ,m ,dev \n"
    "id00017 ,n000017 ,m ,test \n"
)


def put(root: Path, relative: str, content: bytes = b"x") -> None:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def both(root: Path, prefix: str, key: str) -> None:
    put(root, f"{prefix}mp4/{key}.mp4")
    put(root, f"{prefix}aac/{key}.m4a")


@pytest.mark.parametrize("prefix", ["dev/", ""])
def test_both_unpackings_give_the_same_utterance(tmp_path: Path, prefix: str) -> None:
    both(tmp_path, prefix, "id00012/21Uxsk56VDQ/00001")
    utterances, rejects, audit = scan_voxceleb2(tmp_path)
    key = "id00012/21Uxsk56VDQ/00001"
    audio, video = f"{prefix}aac/{key}.m4a", f"{prefix}mp4/{key}.mp4"
    sizes = {"audio_bytes": 1, "video_bytes": 1}
    assert utterances == [Utterance(id=key, speaker="id00012", audio=audio, video=video, **sizes)]
    assert rejects == []
    assert (audit["speakers"], audit["videos"], audit["utterances"]) == (1, 1, 1)
    assert audit["hours"] is None


def test_root_may_be_the_split_folder_itself(tmp_path: Path) -> None:
    both(tmp_path, "dev/", "id1/v/00001")
    utterances, _, _ = scan_voxceleb2(tmp_path / "dev")
    assert utterances[0].audio == "aac/id1/v/00001.m4a"


def test_split_chooses_the_folder(tmp_path: Path) -> None:
    both(tmp_path, "dev/", "id1/v/00001")
    both(tmp_path, "test/", "id2/v/00001")
    assert [u.speaker for u in scan_voxceleb2(tmp_path, "test")[0]] == ["id2"]


def test_stems_that_repeat_across_folders_stay_apart(tmp_path: Path) -> None:
    keys = [f"{s}/{v}/{n}" for s, v, n in itertools.product("ab", "xy", ("00001", "00002"))]
    for key in keys:
        both(tmp_path, "dev/", key)
    assert [u.id for u in scan_voxceleb2(tmp_path)[0]] == keys


FILE = st.sampled_from([None, b"", b"x"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FILE, FILE), min_size=1, max_size=8))
def test_every_pair_of_files_is_listed_or_rejected(pairs: list) -> None:
    """Against the rule said in words: m4a before mp4 for sound, an empty file is none."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dev/mp4").mkdir(parents=True)
        for i, (mp4, m4a) in enumerate(pairs):
            if mp4 is not None:
                put(root, f"dev/mp4/id1/v/{i:05d}.mp4", mp4)
            if m4a is not None:
                put(root, f"dev/aac/id1/v/{i:05d}.m4a", m4a)
        if all(pair == (None, None) for pair in pairs):
            with pytest.raises(CorpusError, match="no utterance of the split 'dev'"):
                scan_voxceleb2(root)
            return
        utterances, rejects, audit = scan_voxceleb2(root)
    want, empty = [], []
    for i, (mp4, m4a) in enumerate(pairs):
        key = f"id1/v/{i:05d}"
        if mp4 or m4a:
            audio = f"dev/aac/{key}.m4a" if m4a else f"dev/mp4/{key}.mp4"
            sizes = {"audio_bytes": len(m4a or mp4), "video_bytes": len(mp4) if mp4 else None}
            video = f"dev/mp4/{key}.mp4" if mp4 else None
            want.append(Utterance(key, "id1", audio, video, **sizes))
        elif (mp4, m4a) != (None, None):
            empty.append(Reject(key, "prepare", "empty file (0 bytes)"))
    assert (utterances, rejects) == (want, empty)
    assert audit["audio_from_m4a"] + audit["audio_from_mp4"] == len(want)


def test_ids_are_sorted_as_strings(tmp_path: Path) -> None:
    """``a-b/...`` sorts before ``a/...`` although the folder ``a`` sorts before ``a-b``."""
    for speaker in ("a", "a-b", "a0"):
        both(tmp_path, "dev/", f"{speaker}/v/00001")
    ids = [u.id for u in scan_voxceleb2(tmp_path)[0]]
    assert ids == sorted(ids) == ["a-b/v/00001", "a/v/00001", "a0/v/00001"]


@pytest.mark.parametrize(
    "meta",
    [
        META,
        "VoxCeleb2ID,VGGFace2ID,Gender,Set\nid00012,n000012,m,dev\nid00017,n000017,m,test\n",
        "\ufeffid\tName\tSet\nid00012\tA\tdev\n\nid00017\tB\ttest\n",
    ],
)
def test_the_meta_table_chooses_the_set_of_a_mixed_folder(tmp_path: Path, meta: str) -> None:
    for speaker in ("id00012", "id00017", "id99999"):
        both(tmp_path, "", f"{speaker}/v/00001")
    put(tmp_path, "vox2_meta.csv", meta.encode())
    utterances, _, audit = scan_voxceleb2(tmp_path)
    assert [u.speaker for u in utterances] == ["id00012", "id99999"]
    assert (audit["speakers_of_other_split"], audit["speakers_not_in_meta"]) == (1, 1)
    assert [u.speaker for u in scan_voxceleb2(tmp_path, "test")[0]] == ["id00017", "id99999"]


def test_a_meta_table_without_its_columns_is_said(tmp_path: Path) -> None:
    both(tmp_path, "dev/", "id1/v/00001")
    put(tmp_path, "vox2_meta.csv", b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CorpusError, match="VoxCeleb2 ID"):
        scan_voxceleb2(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        scan_voxceleb2(tmp_path, meta=tmp_path / "none.csv")


def test_what_was_looked_for_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        scan_voxceleb2(tmp_path / "missing")
    with pytest.raises(CorpusError, match="dev/mp4, dev/aac, mp4, aac"):
        scan_voxceleb2(tmp_path)
    (tmp_path / "dev/aac/id1").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"dev/aac/SPEAKER/VIDEO/\*\.m4a$"):
        scan_voxceleb2(tmp_path)
    with pytest.raises(UsageError, match="dev, test"):
        scan_voxceleb2(tmp_path, split="train")


def test_links_are_followed_inside_the_corpus_only(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    both(root, "dev/", "id1/v/00001")
    put(tmp_path, "secret.mp4")
    folder = root / "dev/mp4/id1/v"
    (folder / "00002.mp4").symlink_to("00001.mp4")
    (folder / "00003.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "00004.mp4").symlink_to("nowhere.mp4")
    utterances, rejects, _ = scan_voxceleb2(root)
    assert [u.id for u in utterances] == ["id1/v/00001", "id1/v/00002"]
    assert [r.id for r in rejects] == ["id1/v/00003", "id1/v/00004"]
    assert all("link" in r.reason for r in rejects)


def test_a_speaker_folder_that_links_out_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    both(root, "dev/", "id1/v/00001")
    both(tmp_path, "elsewhere/", "id2/v/00001")
    (root / "dev/mp4/id2").symlink_to(tmp_path / "elsewhere/mp4/id2")
    with pytest.raises(CorpusError, match="out of the corpus folder"):
        scan_voxceleb2(root)


def test_names_that_cannot_be_ids_are_rejected_readably(tmp_path: Path) -> None:
    both(tmp_path, "dev/", "id1/v/00001")
    put(tmp_path, "dev/mp4/id1/v/a\nb.mp4")
    with open(os.fsencode(tmp_path) + b"/dev/mp4/id1/v/\xff.mp4", "wb") as file:
        file.write(b"x")
    utterances, rejects, _ = scan_voxceleb2(tmp_path)
    assert len(utterances) == 1
    assert [r.id.encode() for r in rejects] == [b"id1/v/a\nb", b"id1/v/\\udcff"]


def test_other_files_and_hidden_ones_are_left_alone(tmp_path: Path) -> None:
    both(tmp_path, "dev/", "id1/v/00001")
    put(tmp_path, "dev/mp4/id1/v/._00001.mp4")
    put(tmp_path, "dev/mp4/id1/v/notes.txt")
    put(tmp_path, "dev/mp4/.snapshot/v/00001.mp4")
    put(tmp_path, "dev/mp4/README.mp4")
    assert len(scan_voxceleb2(tmp_path)[0]) == 1


def test_progress_counts_every_file(tmp_path: Path) -> None:
    for key in ("id1/v/00001", "id1/w/00001", "id2/v/00001"):
        both(tmp_path, "dev/", key)
    seen: list[int] = []
    scan_voxceleb2(tmp_path, progress=seen.append)
    assert seen == [4, 2]


@pytest.mark.slow
def test_the_demo_corpus_is_accounted_for(tmp_path: Path) -> None:
    from pipelines.demo.corpora import TINY, make_voxceleb2
    from pipelines.demo.voxceleb2_corpus import plan_voxceleb2

    make_voxceleb2(tmp_path, TINY, 3, lambda done, n: None, n_processes=1)
    utterances, rejects, audit = scan_voxceleb2(tmp_path)
    clips = plan_voxceleb2(TINY.n_speakers, TINY.utterances_per_speaker, 3)
    empty = [clip.id for clip in clips if clip.fault == "empty"]
    assert [r.id for r in rejects] == empty
    assert [u.id for u in utterances] == sorted({clip.id for clip in clips} - set(empty))
    assert all((tmp_path / str(u.audio)).stat().st_size for u in utterances)
    assert (audit["speakers_not_in_meta"], audit["meta_used"]) == (0, True)
