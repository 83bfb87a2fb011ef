"""A meter as one part of a run sees it: energy and utilisation since the part took it over."""

import math
import time
from collections.abc import Callable, Collection, Sequence

from carbon.attribution.sharing import Share
from carbon.meters.base import Meter, Reading
from carbon.spool.part import Metered
from carbon.tracking.curve import EDGE_SPAN_S, Curve
from carbon.tracking.division import Division

Count = tuple[float, float]
"""A moment, and what the meter had counted by then for all runs together, in joules."""


class MeterWindow:
    """What a meter has counted since `since_s`, a moment of `time.monotonic()`.

    Readings begin a little after that, once the meter is open; the curve is extended back over the
    gap. `idle_power_w` is what the device draws idle, None where that was never measured.
    """

    def __init__(
        self,
        meter: Meter,
        since_s: float,
        idle_power_w: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        self.since_s = since_s
        self.idle_power_w = idle_power_w
        self._last: Reading | None = None
        self._highest_j = -1.0
        self._rose_s = since_s
        self._clock = clock
        self._curve = Curve()
        self._first_s: float | None = None
        self._base_j: float | None = None
        self._division: Division | None = None  # Until there is somebody to share with.
        self._kept_j: dict[float, float] = {}  # The run's energy until moments long gone.
        self.next_poll_s = math.inf
        """The moment by which the meter wants to be read again; infinity where any will do."""
        self.utilization_percent: float | None = None
        """As it was sampled last."""
        self._utilization_s: float = 0.0
        self._utilization_percent_s: float = 0.0

    @property
    def is_following(self) -> bool:
        """Whether the meter is finding out the energy at a moment."""
        return getattr(self.meter, "is_following", False)

    @property
    def is_shared(self) -> bool:
        """Whether another run ever took a share."""
        return self._division is not None

    def follow(self, at_s: float) -> None:
        """Let the meter find out the energy at a moment exactly, where it can."""
        follow = getattr(self.meter, "follow", None)
        if follow is not None:
            follow(at_s)
            self._expect_poll()

    @property
    def covers_until_s(self) -> float:
        """The moment up to which the meter answers; with fewer than two readings, for nothing."""
        end_s = self._curve.end_s
        return self.since_s if end_s is None or not self._curve.is_known else end_s

    def read(self) -> None:
        """Read the meter once."""
        reading = self.meter.read()
        if self._first_s is None:
            self._first_s = reading.at_s
        if reading is not self._last:
            self._last = reading
            if reading.energy_j > self._highest_j:
                self._highest_j, self._rose_s = reading.energy_j, reading.at_s
            self._curve.append(reading)
        self._expect_poll()

    def _expect_poll(self) -> None:
        interval_s = self.meter.poll_interval_s
        self.next_poll_s = math.inf if interval_s is None else self._clock() + interval_s

    def sample_utilization(self, covers_s: float) -> None:
        """Take the utilisation of this moment to stand for the last `covers_s` seconds."""
        percent = self.utilization_percent = self.meter.utilization_percent()
        if percent is not None and covers_s > 0:
            self._utilization_s += covers_s
            self._utilization_percent_s += covers_s * percent

    @property
    def mean_utilization_percent(self) -> float | None:
        """The time-weighted mean of the samples, 0 to 100."""
        if not self._utilization_s:
            return None
        return min(self._utilization_percent_s / self._utilization_s, 100.0)

    def share(self, from_s: float, shares: Sequence[Share]) -> None:
        """Take less than all where other runs share; replaces what was said of `from_s` and on."""
        if shares and self._division is None:
            self._division = Division(self._curve, self.since_s)
        if self._division is not None:
            self._division.share(from_s, shares)

    def total_j(self, until_s: float) -> float | None:
        """Return the run's energy since the window opened, in joules."""
        if until_s in self._kept_j:
            return self._kept_j[until_s]
        base_j = self._base() if self._base_j is None else self._base_j
        end_j = base_j if until_s <= self.since_s else self._curve.at(until_s)
        if base_j is None or end_j is None:
            return None
        given_j = 0.0 if self._division is None else self._division.given_j(until_s)
        return max(end_j - base_j - given_j, 0.0)

    def energy_j(self, from_s: float, until_s: float) -> float | None:
        """Return the run's energy between two moments; what lies before the window is not its."""
        start_j, end_j = self.total_j(from_s), self.total_j(until_s)
        return None if start_j is None or end_j is None else max(end_j - start_j, 0.0)

    def counted(self, until_s: float) -> Count:
        """Return the last reading that stands, or what it makes known of `until_s` if it is later.

        Of the moment at which the window opened while nothing later is known.
        """
        end_s = self.covers_until_s
        if end_s <= until_s:
            return end_s, self._curve.end_j
        return until_s, self._curve.at(until_s) or 0.0

    def begin(self) -> Count | None:
        """Return the moment at which the window opened, with its count; None while unknown."""
        base_j = self._base()
        return None if base_j is None else (self.since_s, base_j)

    def own(self, counts: Sequence[Count]) -> Sequence[Count]:
        """Return of each count what is the run's; only differences mean something."""
        if self._division is None:
            return counts
        return [(at_s, count_j - self._division.given_j(at_s)) for at_s, count_j in counts]

    def idle_j(self, until_s: float) -> float | None:
        """Return what the run's share of the idle device would have drawn meanwhile, in joules.

        Never more than it drew; None where its idle power or its energy is unknown.
        """
        if self.idle_power_w is None or (total_j := self.total_j(until_s)) is None:
            return None
        # A device that has failed keeps its energy, and its idle part must not go on growing.
        measured_until_s = until_s if self.meter.note is None else min(self._rose_s, until_s)
        idle_s = measured_until_s - self.since_s
        if self._division is not None:
            idle_s -= self._division.given_idle_s(measured_until_s)
        return min(self.idle_power_w * max(idle_s, 0.0), total_j)

    def forget_before(self, t_s: float, needed: Collection[float] = ()) -> None:
        """Free the readings before `t_s`; the total is not touched.

        The energy until the moments `needed`, those at which epochs began that still go on, stays
        known without the readings around them.
        """
        if self._base_j is None:
            return
        known_s = min(t_s, self.covers_until_s)
        counted = {at_s: self.total_j(at_s) for at_s in needed if at_s <= known_s}
        self._kept_j = {at_s: joules for at_s, joules in counted.items() if joules is not None}
        if self._division is not None:  # What is still to be shared is still to be known.
            t_s = self._division.forget_before(t_s)
        self._curve.forget_before(t_s)

    def _base(self) -> float | None:
        """The meter's count when the window opened; provisional until it has run for a while."""
        if self._base_j is not None:
            return self._base_j
        base_j = self._curve.at(self.since_s)
        if (
            self._first_s is not None
            and self._curve.end_s is not None
            and self._curve.end_s - self._first_s >= EDGE_SPAN_S
        ):
            self._base_j = base_j
        return base_j

    def describe(self, key: str) -> Metered:
        """Introduce the meter to the spool."""
        device = self.meter.device
        return Metered(
            key=key,
            component=self.meter.component,
            method=self.meter.method,
            uncertainty=self.meter.uncertainty,
            uuid=device.uuid if device else None,
            index=device.index if device else None,
            name=device.name if device else getattr(self.meter, "cpu_model", None),
            idle_power_w=self.idle_power_w,
            unseen_s=max(self._first_s - self.since_s, 0.0) if self._first_s is not None else 0.0,
        )
