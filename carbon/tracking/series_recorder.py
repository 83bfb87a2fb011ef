"""Records, at every sample, what the devices and the host do beside drawing energy."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from carbon.errors import SpoolError
from carbon.meters.base import BoardSensors
from carbon.schema import SeriesName, is_of_device
from carbon.spool.journal import Journal
from carbon.spool.part import Started
from carbon.spool.series import PartSeries, RecordedSeries, Series
from carbon.tracking.host_readings import BYTES_PER_GIB, HostReadings
from carbon.tracking.metering import Metering
from carbon.tracking.window import MeterWindow

log = logging.getLogger("carbon")

WRITE_INTERVAL_S = 30.0
"""How often the series are written: what a kill costs of them at most, and of no energy."""

LOOK_INTERVAL_S = 10.0
"""How often at most what is not known from the energy readings is looked at: memory, temperature,
the host's load and traffic. A look at all of it costs about as much as an energy reading of eight
GPUs; load and traffic are counted, so that a longer stretch loses nothing of their mean."""

_POWERS: Mapping[str, SeriesName] = {"gpu": "gpu_power", "cpu": "cpu_power", "ram": "ram_power"}

_OF_BOARDS = frozenset({"gpu_memory", "gpu_temperature"})
_OF_HOST = frozenset(
    {"cpu_utilization", "cpu_frequency", "ram_used", "network_sent", "network_received"}
)

_Key = tuple[SeriesName, str | None]
"""What is recorded, and the UUID of the device it is of."""

OpenHostReadings = Callable[[Collection[SeriesName]], HostReadings]


class _Noted(NamedTuple):
    """What the meters told at a sample, in their order."""

    from_s: float
    until_s: float
    ends_s: list[float]
    """Up to when their readings stand."""
    utilization_percent: list[float | None]


class SeriesRecorder:
    """The series of one process's part in a run; used by the recorder's thread alone.

    A device's are recorded by the process that meters it and the host's by the one that holds the
    host, so that none is there twice. Meters are not read for it: power is the slope between
    readings that were taken anyway. Nothing is raised; after a fault of its own it records no more.
    """

    def __init__(
        self,
        chosen: Collection[SeriesName],
        started: Started,
        began_s: float,
        interval_s: float,
        open_host_readings: OpenHostReadings = HostReadings,
    ) -> None:
        self._chosen = frozenset(chosen)
        self._started = started
        self._began_s = began_s
        self._interval_s = interval_s
        self._open_host_readings = open_host_readings
        self._series: dict[_Key, Series] = {}
        self._windows: list[MeterWindow] = []
        self._noted: list[_Noted] = []
        self._powers: dict[_Key, list[int]] = {}
        self._told_s: dict[_Key, float] = {}  # Up to here a power is recorded.
        self._sensors: dict[str, BoardSensors | None] = {}
        self._host: HostReadings | None = None
        self._host_since_s: float | None = None
        self._looked_s = began_s
        self._look_due_s = began_s
        self._written_s = began_s
        self._works = bool(self._chosen)

    def sample(
        self, metering: Metering, from_s: float, until_s: float, *, at_end: bool = False
    ) -> None:
        """Record the time since the last sample, after the meters were read.

        What the meters tell is noted only, for `catch_up`: many samples at once take less time.
        """
        if not self._works:
            return
        try:
            if len(self._windows) != len(metering.windows):
                self._windows = list(metering.windows.values())
                self._group()
            ends_s = [window.covers_until_s for window in self._windows]
            percents = [window.utilization_percent for window in self._windows]
            self._noted.append(_Noted(from_s, until_s, ends_s, percents))
            if self._host_since_s is None and metering.holds_host:
                self._host_since_s = from_s  # Taken over after the last sample, if not at first.
            # Half a sample of tolerance, or one that comes a little early would cost a whole one.
            if at_end or until_s >= self._look_due_s - self._interval_s / 2:
                self._look(metering, until_s)
        except Exception as error:  # noqa: BLE001 - no fault here may touch the energy figures
            self._give_up(error)

    def catch_up(self) -> None:
        """Record what was noted; before the meters' readings are forgotten."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        try:
            for key, places in self._powers.items():
                self._add_power(key, places, noted)
            if "gpu_utilization" in self._chosen:
                self._add_utilization(noted)
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def write(self, journal: Journal, now_s: float, *, at_end: bool = False) -> None:
        """Put what is recorded beside the part in the spool, if the time for it has come."""
        if not at_end and now_s - self._written_s < WRITE_INTERVAL_S:
            return
        self._written_s = now_s
        try:
            series = self.recorded()
            if not series.recorded:
                return
            if at_end:
                journal.series = series
            journal.write_series(series)
        except SpoolError as error:
            log.debug("the series of run %s are not kept: %s", self._started.run_id, error)
        except Exception as error:  # noqa: BLE001 - the run is still to be delivered
            log.warning("the series are not kept: %s: %s", type(error).__name__, error)

    def recorded(self) -> PartSeries:
        """Return what has been recorded."""
        self.catch_up()
        return PartSeries(
            hostname=self._started.hostname,
            attempt=self._started.attempt,
            started_at=datetime.fromisoformat(self._started.started_at),
            recorded=[
                RecordedSeries(name, uuid, series) for (name, uuid), series in self._series.items()
            ],
        )

    def _group(self) -> None:
        """Find out whose power is recorded by which name; no meter is ever taken away."""
        self._powers.clear()
        for place, window in enumerate(self._windows):
            name, device = _POWERS[window.meter.component], window.meter.device
            if name in self._chosen and is_of_device(name) == (device is not None):
                key = name, device.uuid if device else None
                self._powers.setdefault(key, []).append(place)

    def _add_power(self, key: _Key, places: Sequence[int], noted: Sequence[_Noted]) -> None:
        """Record the mean power up to the last reading, which may be a little before the sample."""
        windows = [self._windows[place] for place in places]
        edges_s = [self._told_s.get(key, max(window.since_s for window in windows))]
        for sample in noted:
            if places[-1] < len(sample.ends_s):  # Else it was not open yet.
                # Of several, as the sockets of a host, all are read at once, to a millisecond.
                end_s = min(sample.until_s, *[sample.ends_s[place] for place in places])
                if end_s > edges_s[-1]:
                    edges_s.append(end_s)
        if len(edges_s) == 1:
            return
        self._told_s[key] = edges_s[-1]
        counts_j = []
        for window in windows:
            if (counted_j := window.counts_j(edges_s)) is None:
                return
            counts_j.append(counted_j)
        # A device that is lost keeps its energy as it was; what it draws is unknown, not 0 W.
        at_rest_w = None if any(window.meter.note for window in windows) else 0.0
        powers_w: list[float | None] = []
        totals_j = counts_j[0] if len(counts_j) == 1 else map(sum, zip(*counts_j, strict=True))
        points = pairwise(zip(edges_s, totals_j, strict=True))
        for (before_s, before_j), (after_s, after_j) in points:
            risen_j = after_j - before_j
            powers_w.append(risen_j / (after_s - before_s) if risen_j > 0 else at_rest_w)
        self._add(*key, edges_s, powers_w)

    def _add_utilization(self, noted: Sequence[_Noted]) -> None:
        """Record the utilisation that was sampled for the energy report."""
        edges_s = [noted[0].from_s, *(sample.until_s for sample in noted)]
        for place, window in enumerate(self._windows):
            device = window.meter.device
            if device is not None:
                percents = [
                    sample.utilization_percent[place]
                    if place < len(sample.utilization_percent)
                    else None
                    for sample in noted
                ]
                self._add("gpu_utilization", device.uuid, edges_s, percents)

    def _look(self, metering: Metering, now_s: float) -> None:
        """Look at what is not known from the meters' readings; it stands for the time until now."""
        from_s, self._looked_s = self._looked_s, now_s
        self._look_due_s = now_s + LOOK_INTERVAL_S
        if not self._chosen.isdisjoint(_OF_BOARDS):
            for window in metering.windows.values():
                self._look_at_board(window, (max(from_s, window.since_s), now_s))
        if self._host_since_s is not None and not self._chosen.isdisjoint(_OF_HOST):
            if self._host is None:
                self._host = self._open_host_readings(self._chosen)
            for name, value in self._host.read(now_s).items():
                self._add(name, None, (max(from_s, self._host_since_s), now_s), (value,))

    def _look_at_board(self, window: MeterWindow, edges_s: tuple[float, float]) -> None:
        meter, device = window.meter, window.meter.device
        if device is None:
            return
        if device.uuid not in self._sensors:
            self._sensors[device.uuid] = meter if isinstance(meter, BoardSensors) else None
        sensors = self._sensors[device.uuid]
        if sensors is None:
            return
        if "gpu_memory" in self._chosen:
            used_bytes = sensors.memory_used_bytes()
            if used_bytes is not None:
                self._add("gpu_memory", device.uuid, edges_s, (used_bytes / BYTES_PER_GIB,))
        if "gpu_temperature" in self._chosen:
            celsius = sensors.temperature_celsius()
            if celsius is not None:
                self._add("gpu_temperature", device.uuid, edges_s, (celsius,))

    def _give_up(self, error: Exception) -> None:
        log.warning("no further series are recorded: %s: %s", type(error).__name__, error)
        self._works = False

    def _add(
        self,
        name: SeriesName,
        uuid: str | None,
        edges_s: Sequence[float],
        values: Sequence[float | None],
    ) -> None:
        if name not in self._chosen or edges_s[-1] <= edges_s[0]:
            return
        moments = [t_s - self._began_s for t_s in edges_s]
        series = self._series.get((name, uuid))
        if series is None:
            series = self._series[name, uuid] = Series(moments[0], self._interval_s)
        series.add_row(moments, values)
