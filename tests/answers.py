"""Answers of the API for tests of what is made of them: totals, places, trade-off points."""

from datetime import UTC, date, datetime
from typing import Any

from carbon.analysis.run_means import MEASURES
from carbon.schema import Budget, GridFactor, PlaceTotals, Summary, TradeoffPoint


def totals(**fields: Any) -> dict[str, Any]:
    """Totals over one run of 1 kWh."""
    values = {
        "runs": 1,
        "runs_without_energy": 0,
        "runs_without_emissions": 0,
        "runs_without_market_emissions": 1,
        "runs_without_idle_energy": 1,
        "duration_s": 60.0,
        "energy_kwh": 1.0,
        "gpu_energy_kwh": 1.0,
        "cpu_energy_kwh": None,
        "ram_energy_kwh": None,
        "idle_energy_kwh": None,
        "energy_uncertainty": 0.05,
        "emissions_uncertainty": None,
        "grid_energy_kwh": 1.0,
        "emissions_kg": None,
        "market_emissions_kg": None,
        "first_run_at": None,
        "last_run_at": None,
    }
    return values | fields


def place(
    country: str | None, intensity: float | None, energy: float, pue: float = 1.0
) -> PlaceTotals:
    """A place at which `energy` kWh were drawn."""
    emissions = None if intensity is None else energy * pue * intensity / 1000
    return PlaceTotals(
        **totals(
            energy_kwh=energy,
            gpu_energy_kwh=energy,
            grid_energy_kwh=energy * pue,
            emissions_kg=emissions,
            runs_without_emissions=int(emissions is None),
        ),
        country_iso_code=country,
        country_name=country,
        region=None,
        intensity_g_per_kwh=intensity,
        intensity_source=None if intensity is None else "a source",
        intensity_year=None if intensity is None else 2023,
    )


def summary(*places: PlaceTotals) -> Summary:
    """The summary of a project that ran at these places."""
    emissions = [item.emissions_kg for item in places if item.emissions_kg is not None]
    return Summary(
        **totals(
            energy_kwh=sum(item.energy_kwh or 0.0 for item in places),
            grid_energy_kwh=sum(item.grid_energy_kwh or 0.0 for item in places),
            emissions_kg=sum(emissions) if emissions else None,
            runs_without_emissions=sum(item.runs_without_emissions for item in places),
        ),
        project="p",
        runs_by_status={"completed": 1},
        places=list(places),
        last_run=None,
        equivalents=[],
        last_run_equivalents=[],
    )


def budget(**fields: Any) -> Budget:
    """A budget of 10 kWh in March, of which 4 are spent by one run."""
    values = {
        "project": "p",
        "name": "b",
        "quantity": "energy_kwh",
        "currency": None,
        "period": "month",
        "from_day": date(2026, 3, 1),
        "until_day": date(2026, 3, 31),
        "limit": 10.0,
        "spent": 4.0,
        "share": 0.4,
        "runs": 1,
        "runs_unknown": 0,
        "forecast": None,
        "state": "ok",
        "crossed_at": None,
        "webhook": None,
        "method": "as it is",
    }
    return Budget.model_validate(values | fields)


def cloud_region(name: str, intensity: float, country: str = "Somewhere") -> GridFactor:
    """A cloud region."""
    return GridFactor(
        country_iso_code="FIN",
        country_name=country,
        region=name,
        provider="gcp",
        intensity_g_per_kwh=intensity,
        source="a cloud",
        year=None,
        mix_percent=None,
    )


def point(
    strategy: str, workers: int, epoch_s: float, energy_kwh: float | None, **fields: Any
) -> Any:
    """A point of a study whose baseline is single x 1 with 10 s and 1 Wh an epoch."""
    values: dict[str, Any] = {
        "study": "s",
        "strategy": strategy,
        "workers": workers,
        "runs": 1,
        "runs_with_energy": 0 if energy_kwh is None else 1,
        "epochs": 5,
        "epoch_s": epoch_s,
        "epoch_s_stdev": None,
        "energy_per_epoch_kwh": energy_kwh,
        "energy_per_epoch_kwh_stdev": None,
        "emissions_per_epoch_kg": None,
        "emissions_per_epoch_kg_stdev": None,
        "samples_per_epoch": None,
        **{name: None for measure in MEASURES for name in (measure, f"{measure}_stdev")},
        "duration_s": 60.0,
        "energy_kwh": energy_kwh,
        "speedup": 10.0 / epoch_s,
        "ideal_speedup": float(workers),
        "efficiency": 10.0 / epoch_s / workers,
        "baseline_strategy": "single",
        "baseline_workers": 1,
        "energy_ratio": None if energy_kwh is None else energy_kwh / 0.001,
        "on_pareto_front": energy_kwh is not None,
        "metrics": {},
        "last_run_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    }
    return TradeoffPoint.model_validate(values | fields)


SINGLE = point("single", 1, 10.0, 0.001)
