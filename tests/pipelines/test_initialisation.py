"""Ablations at inference against the sum of the encoder's streams by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.build import load_model
from model.data import Loader, labelled_fold
from model.heads import masked_mean
from model.store import FeatureStore
from pipelines.finetune import finetune
from pipelines.initialisation import ABLATIONS, conditions, run_initialisation


@pytest.fixture(scope="module")
def runs(features, tiny_model, tiny_train, tmp_path_factory):
    """Folder of a cross-modal run with unequal weights and of a late fusion."""
    folder, train = tmp_path_factory.mktemp("runs"), replace(tiny_train, max_epochs=1)
    model = replace(tiny_model, finetune_weights=(0.4, 0.4, 0.2))
    for kind in ("crossmodal", "late-fusion"):
        arguments = {"seeds": [0], "model": model, "train": train, "device": "cpu"}
        finetune(features, folder / kind, kind=kind, **arguments)
    return folder


def test_of_the_weights(runs):
    crossmodal, late_fusion = (
        load_model(runs / kind / "seed-00") for kind in ("crossmodal", "late-fusion")
    )
    assert conditions(crossmodal, "crossmodal") == {
        "A+V+T": None, "A": (0.4, 0, 0), "A+V": (0.4, 0.4, 0), "A+T": (0.4, 0, 0.2),
        "V": (0, 0.4, 0), "T": (0, 0, 0.2), "V+T": (0, 0.4, 0.2),
    }  # fmt: skip
    assert conditions(late_fusion, "late-fusion")["V+T"] == (0, 1, 1)
    crossmodal._fixed = (0.5, 0.5, 0.0)  # a model without text has nothing left in "T"
    assert set(conditions(crossmodal, "crossmodal")) == set(ABLATIONS) - {"T"}


@torch.no_grad()
def test_a_modality_of_weight_0_adds_nothing_and_the_rest_is_as_it_was(runs, features):
    found = run_initialisation(
        0, runs / "crossmodal" / "seed-00", features / "features", "crossmodal", "emotion", "cpu"
    )
    assert found.weights == (0.4, 0.4, 0.2)
    model = load_model(runs / "crossmodal" / "seed-00")
    store = FeatureStore(features / "features", n_stacked_frames=5)
    rows = labelled_fold(store, "test")
    alone = {}
    for batch in Loader(store, rows, 1, {}).in_order():  # one segment a batch
        streams = [model.encoder(batch, one) for one in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
        alone[batch.ids[0]] = [masked_mean(s, batch.audio_mask)[0] for s in streams]
    for condition, kept in ABLATIONS.items():
        weights = [w * k for w, k in zip((0.4, 0.4, 0.2), kept, strict=True)]
        test = found.outcomes[condition].test
        for name, scores in zip(test.ids, test.scores, strict=True):
            total = sum(w * stream for w, stream in zip(weights, alone[name], strict=True))
            expected = torch.sigmoid(model.head.output(total)).numpy()
            np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_late_fusion_without_a_modality_is_as_where_it_is_absent(runs, features):
    folder = runs / "late-fusion" / "seed-00"
    found = run_initialisation(0, folder, features / "features", "late-fusion", "emotion", "cpu")
    model, store = load_model(folder), FeatureStore(features / "features", n_stacked_frames=5)
    test = found.outcomes["A"].test
    for batch in Loader(store, labelled_fold(store, "test"), 400, {}).in_order():
        none = {m: torch.zeros_like(getattr(batch, m)) for m in ("video_mask", "text_mask")}
        expected = torch.sigmoid(model(replace(batch, **none))).numpy()
        mine = test.in_order_of(batch.ids).scores
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)
