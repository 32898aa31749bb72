"""Files of runs whose JSON is sound and whose content is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import TrainError
from pipelines.npz_file import check_answers, read_npz
from pipelines.run_records import FINETUNED, read_evaluation, read_log, read_record

CONDITION = {"average": {"wa": 0.5, "wa_ci": [0.4, 0.6], "undefined": "why", "f1": None}}
EVALUATION = {"task": "emotion", "seeds": [0], "test": {"A+V+T": CONDITION, "A": CONDITION}}


def test_what_is_right_is_read_and_the_rest_named(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    for changed, match in [
        ({}, None),
        ({"seeds": ["0"]}, r"seeds\[0\] is not as trimodal writes it"),
        ({"test": {"A": CONDITION}}, "without scores on test"),
        ({"test": {"A+V+T": {}}}, "without scores on test"),
        ({"test": {"A+V+T": {"average": {"wa": [1]}}}}, r"test\.A\+V\+T\.average\.wa is not"),
        ({"test": [CONDITION]}, "test is not"),
        ({"train_fraction": 10**400}, "train_fraction is not"),
        ({"over_runs": {"n": 1, "wa_mean": {}}}, r"over_runs\.wa_mean is not"),
    ]:
        path.write_text(json.dumps(EVALUATION | changed))
        if match is None:
            assert read_evaluation(path) == EVALUATION
        else:
            with pytest.raises(TrainError, match=match):
                read_evaluation(path)


def test_paths_and_seeds_of_a_run_are_what_they_should_be(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for wrong in ({"work": 3}, {"seeds": 3}, {"seeds": [-1]}, {"seeds": [1.5]}, {"init": []}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(TrainError, match=f"run.json: {next(iter(wrong))}"):
            read_record(path, FINETUNED)


def test_a_line_of_a_log_that_is_none_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for line in (b'{"a": ', b"[1]", b'{"a": "b"}', b"\xff", b"[" * 100_000):
        path.write_bytes(b'{"epoch": 1, "dev_wa": null}\n' + line + b"\n")
        with pytest.raises(TrainError, match="line 2"):
            list(read_log(path))
    assert list(read_log(tmp_path / "absent.jsonl")) == []


def test_an_archive_that_is_damaged_or_encrypted_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3.0))
    good = path.read_bytes()
    assert read_npz(path)["a"].tolist() == [0, 1, 2]
    central = good.index(b"PK\1\2")
    encrypted = good[: central + 8] + b"\1" + good[central + 9 :]
    for bad in (b"", good[:50], encrypted, good.replace(b"'<f8'", b"'|O8'")):
        path.write_bytes(bad)
        with pytest.raises(ValueError):
            read_npz(path)


def test_answers_are_numbers_of_as_many_segments() -> None:
    ids, right = np.array(["a", "b"]), np.zeros((2, 6))
    check_answers(ids, right > 0, right)
    for labels, scores in [(right[:1], right), (right, right[:, :2]), (right, right + np.nan)]:
        with pytest.raises(ValueError):
            check_answers(ids, labels, scores)
    with pytest.raises(ValueError):
        check_answers(np.array([1, 2]), right, right)
