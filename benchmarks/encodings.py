"""What each encoding of a shard loses, on real LFBE, fc7 and GloVe.

    python -m benchmarks.encodings

Rows go through a shard, as they would in use, and come back; nothing is timed.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.corpus import about
from benchmarks.samples import (
    FPS,
    QUICK_FPS,
    fc7_before_relu,
    glove_of_words,
    lfbe_of_speech,
    relu,
    sparse,
)
from benchmarks.timing import Options, Report, run
from featurize.shards import ENCODINGS, ShardReader, ShardWriter

COLUMNS = ("features", "encoding", "bytes a value", "relative RMS error", "largest error", "cosine")


def encodings(options: Options) -> Report:
    """Size and loss of every encoding on every kind of feature."""
    report = Report()
    lines = []
    for kind, rows in _kinds(QUICK_FPS if options.quick else FPS).items():
        for encoding in ENCODINGS:
            back, n_bytes = _through_a_shard(rows, encoding)
            relative, largest, cosine = _loss(rows, back)
            size = n_bytes / rows.size
            lines.append(
                [
                    kind,
                    encoding,
                    f"{size:.3f}",
                    f"{relative:.2e}",
                    f"{largest:.2e}",
                    f"{cosine:.7f}",
                ]
            )
            report.ratios[f"{kind}/{encoding}/bytes_over_float32"] = round(size / 4, 4)
            report.ratios[f"{kind}/{encoding}/relative_rms_error"] = float(f"{relative:.3e}")
    report.table("Loss of each encoding against float32", COLUMNS, lines)
    return report


def _kinds(fps: float) -> dict[str, np.ndarray]:
    before = fc7_before_relu(fps)
    return {
        "LFBE of speech": lfbe_of_speech(),
        "fc7, random weights": relu(before),
        "fc7, 80% zeros": sparse(before, 0.8).astype(np.float32),
        "GloVe, 50-d": glove_of_words(),
    }


def _through_a_shard(rows: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """(rows as read back, bytes of the datasets in the file)."""
    fields = {"features": (rows.shape[1:], encoding)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.h5"
        with ShardWriter(path, **about("video"), fields=fields) as writer:
            writer.add("all", {"features": rows})
        with ShardReader(path) as shard:
            back = shard.read("all")["features"].astype(np.float64)
    scales = 4 * len(rows) if encoding == "int8_scaled" else 0
    return back, rows.size * BYTES[encoding] + scales


BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8_scaled": 1}


def _loss(rows: np.ndarray, back: np.ndarray) -> tuple[float, float, float]:
    """RMS of the error over RMS of the values, largest error, mean cosine of the rows."""
    exact = rows.astype(np.float64)
    error = back - exact
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(back, axis=1)
    dots = (exact * back).sum(axis=1)[norms > 0]
    relative = float(np.sqrt((error**2).mean() / (exact**2).mean()))
    return relative, float(np.abs(error).max()), float((dots / norms[norms > 0]).mean())


if __name__ == "__main__":
    run(encodings)
