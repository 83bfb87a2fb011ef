"""CodeCarbon, offline: without a request for the place or anything else."""

from typing import Any

from codecarbon import OfflineEmissionsTracker

ENDS_WITH_BLOCK = True
J_PER_KWH = 3.6e6


def start() -> Any:
    tracker = OfflineEmissionsTracker(
        country_iso_code="DEU", measure_power_secs=1, log_level="critical"
    )
    tracker.start()
    return tracker


def new_epoch(tracker: Any) -> None:
    pass


def stop(tracker: Any) -> None:
    tracker.stop()


def gpu_energy_j(tracker: Any) -> float:
    return float(tracker.final_emissions_data.gpu_energy) * J_PER_KWH
