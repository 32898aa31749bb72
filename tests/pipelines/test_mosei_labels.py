"""Labels joined to segments, by time and by number."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.mosei_labels import LabelRow, join_by_interval, join_by_number

NEUTRAL = (0.0,) * 7


@given(
    st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=20).flatmap(
        lambda starts: st.tuples(st.just(starts), st.permutations(starts))
    ),
    st.floats(-0.09, 0.09),
)
def test_join_finds_the_permutation(starts: tuple[list[int], list[int]], jitter_s: float) -> None:
    """Intervals half a second apart, shuffled and moved by less than the tolerance."""
    rows = [LabelRow(0.5 * s, 0.5 * s + 4, NEUTRAL) for s in starts[0]]
    intervals = [(0.5 * s + jitter_s, 0.5 * s + 4 - jitter_s) for s in starts[1]]
    joined = join_by_interval(rows, intervals, tolerance_s=0.1)
    assert joined == {i: starts[0].index(s) for i, s in enumerate(starts[1])}


def test_join_takes_the_closest_and_each_row_once() -> None:
    row = LabelRow(1.0, 2.0, NEUTRAL)
    assert join_by_interval([row], [(1.08, 2.0), (1.01, 2.0)], 0.1) == {1: 0}
    assert join_by_interval([row], [(1.0, 2.2)], 0.1) == {}
    assert join_by_interval([LabelRow(1.0, float("nan"), NEUTRAL)], [(1.0, 2.0)], 0.1) == {}


def test_join_by_number_knows_leading_zeros_and_passes_over_others() -> None:
    nan = float("nan")
    rows = [LabelRow(nan, nan, NEUTRAL, segment) for segment in ("07", "0", "3")]
    assert join_by_number(rows, ["0", "1", "7", "00"]) == {0: 1, 2: 0, 3: 1}
