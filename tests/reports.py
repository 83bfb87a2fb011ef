"""Reports that fill a ledger: a scaling study, odd names, nothing measured, very many runs."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from carbon.schema import (
    SERIES_NAMES,
    SERIES_UNITS,
    DeviceReport,
    EpochReport,
    NodeReport,
    RunReport,
    SeriesName,
    SeriesReport,
    is_of_device,
)
from tests.factories import make_report

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD_NAME = "<b>bold</b> & *stars* [link](http://x) / $x^2$ :smile: ?a=1#b"
ODD_RUN = "<img src=x onerror=document.title='owned'>"


def scaling_study() -> Iterator[RunReport]:
    """Two repeats of single x 1 and ddp x 2 at two places, one run failed, one place unknown.

    Only the first of them ran where a baseline was kept.
    """
    for repeat in range(2):
        for strategy, workers, gpu in (("single", 1, 0.30), ("ddp", 2, 0.36)):
            yield make_report(
                project="scaling",
                study="scaling-1",
                strategy=strategy,
                world_size=workers,
                gpu_energy_kwh=gpu + 0.01 * repeat,
                idle_energy_kwh=0.1 if (repeat, workers) == (0, 1) else None,
                started_at=START + timedelta(hours=3 * repeat + workers),
                country_iso_code="FRA" if repeat else "DEU",
                intensity_g_per_kwh=56.039 if repeat else 380.95,
                config={"batch_size": 256, "samples_per_epoch": 6000},
                epochs=[
                    EpochReport(
                        index=i, duration_s=20.0 / workers + 0.3 * repeat, energy_kwh=gpu / 3
                    )
                    for i in range(3)
                ],
            )
    other = {"project": "scaling", "study": "other-study"}
    yield make_report(**other, started_at=START + timedelta(hours=9), status="failed")
    unknown = {"country_iso_code": None, "intensity_g_per_kwh": None}
    yield make_report(**other, **unknown, started_at=START + timedelta(hours=10))


def other_projects(many: int) -> Iterator[RunReport]:
    """A name full of markup, a project in which nothing was measured, one with `many` runs."""
    odd = {"name": ODD_RUN, "study": "<i>x</i>", "tags": {"<u>k</u>": "*v*"}}
    yield make_report(project=ODD_NAME, **odd, idle_energy_kwh=0.001)
    yield make_report(project="unmeasured", cpu_energy_kwh=None, ram_energy_kwh=None)
    for i in range(many):
        yield make_report(
            project="many",
            started_at=START - timedelta(days=i),
            cpu_energy_kwh=1e-9,
            ram_energy_kwh=None,
        )


# name: the mean and the swing of a made-up course, in the unit of the series
COURSES: dict[SeriesName, tuple[float, float]] = {
    "gpu_power": (280, 90),
    "gpu_utilization": (78, 20),
    "gpu_memory": (31, 4),
    "gpu_temperature": (61, 5),
    "cpu_power": (62, 12),
    "cpu_utilization": (35, 15),
    "cpu_frequency": (3100, 200),
    "ram_power": (20, 0),
    "ram_used": (48, 3),
    "network_sent": (120, 80),
    "network_received": (110, 60),
}


def recorded_run(
    gpus: int = 2,
    points: int = 200,
    names: tuple[SeriesName, ...] = SERIES_NAMES,
    **fields: object,
) -> RunReport:
    """A run of one node that recorded series, each with a gap in the middle."""
    uuids = [f"GPU-{index}" for index in range(gpus)]
    series = [
        SeriesReport(
            name=name,
            unit=SERIES_UNITS[name],
            device_uuid=uuid,
            start_s=0.25,
            interval_s=1.0,
            values=[
                None
                if i == points // 2
                else round(COURSES[name][0] + COURSES[name][1] * math.sin(0.07 * i + number), 3)
                for i in range(points)
            ],
        )
        for name in names
        for number, uuid in enumerate(uuids if is_of_device(name) else [None])
    ]
    devices = [DeviceReport(uuid=uuid, index=i, name="A GPU") for i, uuid in enumerate(uuids)]
    node = NodeReport(hostname="node-1", ranks=[0], devices=devices, series=series)
    return make_report(project="recorded", nodes=[node], **fields)
