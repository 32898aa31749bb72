"""A step of several batches is that of the joint batch, and names what spoils it."""

from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from featurize.errors import TrainError
from model.build import build_downstream, build_multitask
from model.config import TrainConfig
from model.data import Batch
from model.run_state import State
from model.step import POINT_EVERY_STEPS, Stepper
from model.tasks import EmotionTask, MultitaskTask
from model.world import World

CONFIG = TrainConfig(precision="float32", warmup_steps=2)
TEXTS = ["hi there", "a", "its me again", "no", "yes yes"]


@pytest.fixture
def joint(dims, make_batch) -> Batch:
    """Five utterances, two of them by speakers that nobody knows."""
    batch = make_batch(dims, [3, 9, 5, 6, 2], [1, 3, 0, 2, 2], [4, 1, 3, 0, 1], texts=TEXTS)
    return replace(batch, speakers=torch.tensor([2, -1, 0, -1, 1]))


def part(batch: Batch, rows: slice) -> Batch:
    names = [field.name for field in fields(batch)]
    return replace(batch, **{name: getattr(batch, name)[rows] for name in names})


def multitask(tiny, dims, joint) -> tuple[nn.Module, MultitaskTask]:
    model = build_multitask(replace(tiny, dropout=0.0), dims, n_speakers=3)
    return model, MultitaskTask(CONFIG, dev=None, decoded=None)  # type: ignore[arg-type]


def emotion(tiny, dims, joint) -> tuple[nn.Module, EmotionTask]:
    model = build_downstream("crossmodal", replace(tiny, dropout=0.0), dims)
    weight = torch.linspace(0.5, 3, 6, dtype=torch.float64)
    return model, EmotionTask(None, weight)  # type: ignore[arg-type]


def stepper_of(kind, tiny, dims, joint, device) -> Stepper:
    torch.manual_seed(0)
    model, task = kind(tiny, dims, joint)
    model.double().to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    return Stepper(model, task, optimiser, CONFIG, State(), 8, device, World())


@pytest.mark.parametrize("kind", [multitask, emotion])
@pytest.mark.parametrize("cuts", [(0, 1, 5), (0, 2, 4, 5), (0, 1, 2, 3, 4, 5)])
def test_batches_of_a_step_are_the_joint_batch(kind, cuts, tiny, dims, joint, device) -> None:
    """Of unequal batches, one of them without a known speaker; the weights agree to 1e-12."""
    whole, cut = (stepper_of(kind, tiny, dims, joint, device) for _ in range(2))
    before = [p.detach().clone() for p in whole.model.parameters()]
    batches = [part(joint, slice(a, b)) for a, b in zip(cuts, cuts[1:], strict=False)]
    for _ in range(3):
        whole.step([joint])
        cut.step(batches)
    whole.settle(), cut.settle()
    pairs = list(zip(whole.model.parameters(), cut.model.parameters(), before, strict=True))
    for one, other, _ in pairs:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    assert all((one - old).abs().max() > 1e-9 for one, _, old in pairs if one.ndim > 1)
    assert whole.state.n_seen == cut.state.n_seen == 15
    assert whole.state.counts == cut.state.counts
    assert cut.state.n_batches == 3 * len(batches)
    for name, total in whole.state.sums.items():
        assert cut.state.sums[name] == pytest.approx(total, rel=1e-6)  # told in float32


def test_the_sums_are_of_means_over_characters_and_known_speakers(
    tiny, dims, joint, device
) -> None:
    stepper = stepper_of(multitask, tiny, dims, joint, device)
    expected = stepper.task.losses(stepper.model, joint.to(device))
    stepper.step([joint])
    stepper.settle()
    n_characters = sum(len(text) + 1 for text in TEXTS)
    assert stepper.state.counts == {"asr": n_characters, "speaker": 3}
    for name, count in stepper.state.counts.items():
        mean = stepper.state.sums[name] / count
        assert mean == pytest.approx(float(expected[name].detach()), rel=1e-6)


def test_only_the_spoilt_batch_of_a_step_is_named(tiny, dims, joint, device) -> None:
    stepper = stepper_of(multitask, tiny, dims, joint, device)
    batches = [part(joint, slice(i, i + 1)) for i in range(5)]
    spoilt = [*batches[:3], replace(batches[3], audio=batches[3].audio * torch.nan), batches[4]]
    stepper.step(batches)
    stepper.step(spoilt)  # launched; what it told is looked at later
    with pytest.raises(TrainError, match="loss is not finite at step 2, in the batch of u3;"):
        stepper.step(batches)


def test_points_are_kept_now_and_then(tiny, dims, joint, device) -> None:
    stepper = stepper_of(emotion, tiny, dims, joint, device)
    for _ in range(POINT_EVERY_STEPS + 2):
        stepper.step([joint])
    (point,) = stepper.state.points
    assert point["step"] == POINT_EVERY_STEPS
    assert point.keys() == {"step", "step_loss", "step_gradient_norm", "step_lr"}
    assert 0 < point["step_loss"] < 10 and point["step_gradient_norm"] > 0
