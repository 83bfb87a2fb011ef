"""The cumulative energy of one meter as a function of monotonic time."""

from bisect import bisect_left, bisect_right

from carbon.meters.base import Reading

EDGE_SPAN_S = 1.0
"""Over how long the power beyond the first and the last reading is averaged. A counter that moves
in steps of 0.1 s would otherwise show, between two readings that happen to enclose a step, many
times the power that is drawn."""


class Curve:
    """Energy over time, linear between the readings of one meter.

    A window's energy is `at(end) - at(start)`, so windows nest, and windows that tile a run add up
    to the run. Times are seconds of `time.monotonic()`, energies joules. The meter's contract holds
    here too: readings never go backwards in energy.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._energies_j: list[float] = []
        self._has_forgotten = False

    def append(self, reading: Reading) -> None:
        """Add a reading; one that is not later than the last adds nothing and is dropped."""
        if self._times_s and reading.at_s <= self._times_s[-1]:
            return
        self._times_s.append(reading.at_s)
        self._energies_j.append(reading.energy_j)

    @property
    def end_s(self) -> float | None:
        """The moment of the last reading. What `at` says of a later one is provisional: it assumes
        the power stays as it was, and changes with the next reading."""
        return self._times_s[-1] if self._times_s else None

    def at(self, t_s: float) -> float | None:
        """Return the cumulative energy in joules at `t_s`, or None where it cannot be known.

        Before the first and after the last reading the curve goes on straight, with the mean power
        of the nearest `EDGE_SPAN_S` of readings. Two readings are the least that make a curve, and
        what came before `forget_before` is unknown.
        """
        times, energies = self._times_s, self._energies_j
        if len(times) < 2:
            return None
        if t_s < times[0]:
            if self._has_forgotten:
                return None
            end = min(bisect_left(times, times[0] + EDGE_SPAN_S), len(times) - 1)
            return energies[0] - self._power_w(0, end) * (times[0] - t_s)
        if t_s > times[-1]:
            start = max(bisect_right(times, times[-1] - EDGE_SPAN_S) - 1, 0)
            return energies[-1] + self._power_w(start, -1) * (t_s - times[-1])
        after = bisect_left(times, t_s)
        if times[after] == t_s:
            return energies[after]
        fraction = (t_s - times[after - 1]) / (times[after] - times[after - 1])
        # Never above the next reading, which rounding alone would allow.
        rise = fraction * (energies[after] - energies[after - 1])
        return min(energies[after - 1] + rise, energies[after])

    def forget_before(self, t_s: float) -> None:
        """Free the readings that no moment from `t_s` on needs, for runs that last for days.

        The stretch that `t_s` lies in is kept, and so is the last `EDGE_SPAN_S`.
        """
        if not self._times_s:
            return
        horizon_s = min(t_s, self._times_s[-1] - EDGE_SPAN_S)
        keep_from = bisect_right(self._times_s, horizon_s) - 1
        if keep_from > 0:
            del self._times_s[:keep_from]
            del self._energies_j[:keep_from]
            self._has_forgotten = True

    def _power_w(self, start: int, end: int) -> float:
        span_s = self._times_s[end] - self._times_s[start]
        return (self._energies_j[end] - self._energies_j[start]) / span_s
