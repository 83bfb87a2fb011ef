"""Sets of moments as intervals, so that a time that is covered twice counts once."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Interval: TypeAlias = tuple[float, float]
"""From the first moment to the second; where that is not after the first, it is empty."""


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return what `intervals` cover: in order, apart from each other, none of them empty.

    Takes O(n log n).
    """
    covered: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if covered and start <= covered[-1][1]:
            covered[-1] = covered[-1][0], max(covered[-1][1], end)
        else:
            covered.append((start, end))
    return covered


def intersection(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """Return what both cover; each has to be a union. Takes O(n)."""
    both: list[Interval] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start, end = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if start < end:
            both.append((start, end))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return both


def length(intervals: Iterable[Interval]) -> float:
    """Return how long the intervals of a union are together."""
    return sum(end - start for start, end in intervals)
