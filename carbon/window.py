"""A meter as one part of a run sees it: energy and utilisation since the part took it over."""

from carbon.curve import EDGE_SPAN_S, Curve
from carbon.meters.base import Meter
from carbon.part import Metered


class MeterWindow:
    """What a meter has counted since `since_s`, a moment of `time.monotonic()`.

    Readings begin a little after that, once the meter is open; the curve is extended back over the
    gap.
    """

    def __init__(self, meter: Meter, since_s: float) -> None:
        self.meter = meter
        self.since_s = since_s
        self._curve = Curve()
        self._first_s: float | None = None
        self._base_j: float | None = None
        self._utilization_s: float = 0.0
        self._utilization_percent_s: float = 0.0

    @property
    def last_reading_s(self) -> float | None:
        """The moment of the last reading."""
        return self._curve.end_s

    @property
    def covers_until_s(self) -> float:
        """The moment up to which the meter answers; with fewer than two readings, for nothing."""
        end_s = self._curve.end_s
        return self.since_s if end_s is None or self._curve.at(end_s) is None else end_s

    def read(self) -> None:
        """Read the meter once."""
        reading = self.meter.read()
        if self._first_s is None:
            self._first_s = reading.at_s
        self._curve.append(reading)

    def sample_utilization(self, covers_s: float) -> None:
        """Take the utilisation of this moment to stand for the last `covers_s` seconds."""
        percent = self.meter.utilization_percent()
        if percent is not None and covers_s > 0:
            self._utilization_s += covers_s
            self._utilization_percent_s += covers_s * percent

    @property
    def mean_utilization_percent(self) -> float | None:
        """The time-weighted mean of the samples, 0 to 100."""
        if not self._utilization_s:
            return None
        return min(self._utilization_percent_s / self._utilization_s, 100.0)

    def total_j(self, until_s: float) -> float | None:
        """Return the energy since the window opened, in joules."""
        base_j, end_j = self._base(), self._curve.at(max(until_s, self.since_s))
        return None if base_j is None or end_j is None else max(end_j - base_j, 0.0)

    def energy_j(self, from_s: float, until_s: float) -> float | None:
        """Return the energy between two moments; what lies before the window opened is not its."""
        start_j = self._curve.at(max(from_s, self.since_s))
        end_j = self._curve.at(max(until_s, self.since_s))
        return None if start_j is None or end_j is None else max(end_j - start_j, 0.0)

    def forget_before(self, t_s: float) -> None:
        """Free the readings before `t_s`; the total is not touched."""
        if self._base_j is not None:
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
        )
