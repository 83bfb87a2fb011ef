"""Zeus: one monitor a process, a measurement window an epoch, each written to a file of lines.

Windows do not wait for the GPU's work: no framework is at hand here to ask for that.
"""

import warnings
from dataclasses import dataclass
from typing import Any

from zeus.monitor import ZeusMonitor

ENDS_WITH_BLOCK = False

_monitors: list[Any] = []


@dataclass
class Tracked:
    monitor: Any
    energy_j: float = 0.0


def start() -> Tracked:
    if not _monitors:
        _monitors.append(ZeusMonitor(log_file="zeus.csv"))
    _monitors[0].begin_window("epoch", sync_execution=False)
    return Tracked(_monitors[0])


def new_epoch(tracker: Tracked) -> None:
    stop(tracker)
    tracker.monitor.begin_window("epoch", sync_execution=False)


def stop(tracker: Tracked) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of windows in which the counter did not move.
        window = tracker.monitor.end_window("epoch", sync_execution=False)
    tracker.energy_j += sum(window.gpu_energy.values())


def gpu_energy_j(tracker: Tracked) -> float | None:
    return tracker.energy_j if tracker.monitor.gpu_indices else None
