"""Jetson boards, by the power sensors (INA3221) on their rails.

NVML initialises on a Jetson and then knows no energy. The rails are read from sysfs, and from
`tegrastats` where those files are missing or may not be read. How they are divided among GPU, CPU
and RAM is said in `carbon.meters.jetson_rails`. A Jetson has one GPU, which is a part of the board:
variables that hide GPUs from a process change nothing of what it draws, and are not looked at.
"""

import hashlib
import logging
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from carbon.meters.base import DeviceInfo, Reading
from carbon.meters.jetson_sources import (
    SAMPLE_INTERVAL_S,
    RailSource,
    SysfsRails,
    Tegrastats,
    find_rails,
)
from carbon.schema import Component

_log = logging.getLogger(__name__)

ROOT = Path("/")

_LOAD_FILES = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/class/devfreq/*.gpu/device/load",
    "sys/class/devfreq/*.g[ampv]*b/device/load",
)


class _UnavailableError(Exception):
    """No rail can be read; the message says why."""


class JetsonMeter:
    """The energy of one component of a board; see `carbon.meters.base.Meter`.

    `cpu_model` is the board's name for the CPU's meter, else None.
    """

    def __init__(self, board: "Board", component: Component) -> None:
        source = board.source
        self.component = component
        self.method = source.method
        self.uncertainty = source.uncertainty
        self.poll_interval_s = source.poll_interval_s
        self.device: DeviceInfo | None = board.device if component == "gpu" else None
        self.cpu_model = board.device.name if component == "cpu" else None
        self._board = board
        self._is_open = True
        self._division_note = source.division.gpu_note if component == "gpu" else None
        self.note = self._division_note
        first = source.read()
        self._base_j = first.energy_j[component]
        self._last = Reading(first.at_s, 0.0)

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened; see `Meter.read`."""
        if self._is_open:
            seen = self._board.source.read()
            notes = [note for note in (self._division_note, seen.note) if note]
            self.note = "; ".join(notes) or None
            self._last = Reading(seen.at_s, seen.energy_j[self.component] - self._base_j)
        return self._last

    def utilization_percent(self) -> float | None:
        """Return the GPU's load; of CPU and RAM it is not told."""
        if not self._is_open or self.component != "gpu":
            return None
        return self._board.source.utilization_percent()

    def close(self) -> None:
        """Let go of the board, which stops reading with its last meter."""
        if self._is_open:
            self._is_open = False
            self._board.release()


class Board:
    """The rails of this board, shared by its meters so that they are of the same moments."""

    def __init__(self, source: RailSource, device: DeviceInfo) -> None:
        self.source = source
        self.device = device
        self._n_open = 0

    def accelerators(self) -> list[JetsonMeter]:
        """Open the meter of the GPU, where it has a rail."""
        return self._open({"gpu"})

    def host_meters(self) -> list[JetsonMeter]:
        """Open the meters of the CPU and, where it has a rail, of the RAM."""
        components = self.source.division.components
        return self._open({"cpu", "ram"}) if "cpu" in components else []

    def _open(self, wanted: set[Component]) -> list[JetsonMeter]:
        meters = [JetsonMeter(self, c) for c in self.source.division.components if c in wanted]
        self._n_open += len(meters)
        return meters

    def release(self) -> None:
        """Note that a meter was closed."""
        self._n_open -= 1
        if self._n_open == 0:
            self.source.close()


def is_jetson(root: Path = ROOT) -> bool:
    """Whether this machine is a Jetson, as its device tree, its chip or its release file say."""
    if (root / "etc/nv_tegra_release").exists():
        return True
    return b"nvidia,tegra" in _bytes(root / "proc/device-tree/compatible") or (
        _text(root / "sys/devices/soc0/family") == "Tegra"
    )


def open_board(root: Path = ROOT, clock: Callable[[], float] = time.monotonic) -> Board | None:
    """Open the rails of this board; None where it is no Jetson or shows none, see `explain`.

    Args:
        root: the directory that holds `sys`, `proc` and `etc`.
    """
    if not is_jetson(root):
        return None
    try:
        return Board(_open_source(root, clock), _device(root))
    except _UnavailableError as reason:
        _log.warning("this Jetson is not metered: %s", reason)
        return None


def explain(root: Path = ROOT) -> str | None:
    """Return why not everything on this board is metered, or None where it is."""
    if not is_jetson(root):
        return "this machine is not a Jetson"
    try:
        source = _open_source(root, time.monotonic)
    except _UnavailableError as reason:
        return str(reason)
    source.close()
    missing = {"gpu", "cpu"} - {*source.division.components}
    names = ", ".join(sorted(missing)).upper()
    return f"the board has no power rail of its own for: {names}" if missing else None


def _open_source(root: Path, clock: Callable[[], float]) -> RailSource:
    drivers = root / "sys/bus/i2c/drivers"
    problems = []
    try:
        rails = find_rails(drivers)
        if rails:
            return SysfsRails(rails, _load_file(root), clock)
        problems.append(f"no power rails in {drivers}/ina3221*")
    except (OSError, ValueError) as error:
        problems.append(f"the power rails in {drivers} cannot be read: {error}")
    program = shutil.which("tegrastats")
    if program is None:
        problems.append("tegrastats is not in PATH")
    else:
        try:
            return Tegrastats([program, "--interval", f"{SAMPLE_INTERVAL_S * 1000:.0f}"], clock)
        except OSError as error:
            problems.append(str(error))
    raise _UnavailableError("; ".join(problems))


def _load_file(root: Path) -> Path | None:
    return next((file for pattern in _LOAD_FILES for file in sorted(root.glob(pattern))), None)


def _device(root: Path) -> DeviceInfo:
    """Identify the board, by a hash: a serial number is nobody's business."""
    own = (
        _text(root / "proc/device-tree/serial-number")
        or _text(root / "etc/machine-id")
        or platform.node()
    )
    digest = hashlib.sha256(f"carbon-ledger {own}".encode()).hexdigest()
    name = _text(root / "proc/device-tree/model") or "NVIDIA Jetson"
    return DeviceInfo(f"JETSON-{digest[:32]}", 0, name)


def _text(file: Path) -> str:
    return _bytes(file).decode("utf-8", errors="replace").strip("\0 \n")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
