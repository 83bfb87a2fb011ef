"""Sums over groups of runs, made by the database and added up exactly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, Float, Row, case, cast, func, select

from api.columns import count_of, float_of, joined, sum_parts
from api.tables import RUNS
from carbon.schema import Totals
from carbon.units import ENERGY_DECIMALS, MASS_DECIMALS, TIME_DECIMALS

T = TypeVar("T")

_SUMMED = {
    "duration_s": TIME_DECIMALS,
    "energy_kwh": ENERGY_DECIMALS,
    "gpu_energy_kwh": ENERGY_DECIMALS,
    "cpu_energy_kwh": ENERGY_DECIMALS,
    "ram_energy_kwh": ENERGY_DECIMALS,
    "idle_energy_kwh": ENERGY_DECIMALS,
    "emissions_kg": MASS_DECIMALS,
}
# Each with what is averaged and what it is weighted by. A mean of uncertainties is what adding the
# runs' errors linearly comes to: they share meters, so the band does not shrink with their number.
_ENERGY = cast(count_of(RUNS.c.energy_kwh), Float)
_EMISSIONS = cast(count_of(RUNS.c.emissions_kg), Float)
_AVERAGED: dict[str, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "energy_uncertainty": (RUNS.c.energy_uncertainty, _ENERGY),
    "emissions_uncertainty": (
        case((RUNS.c.emissions_kg.is_not(None), RUNS.c.energy_uncertainty)),
        _EMISSIONS,
    ),
    "intensity_g_per_kwh": (RUNS.c.intensity_g_per_kwh, _ENERGY * RUNS.c.pue),
}


@dataclass(frozen=True)
class Sum:
    """How many runs have a known value, and what these add up to, as a `FixedPoint` count."""

    known: int = 0
    count: int = 0

    def __add__(self, other: Self) -> "Sum":
        return Sum(self.known + other.known, self.count + other.count)


@dataclass(frozen=True)
class Mean:
    """A weighted mean over the runs that have both value and energy, with its extremes."""

    weighted: float = 0.0
    weight: float = 0.0
    lowest: float | None = None
    highest: float | None = None

    def __add__(self, other: Self) -> "Mean":
        return Mean(
            self.weighted + other.weighted,
            self.weight + other.weight,
            _known(min, (self.lowest, other.lowest)),
            _known(max, (self.highest, other.highest)),
        )

    def value(self) -> float | None:
        """Return the mean; of equal values exactly that value, of no weight at all None."""
        if self.lowest is None or self.highest is None or self.lowest == self.highest:
            return self.lowest
        if not self.weight:
            return None
        return min(max(self.weighted / self.weight, self.lowest), self.highest)


@dataclass(frozen=True)
class Tally:
    """Everything that is summed and averaged over a group of runs, by the names of the fields.

    Tallies of groups that have no run in common add up.
    """

    runs: int = 0
    sums: dict[str, Sum] = field(default_factory=lambda: dict.fromkeys(_SUMMED, Sum()))
    means: dict[str, Mean] = field(default_factory=lambda: dict.fromkeys(_AVERAGED, Mean()))
    grid_energy_kwh: float = 0.0
    first_run_at: datetime | None = None
    last_run_at: datetime | None = None

    def __add__(self, other: Self) -> "Tally":
        return Tally(
            self.runs + other.runs,
            {name: self.sums[name] + other.sums[name] for name in _SUMMED},
            {name: self.means[name] + other.means[name] for name in _AVERAGED},
            self.grid_energy_kwh + other.grid_energy_kwh,
            _known(min, (self.first_run_at, other.first_run_at)),
            _known(max, (self.last_run_at, other.last_run_at)),
        )

    def totals(self) -> Totals:
        """Return the group's sums as they go over the wire: of nothing known, unknown."""
        values = {
            name: float_of(self.sums[name].count, decimals) if self.sums[name].known else None
            for name, decimals in _SUMMED.items()
        }
        # Every run has a duration, so without runs it is known to be zero.
        values["duration_s"] = values["duration_s"] or 0.0
        return Totals(
            runs=self.runs,
            runs_without_energy=self.runs - self.sums["energy_kwh"].known,
            runs_without_emissions=self.runs - self.sums["emissions_kg"].known,
            runs_without_idle_energy=self.runs - self.sums["idle_energy_kwh"].known,
            energy_uncertainty=self.means["energy_uncertainty"].value(),
            emissions_uncertainty=self.means["emissions_uncertainty"].value(),
            grid_energy_kwh=(
                round(self.grid_energy_kwh, ENERGY_DECIMALS)
                if self.sums["energy_kwh"].known
                else None
            ),
            first_run_at=self.first_run_at,
            last_run_at=self.last_run_at,
            **values,
        )


def _known(choose: Callable[[Iterable[T]], T], values: Iterable[T | None]) -> T | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def tallies(
    connection: Connection, *keys: str, project: str | None = None
) -> list[tuple[Any, Tally]]:
    """Tally the runs of a project, or all, by the values of some columns.

    Returns a (row, tally) for each combination of values that occurs; the row has the columns'
    values as attributes.
    """
    columns = [RUNS.c[key] for key in keys]
    query = select(*columns, *_aggregates()).group_by(*columns)
    if project is not None:
        query = query.where(RUNS.c.project == project)
    return [(row, _tally(row)) for row in connection.execute(query)]


def _aggregates() -> list[ColumnElement[Any]]:
    listed: list[ColumnElement[Any]] = [
        func.count().label("runs"),
        func.min(RUNS.c.started_at).label("first_run_at"),
        func.max(RUNS.c.started_at).label("last_run_at"),
    ]
    for name in _SUMMED:
        quotients, remainders = sum_parts(RUNS.c[name])
        listed += [
            func.count(RUNS.c[name]).label(f"{name}_known"),
            quotients.label(f"{name}_quotients"),
            remainders.label(f"{name}_remainders"),
        ]
    listed.append((func.sum(_ENERGY * RUNS.c.pue) / 10**ENERGY_DECIMALS).label("grid_energy_kwh"))
    for name, (column, weight) in _AVERAGED.items():
        listed += [
            func.sum(column * weight).label(f"{name}_weighted"),
            func.sum(case((column.is_not(None), weight))).label(f"{name}_weight"),
            func.min(column).label(f"{name}_lowest"),
            func.max(column).label(f"{name}_highest"),
        ]
    return listed


def _tally(row: Row[Any]) -> Tally:
    values = row._mapping
    return Tally(
        runs=values["runs"],
        sums={
            name: Sum(
                values[f"{name}_known"],
                joined(values[f"{name}_quotients"], values[f"{name}_remainders"]),
            )
            for name in _SUMMED
        },
        means={
            name: Mean(
                values[f"{name}_weighted"] or 0.0,
                values[f"{name}_weight"] or 0.0,
                values[f"{name}_lowest"],
                values[f"{name}_highest"],
            )
            for name in _AVERAGED
        },
        grid_energy_kwh=values["grid_energy_kwh"] or 0.0,
        first_run_at=values["first_run_at"],
        last_run_at=values["last_run_at"],
    )
