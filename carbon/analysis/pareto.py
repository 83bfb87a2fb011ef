"""The Pareto front: the points that no other point beats."""

import math
from collections.abc import Sequence
from itertools import groupby


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Tell for each point whether it is on the front, both coordinates being costs.

    A point is off the front where another costs no more in both coordinates and less in one. Equal
    points do not beat each other, so they are on it or off it together. Takes O(n log n).

    Raises:
        ValueError: a coordinate is NaN, which is neither more nor less than anything.
    """
    for index, point in enumerate(points):
        if any(math.isnan(coordinate) for coordinate in point):
            raise ValueError(f"point {index} is {point}; leave points with an unknown cost out")
    on_front = [False] * len(points)
    cheapest = math.inf  # The lowest second cost among the points with a lower first cost.
    by_cost = sorted(range(len(points)), key=lambda i: points[i])
    for rank, (_, group) in enumerate(groupby(by_cost, key=lambda i: points[i][0])):
        tied = list(group)
        lowest = points[tied[0]][1]
        if rank == 0 or lowest < cheapest:
            for i in tied:
                on_front[i] = points[i][1] == lowest
            cheapest = lowest
    return on_front
