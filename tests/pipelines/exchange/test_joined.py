"""Joining: what was written to the shards comes back, utterance by utterance."""

import numpy as np
import pytest

from featurize.errors import UsageError
from pipelines.exchange.joined import FEATURES, complete_workspace, joined_lengths, joined_shard
from pipelines.workspace import Workspace


def test_every_utterance_with_features_comes_once_in_the_manifest_s_order(exchanged) -> None:
    workspace = complete_workspace(exchanged.work)
    numbers = range(workspace.n_shards)
    joined = [j for number in numbers for j in joined_shard(workspace, number)]
    assert len(joined) == 11  # one has no features
    order = [u.id for u in workspace.utterances if exchanged.arrays[u.id]]
    assert [j.utterance.id for j in joined] == order
    for item in joined:
        assert item.utterance == exchanged.utterances[item.utterance.id]
        assert item.transcript == exchanged.transcripts[item.utterance.id]
        for modality in FEATURES:
            expected = exchanged.arrays[item.utterance.id].get(modality)
            found = getattr(item, modality)
            assert (found is None) == (expected is None)
            for field, array in (expected or {}).items():
                assert found[field].dtype == array.dtype
                np.testing.assert_array_equal(found[field], array)


def test_lengths_are_those_of_the_arrays(exchanged) -> None:
    workspace = Workspace(exchanged.work)
    for number in range(workspace.n_shards):
        lengths = list(joined_lengths(workspace, number))
        expected = [
            {m: len(getattr(j, m)["features"]) for m in FEATURES if getattr(j, m) is not None}
            for j in joined_shard(workspace, number)
        ]
        assert [rows for _, rows in lengths] == expected
        assert [u.id for u, _ in lengths] == [
            j.utterance.id for j in joined_shard(workspace, number)
        ]


def test_half_done_features_are_refused(make_exchanged, tmp_path) -> None:
    work = make_exchanged(tmp_path / "work").work
    (work / "features" / "shard-00001.text.h5").unlink()
    with pytest.raises(UsageError, match="1 of 3 text shards .*trimodal extract"):
        complete_workspace(work)
