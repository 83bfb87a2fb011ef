"""How often a board renews its power reading, found out from the readings, and so when to sample.

A reading that is renewed with noise shows a new value at every renewal. A value that stays, or that
changes with the load alone, tells nothing about the board: then the default interval stands.
"""

from collections import deque
from itertools import pairwise

DEFAULT_INTERVAL_S = 0.02
"""How often power is sampled until its updates are known: 20 to 100 ms pass between two on the
boards of arXiv 2312.02741, and a training alternates between computing and waiting within tenths of
a second."""

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.01, 0.1
"""More often costs more than it tells; more seldom misses what a training does."""

FIRST_INTERVAL_S = 0.005
"""At the start, for `FIRST_S`, so that updates are told apart from samples."""

FIRST_S = 0.3

CHANGES = 9
"""So many changes in a row, nearly evenly spaced, make a period."""

_GOLDEN_RATIO = 0.6180339887498949


class PowerUpdates:
    """Watches a power reading.

    Attributes:
        period_s: the time between two updates; None while it is unknown.
        interval_s: how long to wait for the next sample. It varies by a quarter, for a load that
            alternates in step with the samples would always be caught at the same point.
    """

    def __init__(self, at_s: float, power_w: float) -> None:
        self.period_s: float | None = None
        self.interval_s = FIRST_INTERVAL_S
        self._begun_s = self._at_s = at_s
        self._power_w = power_w
        self._count = 0
        self._changes: deque[tuple[float, float]] = deque(maxlen=CHANGES)

    def see(self, at_s: float, power_w: float) -> None:
        """Take in a sample."""
        if power_w != self._power_w:
            self._changes.append(((self._at_s + at_s) / 2, power_w))
            self.period_s = self._found_s() or self.period_s
        self._at_s, self._power_w = at_s, power_w
        self._count += 1
        interval_s = DEFAULT_INTERVAL_S
        if self.period_s is not None:
            interval_s = min(max(self.period_s / 2, MIN_INTERVAL_S), MAX_INTERVAL_S)
        elif at_s - self._begun_s < FIRST_S:
            interval_s = FIRST_INTERVAL_S
        # The fractions of the golden ratio's multiples spread evenly over any stretch of samples.
        self.interval_s = interval_s * (0.75 + 0.5 * (self._count * _GOLDEN_RATIO % 1.0))

    def _found_s(self) -> float | None:
        """Return the period, where the last changes are updates and not the load's own doing.

        A load that alternates between two levels changes at regular moments too, but not to so
        many different values.
        """
        if len(self._changes) < CHANGES:
            return None
        gaps_s = [later - sooner for (sooner, _), (later, _) in pairwise(self._changes)]
        mean_s = sum(gaps_s) / len(gaps_s)
        if len({power_w for _, power_w in self._changes}) < CHANGES - 2:
            return None
        if min(gaps_s) < 0.4 * mean_s or max(gaps_s) > 1.8 * mean_s:
            return None
        return mean_s
