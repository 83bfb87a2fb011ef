"""The two ways to a Jetson's rails: files in sysfs, and the lines that `tegrastats` prints."""

import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carbon import units
from carbon.meters.jetson_rails import UNUSED, Division, RailEnergies, plausible_w
from carbon.schema import Component

_log = logging.getLogger(__name__)

SYSFS_UNCERTAINTY = 0.05
"""INA3221 (TI, SBOS576): gain errors of shunt and bus voltage of 0.25 % each, and an offset of 80
uV, which is 2 % of 2 A through 2 mOhm. Our judgement: shunts of 1 %, and 4 % for what happens
between two samples. The root of the sum of the squares."""

TEGRASTATS_UNCERTAINTY = 0.06
"""The same, and the moment of a reading is known only by when its line arrives."""

SAMPLE_INTERVAL_S = 0.1
"""How often rails are read: within the tenths of a second in which a training alternates between
computing and waiting, and not more often: every value is a transaction on the I2C bus."""

MIN_INTERVAL_S = 0.02
"""Meters of one board that are read one after the other share a reading."""

FIRST_LINE_S = 3.0
STALE_S = 2.0
_STOP_S = 1.0
_MAX_LINE_BYTES = 8192

_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?!\S)")
_GPU_LOAD = re.compile(r"(?<!\S)GR3D_FREQ (\d+)%")


@dataclass(frozen=True)
class BoardReading:
    """What the components have drawn up to a moment, in joules, and why something is missing."""

    at_s: float
    energy_j: dict[Component, float]
    note: str | None


class RailSource(Protocol):
    """A board's rails, integrated.

    Attributes:
        method, uncertainty, poll_interval_s: as in `carbon.meters.base.Meter`.
        division: which rails there are, and what they supply.
    """

    method: str
    uncertainty: float
    poll_interval_s: float | None
    division: Division

    def read(self) -> BoardReading:
        """Return what has been drawn; never raises."""
        ...

    def utilization_percent(self) -> float | None:
        """Return the GPU's utilisation now, 0 to 100, or None."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


class SysfsRails:
    """Rails that the kernel shows as files.

    Raises `OSError` or `ValueError` when opened on rails that cannot all be read.
    """

    method = "jetson_ina3221"
    uncertainty = SYSFS_UNCERTAINTY
    poll_interval_s: float | None = SAMPLE_INTERVAL_S

    def __init__(
        self,
        files: "dict[str, RailFiles]",
        load_file: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.division = Division.of(files)
        self._files = files
        self._load_file = load_file
        self._clock = clock
        self._lock = threading.Lock()  # The host's meters are opened in a thread of their own.
        self._energies = RailEnergies(self.division)
        self._opened_at_s = self._at_s = clock()
        self._failures: dict[str, str] = {}
        self._energies.add(self._at_s, {name: rail.power_w() for name, rail in files.items()})

    def read(self) -> BoardReading:
        """Return what has been drawn; see `RailSource.read`."""
        with self._lock:
            now_s = self._clock()
            if now_s - self._at_s >= MIN_INTERVAL_S:
                self._sample(now_s)
            energy_j = {c: self._energies.of(c) for c in self.division.components}
            return BoardReading(self._at_s, energy_j, "; ".join(self._failures.values()) or None)

    def _sample(self, now_s: float) -> None:
        power_w = {}
        for name, rail in self._files.items():
            try:
                power_w[name] = rail.power_w()
                self._failures.pop(name, None)
            except (OSError, ValueError) as error:
                after_s = now_s - self._opened_at_s
                self._failures.setdefault(
                    name, f"{name}: no reading after {after_s:.1f} s: {error}"
                )
        self._energies.add(now_s, power_w)
        self._at_s = now_s

    def utilization_percent(self) -> float | None:
        """Return the GPU's load, which the kernel counts in thousandths."""
        if self._load_file is None:
            return None
        try:
            return min(max(_number(self._load_file) / 10.0, 0.0), 100.0)
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""


@dataclass(frozen=True)
class RailFiles:
    """Where one rail's power is: in one file in mW, or as mV and mA in two."""

    files: tuple[Path, ...]

    def power_w(self) -> float:
        """Return the power; raises `OSError` or `ValueError`."""
        watts = 1.0
        for file in self.files:
            watts *= _number(file) / 1000.0
        return plausible_w(watts)


def find_rails(drivers: Path) -> dict[str, RailFiles]:
    """Return the rails under `/sys/bus/i2c/drivers`, by name; raises `OSError`.

    Two layouts: a hwmon device with a label, mV and mA for each channel (Jetson Linux 32.5 and
    newer), and before that an iio device with a name and mW.
    """
    found: dict[str, RailFiles] = {}
    for label in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in[123]_label")):
        channel, folder = label.name[2], label.parent
        switch = folder / f"in{channel}_enable"
        if switch.exists() and switch.read_text(encoding="ascii").strip() == "0":
            continue
        files = folder / f"in{channel}_input", folder / f"curr{channel}_input"
        _add(found, label, RailFiles(files))
    for label in sorted(drivers.glob("ina3221*/*/iio:device*/rail_name_[012]")):
        _add(found, label, RailFiles((label.parent / f"in_power{label.name[-1]}_input",)))
    return found


def _add(found: dict[str, RailFiles], label: Path, rail: RailFiles) -> None:
    name = label.read_text(encoding="utf-8").strip().upper()
    if name not in UNUSED:
        found.setdefault(name, rail)


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def parse_line(line: str) -> dict[str, float]:
    """Return the power of each rail in a line of `tegrastats`, in watts.

    Each stands there as "NAME now/average", with "mW" behind the numbers since Jetson Linux 34.
    """
    return {
        name: plausible_w(int(now_mw) / units.MILLIWATTS_PER_WATT)
        for name, now_mw in _RAIL.findall(line)
        if name not in UNUSED
    }


class Tegrastats:
    """Rails as `tegrastats` prints them, read by a thread of their own until closed.

    Raises `OSError` when opened where it cannot be started or prints no rails.
    """

    method = "jetson_tegrastats"
    uncertainty = TEGRASTATS_UNCERTAINTY
    poll_interval_s: float | None = None  # The thread misses no line.

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._has_rails = threading.Event()
        self._opened_at_s = self._at_s = clock()
        self._energies: RailEnergies | None = None
        self._load_percent: float | None = None
        self._note: str | None = None
        self._process = subprocess.Popen(
            [*command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # The training's Ctrl-C is not its.
        )
        self._thread = threading.Thread(target=self._follow, name="carbon-tegrastats", daemon=True)
        self._thread.start()
        if not self._has_rails.wait(FIRST_LINE_S) or self._energies is None:
            self.close()
            raise OSError(f"{command[0]} printed no power rails")

    def _follow(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        for line in iter(lambda: stream.readline(_MAX_LINE_BYTES), b""):
            try:
                text = line.decode("ascii", errors="replace")
                power_w = parse_line(text)
            except ValueError as error:
                _log.debug("a line of tegrastats is left out: %s", error)
                continue
            if power_w:
                self._take(power_w, text)
        self._has_rails.set()  # There is nothing more to wait for.

    def _take(self, power_w: dict[str, float], text: str) -> None:
        load = _GPU_LOAD.search(text)
        with self._lock:
            if self._energies is None:
                self.division = Division.of(power_w)
                self._energies = RailEnergies(self.division)
            self._at_s = self._clock()
            self._energies.add(self._at_s, power_w)
            self._load_percent = min(float(load[1]), 100.0) if load else None
            self._note = None
        self._has_rails.set()

    def read(self) -> BoardReading:
        """Return what had been drawn at the last line; see `RailSource.read`.

        Without a line for `STALE_S` nothing more is assumed until the next.
        """
        now_s = self._clock()
        with self._lock:
            energies = self._energies
            assert energies is not None
            at_s = self._at_s
            if now_s - at_s > STALE_S:
                if self._note is None:
                    self._note = f"no line of tegrastats after {at_s - self._opened_at_s:.1f} s"
                energies.add(now_s, {})
                at_s, self._load_percent = now_s, None
            energy_j = {c: energies.of(c) for c in self.division.components}
            return BoardReading(at_s, energy_j, self._note)

    def utilization_percent(self) -> float | None:
        """Return the GPU's load as of the last line."""
        return self._load_percent

    def close(self) -> None:
        """End `tegrastats` and wait until it has."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(_STOP_S)
        if self._process.stdout is not None and not self._thread.is_alive():
            self._process.stdout.close()
