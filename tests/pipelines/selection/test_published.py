"""Agreement with a published list, by hand and against scikit-learn."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, jaccard_score

from featurize.errors import UsageError
from pipelines.selection.published import Agreement, compare, read_published

IDS = ["id1/abc/00001", "id1/abc/00002", "id2/x.y/00001"]


@pytest.mark.parametrize(
    "written", ["{}", "dev/mp4/{}", "dev/{}", "{}.mp4", "dev/mp4/{}.mp4", "aac/{}.m4a"], ids=str
)
def test_ids_in_the_forms_they_are_published_in(written: str) -> None:
    found = compare(IDS[:1], IDS, {written.format(i) for i in (IDS[0], IDS[2])})
    assert found == Agreement(1, 0, 1, 1, 0)


def test_names_that_are_no_ids_are_counted() -> None:
    found = compare(IDS[:2], IDS, {IDS[0], "dev/id9/abc/00001", "dev", "dev/", ".mp4"})
    assert found == Agreement(1, 1, 0, 1, 4)
    with pytest.raises(UsageError, match="names none of the decoded"):
        compare(IDS[:1], IDS, {"id9"})
    with pytest.raises(UsageError, match="names none of the decoded"):
        compare(IDS[:1], IDS, set())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_agreement_is_scikit_learns(kept: list[tuple[bool, bool]]) -> None:
    ours, theirs = np.array(kept).T
    ids = [f"u{k}" for k in range(len(kept))]
    if not theirs.any():
        return
    found = compare(
        {i for i, is_kept in zip(ids, ours, strict=True) if is_kept}, ids,
        {i for i, is_kept in zip(ids, theirs, strict=True) if is_kept},
    )  # fmt: skip
    assert found.jaccard == pytest.approx(jaccard_score(theirs, ours))
    if found.kappa is None:
        assert ours.all() and theirs.all()
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(theirs, ours))


def test_a_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("dev/a/b/1\n\n  c/d/2 0.93\n", encoding="utf-8")
    assert read_published(path) == {"dev/a/b/1", "c/d/2"}
    packed = tmp_path / "vox-en.id.gz"  # as AV-HuBERT publishes its list
    packed.write_bytes(gzip.compress(b"dev/mp4/id05668/XWKC1JUM_ow/00053\n"))
    assert read_published(packed) == {"dev/mp4/id05668/XWKC1JUM_ow/00053"}
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UsageError, match="not a readable list"):
        read_published(packed)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not a readable list"):
        read_published(path)


def test_a_small_archive_of_a_huge_list_is_refused(tmp_path: Path, monkeypatch) -> None:
    from pipelines.selection import published

    monkeypatch.setattr(published, "MAX_BYTES", 1000)
    (tmp_path / "l.gz").write_bytes(gzip.compress(b"a/b\n" * 1000))
    with pytest.raises(UsageError, match="more than 1000 bytes"):
        read_published(tmp_path / "l.gz")
