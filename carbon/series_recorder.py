"""Records, at every sample, what the devices and the host do beside drawing energy."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from carbon.errors import SpoolError
from carbon.host_readings import BYTES_PER_GIB, HostReadings
from carbon.journal import Journal
from carbon.metering import Metering
from carbon.meters.base import BoardSensors
from carbon.part import Started
from carbon.schema import SeriesName, is_of_device
from carbon.series import PartSeries, RecordedSeries, Series
from carbon.window import MeterWindow

log = logging.getLogger("carbon")

WRITE_INTERVAL_S = 30.0
"""How often the series are written: what a kill costs of them at most, and of no energy."""

LOOK_INTERVAL_S = 5.0
"""How often at most what is not known from the energy readings is looked at: memory, temperature,
the host's load and traffic. A look at all of it costs about as much as an energy reading of eight
GPUs; load and traffic are counted, so that a longer stretch loses nothing of their mean."""

_POWERS: Mapping[str, SeriesName] = {"gpu": "gpu_power", "cpu": "cpu_power", "ram": "ram_power"}

_OF_BOARDS = frozenset({"gpu_memory", "gpu_temperature"})
_OF_HOST = frozenset(
    {"cpu_utilization", "cpu_frequency", "ram_used", "network_sent", "network_received"}
)

OpenHostReadings = Callable[[Collection[SeriesName]], HostReadings]


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
        self._series: dict[tuple[SeriesName, str | None], Series] = {}
        self._powers: dict[tuple[SeriesName, str | None], list[MeterWindow]] = {}
        self._grouped_count = 0
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
        """Record the time since the last sample, after the meters were read."""
        if not self._works:
            return
        try:
            self._sample_powers(metering.windows, until_s)
            if "gpu_utilization" in self._chosen:
                self._sample_utilization(metering.windows.values(), from_s, until_s)
            if self._host_since_s is None and metering.holds_host:
                self._host_since_s = from_s  # Taken over after the last sample, if not at first.
            # Half a sample of tolerance, or one that comes a little early would cost a whole one.
            if at_end or until_s >= self._look_due_s - self._interval_s / 2:
                self._look(metering, until_s)
        except Exception as error:  # noqa: BLE001 - no fault here may touch the energy figures
            log.warning("no further series are recorded: %s: %s", type(error).__name__, error)
            self._works = False

    def write(self, journal: Journal, now_s: float, *, at_end: bool = False) -> None:
        """Put what is recorded beside the part in the spool, if the time for it has come."""
        if not self._series or (not at_end and now_s - self._written_s < WRITE_INTERVAL_S):
            return
        self._written_s = now_s
        try:
            series = self.recorded()
            if at_end:
                journal.series = series
            journal.write_series(series)
        except SpoolError as error:
            log.debug("the series of run %s are not kept: %s", self._started.run_id, error)
        except Exception as error:  # noqa: BLE001 - the run is still to be delivered
            log.warning("the series are not kept: %s: %s", type(error).__name__, error)

    def recorded(self) -> PartSeries:
        """Return what has been recorded."""
        return PartSeries(
            hostname=self._started.hostname,
            attempt=self._started.attempt,
            started_at=datetime.fromisoformat(self._started.started_at),
            recorded=[
                RecordedSeries(name, uuid, series) for (name, uuid), series in self._series.items()
            ],
        )

    def _sample_powers(self, windows: Mapping[str, MeterWindow], until_s: float) -> None:
        """Record the mean power up to the last reading, which may be a little before the sample."""
        if self._grouped_count != len(windows):
            self._grouped_count = len(windows)
            self._group(windows.values())
        for (name, uuid), together in self._powers.items():
            stretches = [s for w in together if (s := w.newly_metered(until_s)) is not None]
            # A device that is lost keeps its energy as it was; what it draws is unknown, not 0 W.
            is_lost = not any(s.energy_j for s in stretches) and any(
                window.meter.note for window in together
            )
            if len(stretches) == len(together) and not is_lost:
                # Of several, as the sockets of a host, all are read at once, to a millisecond.
                from_s, to_s = stretches[0].from_s, stretches[0].until_s
                power_w = sum(s.energy_j / (s.until_s - s.from_s) for s in stretches)
                self._add(name, uuid, from_s, to_s, power_w)

    def _group(self, windows: Iterable[MeterWindow]) -> None:
        """Find out whose power is recorded by which name; no meter is ever taken away."""
        self._powers.clear()
        for window in windows:
            name, device = _POWERS[window.meter.component], window.meter.device
            if name in self._chosen and is_of_device(name) == (device is not None):
                key = name, device.uuid if device else None
                self._powers.setdefault(key, []).append(window)

    def _sample_utilization(
        self, windows: Iterable[MeterWindow], from_s: float, until_s: float
    ) -> None:
        """Record the utilisation that was sampled for the energy report."""
        for window in windows:
            device, percent = window.meter.device, window.utilization_percent
            if device is not None and percent is not None:
                self._add(
                    "gpu_utilization", device.uuid, max(from_s, window.since_s), until_s, percent
                )

    def _look(self, metering: Metering, now_s: float) -> None:
        """Look at what is not known from the meters' readings; it stands for the time until now."""
        from_s, self._looked_s = self._looked_s, now_s
        self._look_due_s = now_s + LOOK_INTERVAL_S
        if not self._chosen.isdisjoint(_OF_BOARDS):
            for window in metering.windows.values():
                self._look_at_board(window, max(from_s, window.since_s), now_s)
        if self._host_since_s is not None and not self._chosen.isdisjoint(_OF_HOST):
            if self._host is None:
                self._host = self._open_host_readings(self._chosen)
            for name, value in self._host.read(now_s).items():
                self._add(name, None, max(from_s, self._host_since_s), now_s, value)

    def _look_at_board(self, window: MeterWindow, from_s: float, now_s: float) -> None:
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
                self._add("gpu_memory", device.uuid, from_s, now_s, used_bytes / BYTES_PER_GIB)
        if "gpu_temperature" in self._chosen:
            celsius = sensors.temperature_celsius()
            if celsius is not None:
                self._add("gpu_temperature", device.uuid, from_s, now_s, celsius)

    def _add(
        self, name: SeriesName, uuid: str | None, from_s: float, until_s: float, value: float
    ) -> None:
        if name not in self._chosen or until_s <= from_s:
            return
        series = self._series.get((name, uuid))
        if series is None:
            start_s = from_s - self._began_s
            series = self._series[name, uuid] = Series(start_s, self._interval_s)
        series.add(from_s - self._began_s, until_s - self._began_s, value)
