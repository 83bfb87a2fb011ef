"""What a sum over days will come to, if the days to come are like those before."""

import math
import statistics
from collections.abc import Sequence

from carbon.schema import Forecast

FEWEST_DAYS = 7
"""Less than a week says nothing of a week."""

MOST_DAYS = 28
"""Whole weeks, so that each day of the week counts the same."""


def forecast(so_far: float, per_day: Sequence[float], days_left: float) -> Forecast | None:
    """Extrapolate a sum linearly from the mean of the last days.

    With the mean m and the sample standard deviation s of n days, the d days that are left come to
    m d, with the variance s^2 (d + d^2 / n): that of a sum of d new days, and that of the mean.
    The days are taken to be alike and independent of each other (Hahn and Meeker, Statistical
    Intervals, 1991, on the mean of future observations).

    Args:
        so_far: what the sum is now.
        per_day: of whole days, the last `MOST_DAYS` at most.
        days_left: until the end of the period, the rest of today with it.

    Returns:
        The forecast, or None where fewer than `FEWEST_DAYS` are known or none is left.
    """
    n = len(per_day)
    if n < FEWEST_DAYS or days_left <= 0:
        return None
    deviation = statistics.stdev(per_day)
    return Forecast(
        amount=so_far + statistics.fmean(per_day) * days_left,
        uncertainty=deviation * math.sqrt(days_left + days_left**2 / n),
        days=n,
        method=f"spent so far, and for each day that is left the mean of the last {n} whole days",
    )
