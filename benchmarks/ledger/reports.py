"""Reports to send: of one node with eight GPUs and ten epochs, as trainings send them."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from carbon import units
from carbon.attribution.run_id import uuid7
from carbon.schema import DeviceReport, EpochReport, NodeReport, RunReport

PROJECTS, STUDIES, HOSTS = 20, 3, 50
DEVICES, EPOCHS = 8, 10
_ID = UUID("01900000-0000-7000-8000-000000000000")
_STARTED_AT, _LASTED = datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(seconds=600)


def templates() -> list[bytes]:
    """Return a report of each project as JSON, all of them of the same run."""
    reports = [_report(number).model_dump_json() for number in range(PROJECTS)]
    for moment in (_STARTED_AT, _STARTED_AT + _LASTED):
        # With as many digits as those that come to stand there.
        short = f'"{moment.strftime("%Y-%m-%dT%H:%M:%S")}Z"'
        reports = [each.replace(short, _text(moment).decode()) for each in reports]
    return [each.encode() for each in reports]


def with_new_ids(reports: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the reports again and again, each as that of a new run that ends about now."""
    held = str(_ID).encode()
    began, ended = (_text(moment) for moment in (_STARTED_AT, _STARTED_AT + _LASTED))
    while True:
        for report in reports:
            now = datetime.now(UTC)
            run_id = str(uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
            moved = report.replace(began, _text(now - _LASTED)).replace(ended, _text(now))
            yield run_id, moved.replace(held, run_id.encode())


def _text(moment: datetime) -> bytes:
    return f'"{moment.strftime("%Y-%m-%dT%H:%M:%S.%f")}Z"'.encode()


def _report(number: int) -> RunReport:
    gpu, cpu, ram = 8 * 0.123456789012, 0.061728394506, 0.020576131502
    energy = units.add_known([gpu, cpu, ram])
    assert energy is not None
    component = {
        "energy_kwh": energy,
        "gpu_energy_kwh": gpu,
        "cpu_energy_kwh": cpu,
        "ram_energy_kwh": ram,
        "gpu_energy_method": "nvml_counter",
        "cpu_energy_method": "codecarbon_cpu_load",
        "ram_energy_method": "codecarbon_ram",
        "gpu_energy_uncertainty": 0.0177,
        "cpu_energy_uncertainty": 0.4,
        "ram_energy_uncertainty": 0.5,
        "energy_uncertainty": 0.0312,
    }
    return RunReport(
        run_id=_ID,
        project=f"project-{number:03}",
        study=f"scaling-{number % STUDIES}",
        name=f"resnet50 try {number}",
        strategy="ddp",
        status="completed",
        started_at=_STARTED_AT,
        ended_at=_STARTED_AT + _LASTED,
        duration_s=600.123456789,
        world_size=DEVICES,
        country_iso_code="DEU",
        intensity_g_per_kwh=344.14,
        intensity_source="Our World in Data",
        intensity_year=2023,
        pue=1.2,
        emissions_kg=units.emissions_kg(energy, 1.2, 344.14),
        tags={"model": "resnet50", "dataset": "imagenet"},
        config={"optimizer": "adamw", "batch_size": 256, "lr": 0.001},
        metrics={"loss": 0.25, "accuracy": 0.75},
        software={"python": "3.11.7", "torch": "2.9.0"},
        user="ada",
        nodes=[
            NodeReport(
                hostname=f"node-{number % HOSTS:03}",
                ranks=list(range(DEVICES)),
                cpu_model="AMD EPYC 7763 64-Core Processor",
                devices=[_device(number, index) for index in range(DEVICES)],
                **component,
            )
        ],
        epochs=[_epoch(index) for index in range(EPOCHS)],
        **component,
    )


def _device(number: int, index: int) -> DeviceReport:
    return DeviceReport(
        uuid=f"GPU-{number:08x}-0000-4000-8000-{index:012x}",
        index=index,
        name="NVIDIA H100 80GB HBM3",
        energy_kwh=0.123456789012,
        energy_method="nvml_counter",
        energy_uncertainty=0.05,
        mean_utilization_percent=93.25,
    )


def _epoch(index: int) -> EpochReport:
    return EpochReport(
        index=index,
        duration_s=60.012345678,
        energy_kwh=0.107012345678,
        metrics={"loss": 1.0 / (index + 1), "accuracy": 0.5 + index / 20},
    )
