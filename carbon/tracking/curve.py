"""The cumulative energy of one meter as a function of monotonic time."""

from bisect import bisect_left, bisect_right

from carbon.meters.base import Reading

EDGE_SPAN_S = 1.0
"""Over how long the power beyond the first and the last reading is averaged at most."""

MIN_EDGE_SPAN_S = 0.1
"""And at least. A counter that moves in steps would otherwise show, between two readings that
happen to enclose a step, many times the power that is drawn."""


class Curve:
    """Energy over time, linear between the readings of one meter.

    A window's energy is `at(end) - at(start)`, so windows nest, and windows that tile a run add up
    to the run. Times are seconds of `time.monotonic()`, energies joules. The meter's contract holds
    here too: readings never go backwards in energy.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._energies_j: list[float] = []
        self._final_count = 0  # So many of the first ones stand.
        self.end_s: float | None = None
        """The moment of the last final reading, and what it told. What `at` says of a later moment
        is provisional: it changes with the next reading."""
        self.end_j = 0.0
        self._has_forgotten = False

    def append(self, reading: Reading) -> None:
        """Add a reading and those it made known; what is not later than the last is dropped.

        What was not final makes room.
        """
        times, energies = self._times_s, self._energies_j
        if len(times) > self._final_count:
            del times[self._final_count :], energies[self._final_count :]
        for at_s, energy_j, _, is_final in (*reading.earlier, reading):
            if not times or at_s > times[-1]:
                times.append(at_s)
                energies.append(energy_j)
                if is_final:
                    self._final_count += 1
                    self.end_s, self.end_j = at_s, energy_j

    @property
    def is_known(self) -> bool:
        """Whether there are readings enough for `at` to answer."""
        return len(self._times_s) > 1

    def at(self, t_s: float) -> float | None:
        """Return the cumulative energy in joules at `t_s`, or None where it cannot be known.

        Beyond its first and its last reading the curve goes on as if mirrored there: with the mean
        power of a stretch as long as the one that is missing, as power is most like what it was
        nearby, but of `MIN_EDGE_SPAN_S` at least and `EDGE_SPAN_S` at most. Two readings are the
        least that make a curve, and what came before `forget_before` is unknown.
        """
        times, energies = self._times_s, self._energies_j
        if len(times) < 2:
            return None
        if t_s < times[0]:
            if self._has_forgotten:
                return None
            span_s = self._edge_span_s(times[0] - t_s)
            power_w = (self._between(times[0] + span_s) - energies[0]) / span_s
            return energies[0] - power_w * (times[0] - t_s)
        if t_s > times[-1]:
            missing_s, last_s = t_s - times[-1], times[-1] - times[-2]
            if last_s >= MIN_EDGE_SPAN_S and last_s >= missing_s:  # As nearly always.
                return energies[-1] + (energies[-1] - energies[-2]) / last_s * missing_s
            span_s = self._edge_span_s(missing_s)
            power_w = (energies[-1] - self._between(times[-1] - span_s)) / span_s
            return energies[-1] + power_w * (t_s - times[-1])
        return self._between(t_s)

    def _edge_span_s(self, missing_s: float) -> float:
        span_s = min(max(missing_s, MIN_EDGE_SPAN_S), EDGE_SPAN_S)
        return min(span_s, self._times_s[-1] - self._times_s[0])

    def _between(self, t_s: float) -> float:
        times, energies = self._times_s, self._energies_j
        if t_s <= times[0]:  # Rounding may have led out of them, here and at the other end.
            return energies[0]
        if t_s >= times[-1]:
            return energies[-1]
        after = bisect_left(times, t_s)
        if times[after] == t_s:
            return energies[after]  # As it was read, and said before there were later ones.
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
        horizon_s = min(t_s, (self.end_s or self._times_s[0]) - EDGE_SPAN_S)
        keep_from = bisect_right(self._times_s, horizon_s) - 1
        if keep_from > 0:
            del self._times_s[:keep_from], self._energies_j[:keep_from]
            self._final_count -= keep_from
            self._has_forgotten = True
