"""Intervals, checked against counting moments one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.analysis.intervals import Interval, intersection, length, union

moments = st.integers(0, 30)
intervals = st.lists(st.tuples(moments, moments), max_size=12)


def cells(intervals: list[Interval]) -> set[int]:
    """The unit steps that whole-numbered intervals cover."""
    return {cell for start, end in intervals for cell in range(int(start), int(end))}


@given(intervals)
def test_a_union_covers_what_its_intervals_cover_once(given: list[Interval]) -> None:
    covered = union(given)
    assert cells(covered) == cells(given)
    assert length(covered) == len(cells(given))
    assert all(start < end for start, end in covered)
    assert all(before[1] < after[0] for before, after in pairwise(covered))


@given(intervals)
def test_a_union_does_not_depend_on_order_or_repetition(given: list[Interval]) -> None:
    assert union(reversed(given)) == union(given) == union(given + given) == union(union(given))


@given(intervals, intervals)
def test_an_intersection_is_what_both_cover(first: list[Interval], second: list[Interval]) -> None:
    both = intersection(union(first), union(second))
    assert cells(both) == cells(first) & cells(second)
    assert both == intersection(union(second), union(first))
    assert length(both) == len(cells(first) & cells(second))


@given(intervals, intervals)
def test_lengths_add_up(first: list[Interval], second: list[Interval]) -> None:
    a, b = union(first), union(second)
    assert length(union(a + b)) + length(intersection(a, b)) == length(a) + length(b)


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        ([], []),
        ([(2.0, 2.0)], []),
        ([(3.0, 1.0)], []),
        ([(0.0, 10.0), (2.0, 3.0)], [(0.0, 10.0)]),
        ([(1.0, 2.0), (0.0, 1.0)], [(0.0, 2.0)]),
        ([(4.0, 5.0), (0.0, 1.0)], [(0.0, 1.0), (4.0, 5.0)]),
    ],
)
def test_parents_hold_their_children_and_neighbours_join(
    given: list[Interval], covered: list[Interval]
) -> None:
    assert union(given) == covered
