"""The record of an export: done is done, changed is stale, and it never deletes elsewhere."""

import json
from pathlib import Path

import pytest

from featurize.errors import StaleError, UsageError
from pipelines.exchange.export_ledger import Ledger


def ledger(folder: Path, redo: bool = False, kind: str = "webdataset") -> Ledger:
    return Ledger(folder / "export.json", kind, settings={}, redo=redo)


def made(folder: Path, names: list[str]) -> None:
    record = ledger(folder)
    for name in names:
        (folder / f"{name}.tar").write_text(name)
        record.add(name, "f", 3, [folder / f"{name}.tar"])


def test_a_part_is_done_while_its_files_hold_what_was_written(tmp_path: Path) -> None:
    made(tmp_path, ["a"])
    assert ledger(tmp_path).n_done("a", "f") == 3
    assert ledger(tmp_path).n_done("b", "f") is None
    (tmp_path / "a.tar").write_text("A")
    assert ledger(tmp_path).n_done("a", "f") is None
    (tmp_path / "a.tar").unlink()
    assert ledger(tmp_path).n_done("a", "f") is None


def test_other_features_are_an_error_unless_redone(tmp_path: Path) -> None:
    made(tmp_path, ["a"])
    with pytest.raises(StaleError, match="a was exported from other features .* --redo"):
        ledger(tmp_path).n_done("a", "g")
    assert ledger(tmp_path, redo=True).n_done("a", "g") is None
    (tmp_path / "a.tar").unlink()  # nothing would be lost
    assert ledger(tmp_path).n_done("a", "g") is None


def test_surplus_parts_go_with_redo_only(tmp_path: Path) -> None:
    made(tmp_path, ["a", "b"])
    with pytest.raises(StaleError, match="b is of an earlier export"):
        ledger(tmp_path).keep_only(["a"])
    ledger(tmp_path, redo=True).keep_only(["a"])
    assert sorted(p.name for p in tmp_path.glob("*.tar")) == ["a.tar"]
    ledger(tmp_path).keep_only(["a"])


def test_a_forged_record_deletes_nothing_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    out = tmp_path / "out"
    out.mkdir()
    parts = {"x": {"fingerprint": "f", "xxh3": {"../victim": "", str(victim): ""}}}
    record = {"export": "webdataset", "settings": {}, "parts": parts}
    (out / "export.json").write_text(json.dumps(record))
    ledger(out, redo=True).keep_only([])
    assert victim.exists()


def test_a_place_of_another_kind_is_refused(tmp_path: Path) -> None:
    made(tmp_path, ["a"])
    with pytest.raises(UsageError, match="not of an export to lhotse"):
        ledger(tmp_path, kind="lhotse")
