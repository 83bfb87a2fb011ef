"""When a run drew its energy, and what that emits where the intensity changes by the hour."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from carbon.schema import Component, RunReport, SeriesName, SeriesReport
from carbon.units import SECONDS_PER_HOUR

_DAY_S = 24 * SECONDS_PER_HOUR
_INTENSITY_DECIMALS = 9

# A moment has an intensity too, but a mean is over time.
_SHORTEST_S = 1.0
_POWERS: dict[Component, SeriesName] = {
    "gpu": "gpu_power",
    "cpu": "cpu_power",
    "ram": "ram_power",
}

EVENLY = "spread evenly over the run's duration: no power over time is stored of it"


@dataclass(frozen=True)
class Stretch:
    """Energy that was drawn evenly between two moments, in seconds since the run began."""

    from_s: float
    until_s: float
    energy_kwh: float


@dataclass(frozen=True)
class Profile:
    """The intensity over time: constant in steps.

    Attributes:
        origin: the moment that times are counted from.
        edges_s: where each step begins, and where the last one ends.
        intensities: in g/kWh, one fewer.
        repeats: whether the steps are a day that comes again and again.
    """

    origin: datetime
    edges_s: Sequence[float]
    intensities: Sequence[float]
    repeats: bool

    @classmethod
    def of_a_day(cls, hourly: Sequence[float], near: datetime) -> "Profile":
        """Make a profile of the 24 hours of every day, in the time zone of `near`."""
        midnight = near.replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(midnight, [hour * SECONDS_PER_HOUR for hour in range(25)], hourly, repeats=True)

    @classmethod
    def of_moments(cls, points: Sequence[tuple[datetime, float]]) -> "Profile":
        """Make a profile of moments in their order and the intensity from each on."""
        origin = points[0][0]
        edges_s = [(moment - origin).total_seconds() for moment, _ in points]
        return cls(
            origin,
            [*edges_s, edges_s[-1] + SECONDS_PER_HOUR],
            [value for _, value in points],
            repeats=False,
        )

    def mean(self, stretches: Iterable[Stretch], began: datetime) -> float:
        """Return the mean intensity in g/kWh by energy, of a run that begins at `began`.

        Where nothing was drawn, that of the time.

        Raises:
            ValueError: the run is not all within the profile.
        """
        offset_s = (began - self.origin).total_seconds()
        weights, sums = 0.0, 0.0
        listed = list(stretches)
        has_energy = any(stretch.energy_kwh for stretch in listed)
        steps = list(
            accumulate(
                (
                    value * (until_s - from_s)
                    for value, from_s, until_s in zip(
                        self.intensities, self.edges_s, self.edges_s[1:], strict=False
                    )
                ),
                initial=0.0,
            )
        )
        for stretch in listed:
            from_s = stretch.from_s + offset_s
            until_s = max(stretch.until_s + offset_s, from_s + _SHORTEST_S)
            self._require(from_s, stretch.until_s + offset_s)
            mean = (self._until(until_s, steps) - self._until(from_s, steps)) / (until_s - from_s)
            weight = stretch.energy_kwh if has_energy else until_s - from_s
            weights += weight
            sums += weight * mean
        return round(sums / weights, _INTENSITY_DECIMALS)

    def _require(self, from_s: float, until_s: float) -> None:
        if self.repeats:
            return
        for moment_s in (from_s, until_s):
            if not 0 <= moment_s <= self.edges_s[-1]:
                raise ValueError(
                    f"the intensities are known from {self.origin.isoformat()} to "
                    f"{(self.origin + timedelta(seconds=self.edges_s[-1])).isoformat()}, but the "
                    f"run draws energy {_signed_h(moment_s)} from the first of these; send those "
                    "of all of its time, as it was and as it would be"
                )

    def _until(self, moment_s: float, steps: Sequence[float]) -> float:
        """Return the integral of the intensity from the origin on."""
        days = 0.0
        if self.repeats:
            days, moment_s = divmod(moment_s, _DAY_S)
        at = min(bisect_right(self.edges_s, moment_s), len(self.intensities)) - 1
        inside = (moment_s - self.edges_s[at]) * self.intensities[at]
        return days * steps[-1] + steps[at] + inside


def _signed_h(seconds: float) -> str:
    return f"{seconds / SECONDS_PER_HOUR:+.2f} h"


def stretches_of(report: RunReport) -> tuple[list[Stretch], str]:
    """Return when a run drew its energy, and by which method that is known.

    The energy of a component is divided by the power that was recorded of it over time, so that it
    adds up to what was measured; that of a component without any by the time.

    Args:
        report: with its series.

    Returns:
        The stretches, which may overlap, and the method.
    """
    by_component: dict[Component, float | None] = {
        "gpu": report.gpu_energy_kwh,
        "cpu": report.cpu_energy_kwh,
        "ram": report.ram_energy_kwh,
    }
    known = {name: kwh for name, kwh in by_component.items() if kwh is not None}
    stretches: list[Stretch] = []
    by_power: list[Component] = []
    by_time: list[Component] = []
    ends_s = report.duration_s
    if report.ended_at is not None:
        ends_s = (report.ended_at - report.started_at).total_seconds()
    for component, energy_kwh in known.items():
        recorded = _recorded(report, {_POWERS[component]})
        (by_power if recorded else by_time).append(component)
        stretches += _divided(recorded, energy_kwh, ends_s) or [Stretch(0.0, ends_s, energy_kwh)]
    if not known:  # A report of the total alone, or of nothing.
        recorded = _recorded(report, set(_POWERS.values()))
        if recorded:
            by_power.append("gpu")
        total = report.energy_kwh or 0.0
        stretches = _divided(recorded, total, ends_s) or [Stretch(0.0, ends_s, total)]
    if not by_power:
        return stretches, EVENLY
    method = f"divided by the power recorded over time of {', '.join(by_power)}"
    if by_time:
        method += f", that of {', '.join(by_time)} evenly over the run's duration"
    return stretches, method


def _recorded(report: RunReport, names: set[SeriesName]) -> list[SeriesReport]:
    every = [series for node in report.nodes for series in node.series if series.name in names]
    return [series for series in every if any(series.values)]


def _divided(recorded: Iterable[SeriesReport], energy_kwh: float, ends_s: float) -> list[Stretch]:
    """Divide energy among the stretches of series by their power; the last ends with the run."""
    powers: dict[tuple[float, float], float] = defaultdict(float)
    for series in recorded:
        for index, value in enumerate(series.values):
            if value:
                from_s = series.start_s + index * series.interval_s
                powers[from_s, from_s + series.interval_s] += value * series.interval_s
    total = sum(powers.values())
    return [
        Stretch(min(from_s, ends_s), min(until_s, ends_s), energy_kwh * power / total)
        for (from_s, until_s), power in sorted(powers.items())
    ]
