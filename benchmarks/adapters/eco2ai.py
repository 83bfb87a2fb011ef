"""Eco2AI, for a given country: without a request for the place.

Its totals do not tell the GPUs apart; what is read is the sum that they take in for the GPUs.
"""

from typing import Any

import eco2ai

ENDS_WITH_BLOCK = False
J_PER_KWH = 3.6e6


def start() -> Any:
    # Without a name of its own the file has the one that was given last on this machine.
    tracker = eco2ai.Tracker(
        measure_period=1, alpha_2_code="DE", file_name="emission.csv", ignore_warnings=True
    )
    tracker.start()
    return tracker


def new_epoch(tracker: Any) -> None:
    pass


def stop(tracker: Any) -> None:
    tracker.stop()


def gpu_energy_j(tracker: Any) -> float | None:
    energy_kwh = tracker._gpu.get_consumption()
    return float(energy_kwh) * J_PER_KWH if tracker._gpu.is_gpu_available else None
