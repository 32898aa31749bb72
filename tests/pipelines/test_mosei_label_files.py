"""Label files in each form, and files that are none."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from featurize.errors import CorpusError
from pipelines.mosei_label_files import read_labels
from pipelines.mosei_labels import LabelRow

NEUTRAL = (0.0,) * 7
Rows = dict[str, list[tuple[float, float, tuple[float, ...]]]]


def write_csd(path: Path, rows: Rows) -> None:
    """Labels in the form of CMU_MOSEI_Labels.csd."""
    with h5py.File(path, "w") as file:
        data = file.create_group("All Labels/data")
        for video, labelled in rows.items():
            scores = [row[2] for row in labelled]
            data[f"{video}/features"] = np.array(scores, np.float32).reshape(-1, 7)
            data[f"{video}/intervals"] = np.array([row[:2] for row in labelled]).reshape(-1, 2)


def test_labels_from_csv_equal_those_from_csd(tmp_path: Path) -> None:
    rows: Rows = {"v": [(5.0, 6.0, (1, 0.5, 0, 0, 0, 0, 2)), (-0.25, 1.0, NEUTRAL)]}
    write_csd(tmp_path / "l.csd", rows)
    header = "id,link,segment_id,start,end,sentiment,happy,sad,anger,surprise,disgust,fear\n"
    (tmp_path / "l.csv").write_text(header + "v,,0,5,6,1,.5,0,0,0,0,2\nv,,1,-.25,1,0,0,0,0,0,0,0\n")
    assert read_labels(tmp_path / "l.csd") == read_labels(tmp_path / "l.csv")
    (tmp_path / "bad.csv").write_text(header + "v,,0,5,6,1\n")
    with pytest.raises(CorpusError, match="expected the columns id, start"):
        read_labels(tmp_path / "bad.csv")


ANSWERS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "sentiment")
RATINGS_HEAD = "HITId,Input.VIDEO_ID,Input.CLIP," + ",".join(f"Answer.{a}" for a in ANSWERS) + "\n"


def write_ratings(path: Path, *rows: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(RATINGS_HEAD + "".join(f"hit,{row}\n" for row in rows))


def test_raw_ratings_are_averaged_over_raters_and_files(tmp_path: Path) -> None:
    """As the .csd has them: thirds, of three raters."""
    labels = tmp_path / "Labels"
    write_ratings(
        labels / "a.csv", "-v_1,2,0,1,0,2,0,0,1", "-v_1,2,0,0,0,3,0,0,-1", "12,0,,0,0,0,0,0,0"
    )
    write_ratings(labels / "b.csv", "pom/-v_1,2,0,0,0,0,1,0,2", "-v_1,10,3,0,0,0,0,0,-3")
    found = read_labels(labels)
    assert found.keys() == {"-v_1", "12"}
    [second, tenth] = found["-v_1"]
    # sentiment, happy, sad, anger, surprise, disgust, fear
    assert second.scores == pytest.approx((2 / 3, 5 / 3, 1 / 3, 0, 0, 1 / 3, 0))
    assert (second.segment, tenth.segment) == ("2", "10")
    assert tenth.scores == (-3, 0, 0, 3, 0, 0, 0)
    assert np.isnan(found["12"][0].scores).all()  # nobody answered everything


def test_columns_go_by_other_names_too(tmp_path: Path) -> None:
    head = "video_id,start,end,Sentiment,Happiness,Sadness,Anger,Surprise,Disgust,Fear\n"
    (tmp_path / "l.csv").write_text(head + "v,1,2,-1,0.5,0,0,0,0,3\n")
    assert read_labels(tmp_path / "l.csv") == {"v": [LabelRow(1, 2, (-1, 0.5, 0, 0, 0, 0, 3))]}


def test_a_csv_of_classes_says_what_it_lacks(shared_data: Path) -> None:
    """s3prl's file has no scores, only classes made from them."""
    with pytest.raises(CorpusError, match=r"no column id, sentiment, happy.*expected the columns"):
        read_labels(shared_data / "mosei" / "s3prl_CMU_MOSEI_Labels.csv")


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "\x00", RATINGS_HEAD + "hit,v\n", RATINGS_HEAD + "hit,v,1,x,0,0,0,0,0,0\n"],
)
def test_a_csv_that_is_none_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(CorpusError) as caught:
        read_labels(tmp_path / "l.csv")
    assert str(tmp_path / "l.csv") in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_labels_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no labels in it"):
        read_labels(tmp_path)


def _soft(data: h5py.Group, folder: Path) -> None:
    data["w/features"], data["w/intervals"] = np.zeros((1, 7)), np.zeros((1, 2))
    data["v"] = h5py.SoftLink("/All Labels/data/w")


def _external(data: h5py.Group, folder: Path) -> None:
    write_csd(folder / "other.h5", {"x": [(0.0, 1.0, NEUTRAL)]})
    data["v"] = h5py.ExternalLink(str(folder / "other.h5"), "/All Labels/data/x")


def _external_storage(data: h5py.Group, folder: Path) -> None:
    (folder / "raw.bin").write_bytes(bytes(1000))
    group = data.create_group("v")
    group["intervals"] = np.zeros((1, 2))
    group.create_dataset("features", (1, 7), "f4", external=[(str(folder / "raw.bin"), 0, 1000)])


def _virtual(data: h5py.Group, folder: Path) -> None:
    layout = h5py.VirtualLayout((1, 7), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(1, 7))
    group = data.create_group("v")
    group["intervals"] = np.zeros((1, 2))
    group.create_virtual_dataset("features", layout)


def _objects(data: h5py.Group, folder: Path) -> None:
    group = data.create_group("v")
    group.create_dataset("features", (1, 7), dtype=h5py.string_dtype())
    group["intervals"] = np.zeros((1, 2))


def _huge(data: h5py.Group, folder: Path) -> None:
    group = data.create_group("v")
    group.create_dataset("features", (10**9, 7), "f4", chunks=(10**5, 7), compression="gzip")
    group["intervals"] = np.zeros((1, 2))


def _huge_chunk(data: h5py.Group, folder: Path) -> None:
    group = data.create_group("v")
    group.create_dataset("features", (1, 7), "f4", maxshape=(None, 7), chunks=(10**8, 7))
    group["intervals"] = np.zeros((1, 2))


def _uneven(data: h5py.Group, folder: Path) -> None:
    data["v/features"] = np.zeros((2, 7), np.float32)
    data["v/intervals"] = np.zeros((1, 2))


def _narrow(data: h5py.Group, folder: Path) -> None:
    data["v/features"] = np.zeros((1, 6), np.float32)
    data["v/intervals"] = np.zeros((1, 2))


BAD = [
    _soft,
    _external,
    _external_storage,
    _virtual,
    _objects,
    _huge,
    _huge_chunk,
    _uneven,
    _narrow,
]


@pytest.mark.parametrize("make", BAD)
def test_hostile_labels_are_refused(tmp_path: Path, make) -> None:
    with h5py.File(tmp_path / "labels.csd", "w") as file:
        make(file.create_group("All Labels/data"), tmp_path)
    with pytest.raises(CorpusError) as caught:
        read_labels(tmp_path / "labels.csd")
    assert str(tmp_path / "labels.csd") in str(caught.value)


def test_a_labels_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "labels.csd").write_text("not HDF5")
    with pytest.raises(CorpusError, match="expected CMU_MOSEI_Labels.csd"):
        read_labels(tmp_path / "labels.csd")
    with h5py.File(tmp_path / "empty.csd", "w"):
        pass
    with pytest.raises(CorpusError, match="no 'All Labels'"):
        read_labels(tmp_path / "empty.csd")
