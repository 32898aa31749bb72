"""A shard from what was found: what is usable is kept, what is not has its reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from featurize.errors import MediaError
from featurize.shards import ShardReader
from pipelines.manifest import Utterance
from pipelines.runner import Unit
from pipelines.shard_work import each, write_shard

FIELDS = {"features": ((2,), "float16")}


def test_each_reason_is_kept_and_the_rest_written(tmp_path: Path) -> None:
    utterances = [Utterance(name, "s", f"{name}.wav", None) for name in ("a", "b", "c", "d")]
    unit = Unit(0, tmp_path / "s.h5", "f", {"x": 1}, tmp_path, utterances)

    def content(utterance: Utterance) -> dict:
        failures: dict[str, Callable[[], Exception]] = {
            "b": lambda: MediaError(f"{tmp_path / 'b.wav'}: has no sound"),
            "c": lambda: PermissionError(13, "Permission denied"),
        }
        if utterance.id in failures:
            raise failures[utterance.id]()
        value = np.inf if utterance.id == "d" else 1.0
        return {"features": np.full((3, 2), value), "speaker": "s", "not stored": object()}

    outcome = write_shard(
        unit, "audio", FIELDS, {}, each(utterances, content), columns={"speaker": "text"}
    )
    reasons = ["has no sound", "Permission denied", "6 values of features not finite"]
    assert (outcome.n_done, outcome.reasons) == (1, reasons)
    with ShardReader(unit.output) as shard:
        assert shard.ids == ["a"] and shard.columns["speaker"].tolist() == [b"s"]
        assert [(r["id"], r["reason"]) for r in shard.rejects] == list(
            zip("bcd", reasons, strict=True)
        )
