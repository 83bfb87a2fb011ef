"""Data frames for the charts, made from the wire models. Unknown stays missing, never 0."""

import json
import math
from collections.abc import Iterable, Sequence

import pandas as pd

from carbon import wording
from carbon.countries import numeric_code
from carbon.schema import (
    EpochReport,
    GridFactor,
    PlaceTotals,
    RunFields,
    Totals,
)

COMPONENTS = ("GPU", "CPU", "RAM")
STDEVS = {"energy_kwh": "energy_stdev_kwh", "emissions_kg": "emissions_stdev_kg"}
"""The columns that hold the standard uncertainty of another."""


def runs(items: Sequence[RunFields]) -> pd.DataFrame:
    """One row a run, oldest first, with its words for tooltips beside its figures."""
    rows = [
        {
            "run_id": str(run.run_id),
            "started_at": run.started_at,
            "label": run_label(run),
            "status": run.status,
            "study": run.study or "",
            "configuration": wording.configuration(run.strategy, run.world_size),
            "energy_kwh": run.energy_kwh,
            "emissions_kg": run.emissions_kg,
            "energy_stdev_kwh": wording.absolute(run.energy_kwh, run.energy_uncertainty),
            "emissions_stdev_kg": wording.absolute(run.emissions_kg, run.energy_uncertainty),
            "energy_text": wording.energy_with_spread(
                run.energy_kwh, wording.absolute(run.energy_kwh, run.energy_uncertainty)
            ),
            "duration_text": wording.duration(run.duration_s),
            "started_text": wording.moment(run.started_at),
            "GPU": run.gpu_energy_kwh,
            "CPU": run.cpu_energy_kwh,
            "RAM": run.ram_energy_kwh,
        }
        for run in sorted(items, key=lambda run: (run.started_at, run.run_id))
    ]
    return pd.DataFrame(rows).astype(
        dict.fromkeys((*STDEVS, *STDEVS.values(), *COMPONENTS), "float64") if rows else {}
    )


def run_label(run: RunFields) -> str:
    """What a run is called: its name, else its configuration and when it started."""
    configuration = wording.configuration(run.strategy, run.world_size)
    return f"{run.name or configuration} · {wording.moment(run.started_at)}"


def timeline(runs_frame: pd.DataFrame, totals: Totals) -> pd.DataFrame:
    """The ledger growing run by run: cumulative energy (kWh) and emissions (kg) at each run.

    The runs may be only the newest of many: what the older ones had drawn is where the lines start.
    Beside each is its standard deviation, for which the runs' errors are added linearly; missing
    where it is unknown.
    """
    frame = runs_frame.copy()
    relative = (totals.energy_uncertainty, totals.emissions_uncertainty)
    for (column, stdev), uncertainty in zip(STDEVS.items(), relative, strict=True):
        total = getattr(totals, column)
        frame[f"cumulative_{column}"] = _grown(frame[column], total)
        if uncertainty is None:
            frame[f"cumulative_{stdev}"] = math.nan
        else:
            # A run that does not know its own is off by as much as the others, as far as one knows.
            spread = frame[stdev].fillna(frame[column] * uncertainty)
            band = wording.absolute(total, uncertainty)
            frame[f"cumulative_{stdev}"] = _grown(spread, band)
    return frame


def _grown(added: "pd.Series[float]", total: float | None) -> "pd.Series[float]":
    known = added.fillna(0.0)
    return known.cumsum() + max(0.0, (total or 0.0) - float(known.sum()))


def world(factors: Iterable[GridFactor]) -> pd.DataFrame:
    """One row a country (not its regions): intensity (g/kWh) and the share of each source (%)."""
    rows = []
    for factor in factors:
        numeric = numeric_code(factor.country_iso_code)
        if factor.region is None and numeric is not None:
            rows.append(
                {
                    "id": numeric,
                    "code": factor.country_iso_code,
                    "country": factor.country_name,
                    "intensity": factor.intensity_g_per_kwh,
                    "source": wording.source(factor.source, factor.year),
                }
                | (factor.mix_percent or {})
            )
    return pd.DataFrame(rows)


def places(items: Iterable[PlaceTotals]) -> list[str]:
    """The ISO 3166-1 numeric codes of the countries in which something ran."""
    found = (numeric_code(item.country_iso_code) for item in items if item.country_iso_code)
    return sorted({numeric for numeric in found if numeric is not None})


def epochs(items: Sequence[EpochReport]) -> pd.DataFrame:
    """One row an epoch, in the order they ran, numbered from 1 over all attempts."""
    ordered = sorted(items, key=lambda epoch: (epoch.attempt, epoch.index))
    rows = [
        {
            "epoch": position,
            "attempt": epoch.attempt + 1,
            "duration_s": epoch.duration_s,
            "duration_text": wording.duration(epoch.duration_s),
            "energy_kwh": epoch.energy_kwh,
            "energy_text": wording.energy(epoch.energy_kwh),
        }
        for position, epoch in enumerate(ordered, start=1)
    ]
    return pd.DataFrame(rows).astype({"energy_kwh": "float64"} if rows else {})


def metrics(items: Sequence[EpochReport]) -> pd.DataFrame:
    """Every metric logged in an epoch, one row each: epoch, metric, value."""
    ordered = sorted(items, key=lambda epoch: (epoch.attempt, epoch.index))
    rows = [
        {"epoch": position, "metric": name, "value": value}
        for position, epoch in enumerate(ordered, start=1)
        for name, value in epoch.metrics.items()
        if value is not None and math.isfinite(value)
    ]
    return pd.DataFrame(rows, columns=["epoch", "metric", "value"])


def raw(items: Sequence[RunFields]) -> pd.DataFrame:
    """Every run with its fields as the API names them; mappings become JSON text."""
    rows = [run.model_dump(mode="json") for run in items]
    frame = pd.DataFrame(rows)
    for column in ("tags", "config", "metrics", "software"):
        if column in frame:
            frame[column] = [json.dumps(value, ensure_ascii=False) for value in frame[column]]
    return frame
