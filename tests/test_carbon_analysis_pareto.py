"""The Pareto front against its definition."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.analysis.pareto import pareto_front

Point = tuple[float, float]

# Few values, so that ties in one and in both coordinates are common.
COSTS = st.one_of(st.integers(0, 4).map(float), st.floats(allow_nan=False))
POINTS = st.lists(st.tuples(COSTS, COSTS), max_size=30)


def beats(a: Point, b: Point) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@given(POINTS)
def test_it_is_the_points_that_no_point_beats(points: list[Point]) -> None:
    expected = [not any(beats(other, point) for other in points) for point in points]
    assert pareto_front(points) == expected


@given(POINTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(points: list[Point], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(points, len(points))
    on = {p for p, front in zip(points, pareto_front(points), strict=True) if front}
    assert on == {p for p, front in zip(shuffled, pareto_front(shuffled), strict=True) if front}


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1.0, 1.0)], [True]),
        ([(1.0, 1.0), (1.0, 1.0)], [True, True]),
        ([(1.0, 2.0), (2.0, 1.0), (2.0, 2.0)], [True, True, False]),
        ([(1.0, 2.0), (1.0, 1.0)], [False, True]),
        ([(0.0, 0.0), (-0.0, 1.0)], [True, False]),
        ([(math.inf, 0.0), (0.0, math.inf), (math.inf, math.inf)], [True, True, False]),
    ],
)
def test_cases_seen_by_eye(points: list[Point], front: list[bool]) -> None:
    assert pareto_front(points) == front


@pytest.mark.parametrize("point", [(math.nan, 1.0), (1.0, math.nan)])
def test_an_unknown_cost_is_refused(point: Point) -> None:
    with pytest.raises(ValueError, match=r"point 1 is .*nan.*; leave points with an unknown cost"):
        pareto_front([(1.0, 1.0), point])
