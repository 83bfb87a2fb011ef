"""What the host does now, through psutil: load, clock, memory, traffic. Joules are not its matter.

A reading that fails or that this machine does not have is None, never 0.
"""

import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from carbon.schema import SeriesName

log = logging.getLogger("carbon")

BYTES_PER_GIB = 2**30
BYTES_PER_MB = 1e6


class HostReadings:
    """Reads the chosen quantities of this host, as means since the reading before where it can.

    Made and used in one thread: importing psutil takes longer than entering a run.

    - `cpu_utilization`: share of all CPUs' time that was not idle and not waiting for a disk, %.
    - `cpu_frequency`: present clock, the mean of all CPUs, MHz; many virtual machines have none.
    - `ram_used`: total less available memory, GiB, of all programs together.
    - `network_sent`, `network_received`: MB/s over the interfaces with hardware behind them, or
      where there is none, as in a container, over all but loopback; in a network namespace only its
      own. What goes past the kernel's network stack (RDMA over InfiniBand or RoCE, as NCCL uses
      it) is not counted by the kernel and not seen.
    """

    def __init__(self, chosen: Collection[SeriesName], psutil: Any = None) -> None:
        self._psutil = psutil or _psutil()
        self._chosen = [name for name in _READERS if name in chosen]
        self._failed: set[SeriesName] = set()
        self._cpu_s: tuple[float, float] | None = None
        self._traffic: dict[SeriesName, tuple[float, int]] = {}
        self._by_interface: tuple[float, Any] = (float("-inf"), {})
        self._has_hardware: dict[str, bool] = {}

    def read(self, at_s: float) -> dict[SeriesName, float]:
        """Return what can be told at the moment `at_s`; rates from the second reading on."""
        found: dict[SeriesName, float] = {}
        for name in self._chosen:
            try:
                value = _READERS[name](self, name, at_s)
            except Exception as error:  # noqa: BLE001 - psutil reads text of any kernel
                if name not in self._failed:
                    log.debug("%s cannot be read here: %s", name, error)
                self._failed.add(name)
                continue
            if value is not None:
                found[name] = value
        return found

    def _cpu_utilization(self, name: SeriesName, at_s: float) -> float | None:
        # Not psutil.cpu_percent: what it says is since the last call by anybody in this thread,
        # and the CPU's estimate of energy is made of such calls.
        times = self._psutil.cpu_times()
        # As psutil does it: the time of guests is in user and nice already.
        total_s: float = (
            sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        )
        busy_s = total_s - times.idle - getattr(times, "iowait", 0.0)
        before, self._cpu_s = self._cpu_s, (busy_s, total_s)
        if before is None or total_s <= before[1]:
            return None
        percent: float = 100.0 * (busy_s - before[0]) / (total_s - before[1])
        return min(max(percent, 0.0), 100.0)

    def _cpu_frequency(self, name: SeriesName, at_s: float) -> float | None:
        frequency = self._psutil.cpu_freq()
        return float(frequency.current) if frequency and frequency.current else None

    def _ram_used(self, name: SeriesName, at_s: float) -> float | None:
        memory = self._psutil.virtual_memory()
        return float(memory.total - memory.available) / BYTES_PER_GIB

    def _network(self, name: SeriesName, at_s: float) -> float | None:
        if self._by_interface[0] != at_s:
            # `nowrap` keeps one state for the whole process, which is the training's if anybody's.
            counters = self._psutil.net_io_counters(pernic=True, nowrap=False)
            self._by_interface = at_s, counters
        by_interface = self._by_interface[1]
        if not by_interface:
            return None
        is_sent = name == "network_sent"
        counted: int = sum(
            by_interface[interface].bytes_sent if is_sent else by_interface[interface].bytes_recv
            for interface in self._interfaces(by_interface)
        )
        before = self._traffic.get(name)
        self._traffic[name] = at_s, counted
        # Fewer than before: an interface has gone, or its counter has begun anew.
        if before is None or at_s <= before[0] or counted < before[1]:
            return None
        return (counted - before[1]) / (at_s - before[0]) / BYTES_PER_MB

    def _interfaces(self, names: Collection[str]) -> list[str]:
        """Return those whose bytes are counted: a bridge counts again what its ports carry."""
        for name in names:
            if name not in self._has_hardware:
                self._has_hardware[name] = _has_hardware(name)
        hardware = [name for name in names if self._has_hardware[name]]
        return hardware or [name for name in names if name != "lo"]


def _psutil() -> Any:
    import psutil

    return psutil


def _has_hardware(interface: str) -> bool:
    return os.path.exists(Path("/sys/class/net", interface, "device"))


_READERS: dict[SeriesName, Callable[[HostReadings, SeriesName, float], float | None]] = {
    "cpu_utilization": HostReadings._cpu_utilization,
    "cpu_frequency": HostReadings._cpu_frequency,
    "ram_used": HostReadings._ram_used,
    "network_sent": HostReadings._network,
    "network_received": HostReadings._network,
}
