"""What holds of a run whatever its reports say: corrections, and the table it is costed with.

A run's row is its latest report with this laid over it, so a report that comes late, or once more,
undoes nothing. The row keeps beside it what the report says of the same fields.

Corrections are values by field. `factor_table` among them stands for the intensity of the run's
place in that table, so it follows where the place changes.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from carbon import units
from carbon.schema import Component, Factor

Values = Mapping[str, Any]
FactorOf = Callable[[str, str | None, str | None], Factor | None]
"""Returns the factor of (version, country, region), None where that table has none."""

COMPONENTS = tuple(f"{component}_energy_kwh" for component in get_args(Component))
ENERGIES = ("energy_kwh", *COMPONENTS)
PLACE = ("country_iso_code", "region")
INTENSITY = ("intensity_g_per_kwh", "intensity_source", "intensity_year")

CORRECTED = "corrected"
"""The method of an energy that was corrected by hand."""


def laid_over(report: Values, corrections: Values, factor_of: FactorOf) -> dict[str, Any]:
    """Return the fields that corrections change, with what follows from them.

    A corrected component has the total follow; of a total that was corrected alone, the components
    are unknown. What is left of a band around a corrected value is unknown too.
    """
    changed = {
        name: value
        for name, value in corrections.items()
        if name not in ENERGIES and name != "factor_table"
    }
    changed |= _energies(report, corrections)
    if "factor_table" in corrections:
        changed = _costed({**report, **changed}, corrections, factor_of) | changed
    now = {**report, **changed}
    costs = ("energy_kwh", "pue", "intensity_g_per_kwh")
    if any(now[name] != report[name] for name in costs):
        changed["emissions_kg"] = None
        if now["energy_kwh"] is not None and now["intensity_g_per_kwh"] is not None:
            changed["emissions_kg"] = units.emissions_kg(*(now[name] for name in costs))
    return changed


def as_delivered(row: dict[str, Any]) -> dict[str, Any]:
    """Take `delivered` out of a row, and put what the report says back into its place."""
    return row | (row.pop("delivered") or {})


def _energies(report: Values, corrections: Values) -> dict[str, Any]:
    if not any(name in corrections for name in ENERGIES):
        return {}
    changed: dict[str, Any] = {}
    for name in COMPONENTS:
        if name in corrections or "energy_kwh" in corrections:
            value = corrections.get(name)
            field = name.removesuffix("_kwh")
            changed[name] = value
            changed[f"{field}_method"] = None if value is None else CORRECTED
            changed[f"{field}_uncertainty"] = None
    now = {**report, **changed}
    total = corrections.get("energy_kwh")
    if "energy_kwh" not in corrections:
        total = units.add_known([now[name] for name in COMPONENTS])
    changed |= {"energy_kwh": total, "energy_uncertainty": None}
    idle = report["idle_energy_kwh"]
    if idle is not None:  # Never more than the devices drew.
        changed["idle_energy_kwh"] = None if total is None else min(idle, total)
    return changed


def _costed(now: Values, corrections: Values, factor_of: FactorOf) -> dict[str, Any]:
    version = corrections["factor_table"]
    if version is None:
        return {"factor_table": None}
    factor = factor_of(version, *(now[name] for name in PLACE))
    if factor is not None:
        return {
            "factor_table": version,
            "intensity_g_per_kwh": factor.intensity_g_per_kwh,
            "intensity_source": factor.source,
            "intensity_year": factor.year,
        }
    if any(name in corrections for name in PLACE):  # What the report says is of another place.
        return dict.fromkeys(("factor_table", *INTENSITY))
    return {}
