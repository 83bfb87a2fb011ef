"""Records, at every sample, what the devices and the host do beside drawing energy."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from carbon.errors import SpoolError
from carbon.meters.base import BoardSensors
from carbon.schema import SeriesName, is_of_device
from carbon.spool.journal import Journal
from carbon.spool.part import Started
from carbon.spool.series import PartSeries, RecordedSeries, Series
from carbon.tracking.host_readings import BYTES_PER_GIB, HostReadings
from carbon.tracking.metering import Metering
from carbon.tracking.window import Count, MeterWindow

log = logging.getLogger("carbon")

WRITE_INTERVAL_S = 30.0
"""How often the series are written: what a kill costs of them at most, and of no energy."""

LOOK_INTERVAL_S = 15.0
"""How often at most what is not known from the energy readings is looked at: memory, temperature,
the host's load and traffic. A look at all of it costs twice as much as an energy reading of eight
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
    counts: list[Count]
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
        self._told: dict[int, Count] = {}  # By place: up to here its power is recorded.
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
                self.catch_up()
                self._windows = list(metering.windows.values())
                self._group()
            counts = [window.counted(until_s) for window in self._windows]
            percents = [window.utilization_percent for window in self._windows]
            self._noted.append(_Noted(from_s, until_s, counts, percents))
            if self._host_since_s is None and metering.holds_host:
                self._host_since_s = from_s  # Taken over after the last sample, if not at first.
            # Half a sample of tolerance, or one that comes a little early would cost a whole one.
            if at_end or until_s >= self._look_due_s - self._interval_s / 2:
                self._look(metering, until_s)
        except Exception as error:  # noqa: BLE001 - no fault here may touch the energy figures
            self._give_up(error)

    def catch_up(self) -> None:
        """Record what was noted; where other runs share, before readings are forgotten."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        try:
            counts = list(zip(*[sample.counts for sample in noted], strict=True))
            for key, places in self._powers.items():
                self._add_power(key, places, counts)
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

    def _add_power(
        self, key: _Key, places: Sequence[int], counts: Sequence[Sequence[Count]]
    ) -> None:
        """Record the mean power up to the last reading, which may be a little before the sample."""
        columns = []
        for place in places:
            window, last = self._windows[place], counts[place][-1]
            told = self._told.get(place) or window.begin()
            if told is None or last[0] <= told[0]:
                return  # Nothing new is known; the next readings will tell of this time too.
            columns.append(window.own((told, *counts[place])))
        self._told |= {place: counts[place][-1] for place in places}
        points: Sequence[Count] = columns[0]
        if len(columns) > 1:  # As the sockets of a host, which are read at once, to a millisecond.
            rows = zip(*columns, strict=True)
            points = [(min(at_s for at_s, _ in row), sum(j for _, j in row)) for row in rows]
        # A device that is lost keeps its energy as it was; what it draws is unknown, not 0 W.
        lost = any(self._windows[place].meter.note for place in places)
        (before_s, before_j), *later = points
        edges_s, powers_w = [before_s], list[float | None]()
        for at_s, count_j in later:
            if at_s > before_s:  # Else it was not read in between.
                risen_j = count_j - before_j
                power_w = risen_j / (at_s - before_s)
                powers_w.append(power_w if risen_j > 0 else None if lost else 0.0)
                edges_s.append(at_s)
                before_s, before_j = at_s, count_j
        self._add(*key, edges_s, powers_w)

    def _add_utilization(self, noted: Sequence[_Noted]) -> None:
        """Record the utilisation that was sampled for the energy report."""
        edges_s = [noted[0].from_s, *[sample.until_s for sample in noted]]
        columns = zip(*[sample.utilization_percent for sample in noted], strict=True)
        for window, percents in zip(self._windows, columns, strict=True):
            if window.meter.device is not None:
                self._add("gpu_utilization", window.meter.device.uuid, edges_s, percents)

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
