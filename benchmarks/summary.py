"""What is kept of a set of measurements: a middle, a spread and how many there were."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 4000


@dataclass(frozen=True)
class Summary:
    """A figure of `n` measurements between `low` and `high`, whatever those are for its row."""

    value: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float], scale: float = 1.0) -> Summary:
    """Return the median, the smallest and the largest value, each times `scale`."""
    return Summary(
        statistics.median(values) * scale, min(values) * scale, max(values) * scale, len(values)
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, linear between the two nearest values (R's type 7)."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def median_interval(values: Sequence[float], seed: int = 0) -> Summary:
    """Return the median and its 95 % confidence interval, by the percentile bootstrap.

    B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Ann. Statist. 7(1), 1979.
    """
    draw = random.Random(seed)
    medians = [statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    low, high = percentile(medians, 2.5), percentile(medians, 97.5)
    return Summary(statistics.median(values), low, high, len(values))
