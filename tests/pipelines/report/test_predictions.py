"""RUN/predictions.npz: what is read, and that a damaged or hostile file is one error."""

from pathlib import Path

import numpy as np
import pytest

from featurize.errors import TrainError
from pipelines.report.predictions import predicted
from pipelines.report.runs import BASELINE, Run


def arrays(n: int = 4) -> dict[str, np.ndarray]:
    labels = np.arange(6 * n).reshape(n, 6) % 2 == 0
    scores = np.linspace(0, 1, 6 * n, dtype=np.float32).reshape(n, 6)
    kept = {"ids": np.arange(n).astype(str), "labels": labels, "scores": scores}
    dev = {f"dev_{name}": array for name, array in kept.items()}
    return {**kept, "wa": scores > 0.3, "f1": scores > 0.4, **dev}


def run(path: Path) -> Run:
    return Run(path, BASELINE, {}, path, evaluation={"test": {}})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = arrays()
    np.savez(tmp_path / "predictions.npz", **written)
    found = predicted(run(tmp_path))
    assert found is not None and found.dev is not None
    np.testing.assert_array_equal(found.test.scores, written["scores"])
    np.testing.assert_array_equal(found.decided["f1"], written["f1"])
    np.testing.assert_array_equal(found.dev.labels, written["dev_labels"])


def test_a_run_not_evaluated_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "predictions.npz", **arrays())
    assert predicted(Run(tmp_path, BASELINE, {}, tmp_path)) is None
    (tmp_path / "predictions.npz").unlink()
    assert predicted(run(tmp_path)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.zeros((4, 5), bool)},
        {"scores": np.zeros((3, 6), np.float32)},
        {"wa": np.zeros((4, 6))},
        {"dev_scores": np.zeros((4, 6, 1), np.float32)},
        {"labels": np.array([[None] * 6] * 4)},
    ],
)
def test_arrays_that_do_not_fit_are_one_error(tmp_path: Path, change: dict) -> None:
    np.savez(tmp_path / "predictions.npz", **{**arrays(), **change})
    with pytest.raises(TrainError, match="trimodal evaluate"):
        predicted(run(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(TrainError, match=r"predictions\.npz"):
        predicted(run(tmp_path))
