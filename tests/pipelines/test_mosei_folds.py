"""The standard folds, and fold files in each form."""

from collections import Counter
from pathlib import Path

import pytest

from featurize.errors import CorpusError
from pipelines.mosei_folds import STANDARD_FOLDS, read_folds


def test_standard_folds_are_the_sdk_s() -> None:
    folds = read_folds(STANDARD_FOLDS)
    assert Counter(folds.values()) == {"train": 2249, "dev": 300, "test": 678}
    cmu_mosei = pytest.importorskip("mmsdk.mmdatasdk", reason="no cmu-multimodal-sdk").cmu_mosei
    own = cmu_mosei.standard_folds
    theirs = dict.fromkeys(own.standard_train_fold, "train")
    theirs |= dict.fromkeys(own.standard_valid_fold, "dev")
    theirs |= dict.fromkeys(own.standard_test_fold, "test")
    # The copy on the registry has one more; with its 4 segments train is 16,331, not 16,327.
    assert theirs == {**folds, "-NFrJFQijFE": "train"}


FOLDS_PY = "standard_train_fold=['a', '1']\n\nstandard_test_fold=['-b']\nstandard_valid_fold=['c']"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.json", '{"train": ["a", "1"], "valid": ["c"], "test": ["-b"]}'),
        ("f.json", '{"train": ["a", "1"], "dev": ["c"], "test": ["-b"], "note": "x"}'),
        ("cmu_mosei_std_folds.py", FOLDS_PY),
    ],
)
def test_folds_in_each_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    want = {"a": "train", "1": "train", "c": "dev", "-b": "test"}
    assert read_folds(tmp_path / name) == want


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.py", "standard_train_fold = __import__('os').mkdir('ran')"),
        ("f.py", FOLDS_PY.replace("['c']", "open('ran', 'w')")),
        ("f.py", "standard_train_fold = ["),
        ("f.py", "x = " + "(" * 5000),
        ("f.json", "[" * 100_000),
        ("f.json", '{"train": ["a"], "valid": ["a"], "test": []}'),
        ("f.json", '{"train": ["a"], "test": ["b"]}'),
        ("f.json", '{"train": [1], "valid": [], "test": []}'),
        ("f.json", "[]"),
        ("f.json", "3"),
    ],
)
def test_bad_folds_are_one_error_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError) as caught:
        read_folds(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
