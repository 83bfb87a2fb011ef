"""What holds of a run whatever its reports say: corrections, and the table it is costed with.

A run's row is its latest report with this laid over it, so a report that comes late, or once more,
undoes nothing. The row keeps beside it what the report says of the same fields.

Corrections are values by field. `factor_table` and `market_table` among them stand for the
intensity of the run's place in that table, so it follows where the place changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from carbon import units
from carbon.schema import Component, Factor, FactorKind

Values = Mapping[str, Any]
FactorOf = Callable[[str, str | None, str | None], Factor | None]
"""Returns the factor of (version, country, region), None where that table has none."""

COMPONENTS = tuple(f"{component}_energy_kwh" for component in get_args(Component))
ENERGIES = ("energy_kwh", *COMPONENTS)
PLACE = ("country_iso_code", "region")


@dataclass(frozen=True)
class Basis:
    """On what emissions are accounted for, and the fields of a run that tell of it.

    Attributes:
        table: the version of the factor table.
        intensity: that emissions follow from.
        told: what a factor says: its intensity, source and year, as far as there are fields.
        emissions: that follow.
    """

    table: str
    intensity: str
    told: tuple[str, ...]
    emissions: str

    @property
    def fields(self) -> tuple[str, ...]:
        """What a table sets."""
        return (self.table, *self.told, self.emissions)

    def by_hand(self, given: Values) -> dict[str, Any]:
        """Return the corrections to an intensity of no table: what is not given is unknown."""
        return dict.fromkeys((self.table, *self.told)) | {
            name: given[name] for name in self.told if name in given
        }


BASES: Mapping[FactorKind, Basis] = {
    "location": Basis(
        "factor_table",
        "intensity_g_per_kwh",
        ("intensity_g_per_kwh", "intensity_source", "intensity_year"),
        "emissions_kg",
    ),
    "market": Basis(
        "market_table",
        "market_intensity_g_per_kwh",
        ("market_intensity_g_per_kwh", "market_source"),
        "market_emissions_kg",
    ),
}
_TABLES = frozenset(basis.table for basis in BASES.values())

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
        if name not in ENERGIES and name not in _TABLES
    }
    changed |= _energies(report, corrections)
    for basis in BASES.values():
        if basis.table in corrections:
            now = {**report, **changed}
            changed = _costed(basis, now, corrections, factor_of) | changed
        now = {**report, **changed}
        costs = ("energy_kwh", "pue", basis.intensity)
        if any(now[name] != report[name] for name in costs):
            # A correction to no PUE is refused later, with the whole run.
            changed[basis.emissions] = units.known_emissions_kg(*(now[name] for name in costs))
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


def _costed(basis: Basis, now: Values, corrections: Values, factor_of: FactorOf) -> dict[str, Any]:
    version = corrections[basis.table]
    unknown = dict.fromkeys((basis.table, *basis.told))
    if version is None:
        return unknown
    factor = factor_of(version, *(now[name] for name in PLACE))
    if factor is not None:
        said = (factor.intensity_g_per_kwh, factor.source, factor.year)
        return {basis.table: version, **dict(zip(basis.told, said, strict=False))}
    if any(name in corrections for name in PLACE):  # What the report says is of another place.
        return unknown
    return {}
