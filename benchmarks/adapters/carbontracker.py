"""carbontracker: power sampled once a second; its log holds every epoch.

Its figure for the GPUs is taken before the PUE by which it multiplies the total.
"""

from dataclasses import dataclass
from typing import Any

from carbontracker.tracker import CarbonTracker

ENDS_WITH_BLOCK = False
J_PER_KWH = 3.6e6


@dataclass
class Tracked:
    tracker: Any
    thread: Any
    """Which the tracker lets go of once it has stopped."""


def start() -> Tracked:
    tracker = CarbonTracker(epochs=1000, update_interval=1, verbose=0, log_dir="carbontracker")
    tracker.epoch_start()
    return Tracked(tracker, tracker.tracker)


def new_epoch(tracker: Tracked) -> None:
    tracker.tracker.epoch_end()
    tracker.tracker.epoch_start()


def stop(tracker: Tracked) -> None:
    tracker.tracker.epoch_end()
    tracker.tracker.stop()


def gpu_energy_j(tracker: Tracked) -> float | None:
    for component in tracker.thread.components:
        if component.name == "gpu":
            return float(sum(component.energy_usage(tracker.thread.epoch_times))) * J_PER_KWH
    return None
