"""Reports for tests: `make_report(project="p", energy_kwh=0.5)` and the rest follows."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from carbon import units
from carbon.attribution.run_id import uuid7
from carbon.schema import EpochReport, NodeReport, RunReport


def run_id_at(moment: datetime) -> UUID:
    """A run id for a run that started at `moment`."""
    return uuid7(int(moment.timestamp() * 1000), os.urandom(10))


def make_report(**fields: Any) -> RunReport:
    """A valid completed run of 60 s; CPU energy and emissions follow from what is given."""
    started_at = fields.pop("started_at", datetime(2026, 3, 1, 12, tzinfo=UTC))
    gpu = fields.pop("gpu_energy_kwh", None)
    cpu = fields.pop("cpu_energy_kwh", 0.002)
    ram = fields.pop("ram_energy_kwh", 0.001)
    energy = units.add_known([gpu, cpu, ram])
    intensity = fields.pop("intensity_g_per_kwh", 380.95)
    pue = fields.pop("pue", 1.2)
    emissions = None
    if energy is not None and intensity is not None:
        emissions = units.emissions_kg(energy, pue, intensity)
    component: dict[str, Any] = {
        "energy_kwh": energy,
        "gpu_energy_kwh": gpu,
        "cpu_energy_kwh": cpu,
        "ram_energy_kwh": ram,
        "gpu_energy_method": None if gpu is None else "nvml_counter",
        "cpu_energy_method": None if cpu is None else "codecarbon_cpu_load",
        "ram_energy_method": None if ram is None else "codecarbon_ram",
        "energy_uncertainty": fields.pop("energy_uncertainty", 0.3),
        "idle_energy_kwh": fields.pop("idle_energy_kwh", None),
    }
    values: dict[str, Any] = {
        "run_id": run_id_at(started_at),
        "project": "digits",
        "strategy": "single",
        "status": "completed",
        "started_at": started_at,
        "ended_at": started_at + timedelta(seconds=60),
        "duration_s": 60.0,
        "country_iso_code": "DEU",
        "intensity_g_per_kwh": intensity,
        "intensity_source": None if intensity is None else "Our World in Data",
        "intensity_year": None if intensity is None else 2023,
        "pue": pue,
        "emissions_kg": emissions,
        "nodes": [NodeReport(hostname="node-1", ranks=[0], **component)],
        "epochs": [
            EpochReport(
                index=i, duration_s=20.0, energy_kwh=units.add_known([energy and energy / 3])
            )
            for i in range(3)
        ],
        **component,
    }
    return RunReport.model_validate(values | fields)
