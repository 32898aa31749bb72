"""The schedule against its formula, written in another form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.schedule import inverse_square_root

positive = st.integers(min_value=1, max_value=100_000)


@given(step=positive, d_model=positive, warmup_steps=positive)
def test_equals_the_two_branches(step: int, d_model: int, warmup_steps: int) -> None:
    peak = 2.0 / math.sqrt(d_model * warmup_steps)
    if step <= warmup_steps:
        expected = peak * step / warmup_steps
    else:
        expected = peak * math.sqrt(warmup_steps / step)
    rate = inverse_square_root(step, d_model=d_model, warmup_steps=warmup_steps, scale=2.0)
    assert rate == pytest.approx(expected, rel=1e-12)


def test_base_model_of_the_transformer_paper() -> None:
    # d_model 512 and 4,000 steps: the peak of about 7e-4 that its readers know.
    rate = inverse_square_root(4000, d_model=512, warmup_steps=4000, scale=1.0)
    assert rate == pytest.approx(6.9877e-4, rel=1e-4)
