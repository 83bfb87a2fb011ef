"""What all runs of a project would have come to elsewhere, or at another PUE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, func, select, type_coerce

from api import rollups
from api.columns import float_of
from api.days import DaySum, by_day
from api.prices import Tariff, costs
from api.rollups import Total
from api.sums import PART, Tally, grid_count
from api.tables import RUNS
from api.what_if import AS_REPORTED, Intensity, conditions, difference, of_place
from carbon import units
from carbon.schema import Cost, Operation, WhatIf, WhatIfTerms
from carbon.units import ENERGY_DECIMALS, GRAMS_PER_KG, MASS_DECIMALS


@dataclass(frozen=True)
class _Group:
    """Runs of a project with the same PUE that know, and lack, the same."""

    pue: float
    runs: int
    energy_kwh: float | None
    emissions_kg: float | None

    def would_draw_kwh(self, terms: WhatIfTerms) -> float | None:
        """Return the grid energy that these runs would have."""
        if self.energy_kwh is None:
            return None
        return self.energy_kwh * (self.pue if terms.pue is None else terms.pue)

    def would_emit_kg(self, terms: WhatIfTerms, place: Intensity | None) -> float | None:
        """Return the emissions that these runs would have, at a place or where they were."""
        if place is None:
            pue = self.pue if terms.pue is None else terms.pue
            return None if self.emissions_kg is None else self.emissions_kg * pue / self.pue
        grid_kwh = self.would_draw_kwh(terms)
        if grid_kwh is None or place.g_per_kwh is None:
            return None
        return units.emissions_kg(grid_kwh, 1.0, place.g_per_kwh)


def of_project(
    connection: Connection, project: str, terms: WhatIfTerms, tariff: Tariff
) -> WhatIf | None:
    """Compare all runs of a project with themselves under other conditions.

    Args:
        connection: in a transaction that sees one state.
        project: its name.
        terms: what would be different; nothing that depends on the hour.
        tariff: the project's prices, which stay as they are.

    Returns:
        The comparison, None for a project without runs.

    Raises:
        ProblemError: 422 for a place that cannot be meant.
    """
    place = None if terms.country is None else of_place(terms)
    totals = rollups.totals(connection, [project])
    if not totals:
        return None
    actual = _actual(totals, costs(by_day(connection, project, "grid_energy_kwh"), tariff))
    groups = _groups(connection, project)
    would_emit = [(group, group.would_emit_kg(terms, place)) for group in groups]
    in_both = [(group, kg) for group, kg in would_emit if group.emissions_kg is not None]
    in_both = [(group, kg) for group, kg in in_both if kg is not None]
    emissions_kg = units.add_known([kg for _, kg in would_emit], MASS_DECIMALS)
    if place is None:
        method = conditions(terms, "each run's own intensity")
        mean = _mean_intensity(terms, would_emit)
        place = Intensity(mean, actual.intensity_source, actual.intensity_year, method)
    hypothetical = Operation(
        runs_without_energy=actual.runs_without_energy,
        runs_without_emissions=sum(group.runs for group, kg in would_emit if kg is None),
        energy_kwh=actual.energy_kwh,
        grid_energy_kwh=units.add_known([group.would_draw_kwh(terms) for group in groups]),
        emissions_kg=emissions_kg,
        intensity_g_per_kwh=place.g_per_kwh,
        intensity_source=place.source,
        intensity_year=place.year,
        costs=actual.costs if terms.pue is None else _costs(connection, project, terms.pue, tariff),
        method=place.method,
    )
    was_kg = units.add_known([group.emissions_kg for group, _ in in_both], MASS_DECIMALS)
    would_be_kg = units.add_known([kg for _, kg in in_both], MASS_DECIMALS)
    return WhatIf(
        project=project,
        run_id=None,
        runs=sum(total.tally.runs for total in totals),
        actual=actual,
        hypothetical=hypothetical,
        difference=difference(actual, hypothetical, was_kg, would_be_kg),
    )


def _actual(totals: Sequence[Total], paid: list[Cost]) -> Operation:
    tally = sum((total.tally for total in totals), start=Tally())
    sources = {total.intensity_source for total in totals if total.intensity_source}
    years = {total.intensity_year for total in totals if total.intensity_year}
    return Operation(
        runs_without_energy=tally.runs - tally.known["energy_kwh"],
        runs_without_emissions=tally.runs - tally.known["emissions_kg"],
        energy_kwh=tally.sum_of("energy_kwh"),
        grid_energy_kwh=tally.sum_of("grid_energy_kwh"),
        emissions_kg=tally.sum_of("emissions_kg"),
        intensity_g_per_kwh=tally.intensity_g_per_kwh,
        intensity_source="; ".join(sorted(sources)) or None,
        intensity_year=years.pop() if len(years) == 1 else None,
        costs=paid,
        method=AS_REPORTED,
    )


def _mean_intensity(
    terms: WhatIfTerms, would_emit: Sequence[tuple[_Group, float | None]]
) -> float | None:
    known = [(group.would_draw_kwh(terms) or 0.0, kg) for group, kg in would_emit if kg is not None]
    grid_kwh = sum(kwh for kwh, _ in known)
    return sum(kg for _, kg in known) / grid_kwh * GRAMS_PER_KG if grid_kwh else None


def _costs(connection: Connection, project: str, pue: float, tariff: Tariff) -> list[Cost]:
    energies = by_day(connection, project, "energy_kwh")
    drawn = {
        day: DaySum(summed.runs, summed.known, grid_count(summed.count, pue))
        for day, summed in energies.items()
    }
    return costs(drawn, tariff)


def _groups(connection: Connection, project: str) -> list[_Group]:
    """Sum up a project's runs by their PUE, which the sums beside the runs do not tell."""
    query = (
        select(
            RUNS.c.pue,
            func.count().label("runs"),
            *_parts("energy_kwh"),
            *_parts("emissions_kg"),
        )
        .where(RUNS.c.project == project)
        .group_by(RUNS.c.pue, RUNS.c.energy_kwh.is_(None), RUNS.c.emissions_kg.is_(None))
    )
    return [
        _Group(
            row["pue"],
            row["runs"],
            _joined(row, "energy_kwh", ENERGY_DECIMALS),
            _joined(row, "emissions_kg", MASS_DECIMALS),
        )
        for row in connection.execute(query).mappings()
    ]


def _parts(name: str) -> list[ColumnElement[Any]]:
    """Sum a column in two parts, of which each fits 64 bits, as `api.sums` does."""
    counts = type_coerce(RUNS.c[name], BigInteger)
    return [
        func.sum(counts // PART).label(f"{name}_quotient"),
        func.sum(counts % PART).label(f"{name}_remainder"),
    ]


def _joined(row: Mapping[Any, Any], name: str, decimals: int) -> float | None:
    if row[f"{name}_quotient"] is None:
        return None
    return float_of(int(row[f"{name}_quotient"]) * PART + int(row[f"{name}_remainder"]), decimals)
