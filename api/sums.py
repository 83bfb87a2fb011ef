"""What is added up of runs: whole numbers, so that adding and taking away again is exact.

A quantity is a count of its last decimal, as `api.columns.FixedPoint` stores it. A sum of counts
may not fit 64 bits, so the quotient and the remainder by `PART` of what is added are summed apart:
either fits for a thousand million times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, Self, TypeVar, get_args

from api.columns import count_from, float_of
from carbon.schema import Status, Totals
from carbon.units import ENERGY_DECIMALS, GRAMS_PER_KG, MASS_DECIMALS, TIME_DECIMALS

T = TypeVar("T")

PART = 10**9

STATUSES: tuple[str, ...] = get_args(Status)

KNOWN = {
    "duration_s": TIME_DECIMALS,
    "energy_kwh": ENERGY_DECIMALS,
    "gpu_energy_kwh": ENERGY_DECIMALS,
    "cpu_energy_kwh": ENERGY_DECIMALS,
    "ram_energy_kwh": ENERGY_DECIMALS,
    "idle_energy_kwh": ENERGY_DECIMALS,
    "emissions_kg": MASS_DECIMALS,
    "market_emissions_kg": MASS_DECIMALS,
}
"""The quantities of a run that are summed, each with its decimals; of each it is also counted how
many runs know it."""

DERIVED = {
    "grid_energy_kwh": ENERGY_DECIMALS,
    "emitting_energy_kwh": ENERGY_DECIMALS,
    "energy_error_kwh": ENERGY_DECIMALS,
    "uncertain_energy_kwh": ENERGY_DECIMALS,
    "emissions_error_kg": MASS_DECIMALS,
    "uncertain_emissions_kg": MASS_DECIMALS,
}
"""What follows from a run's quantities and is summed beside them, for the means: energy x PUE, the
same of the runs with emissions, and the errors of the runs that know theirs. Errors are added up
linearly: runs share meters, so the band does not shrink with their number."""

SUMMED = KNOWN | DERIVED


class Drawn(NamedTuple):
    """What was drawn and emitted, by a run or by a part of it; None is unknown."""

    energy_kwh: float | None
    gpu_energy_kwh: float | None
    cpu_energy_kwh: float | None
    ram_energy_kwh: float | None
    idle_energy_kwh: float | None
    emissions_kg: float | None
    market_emissions_kg: float | None
    energy_uncertainty: float | None

    @classmethod
    def by(cls, run: Mapping[str, Any]) -> Self:
        """Return it of a whole run."""
        return cls._make(_all_of(run))


_all_of = itemgetter(*Drawn._fields)

NEEDED = (*Drawn._fields, "duration_s", "status", "started_at", "pue", "intensity_g_per_kwh")
"""The columns of a run that decide what it adds to a row of sums."""


def contribution(run: Mapping[str, Any], drawn: Drawn) -> tuple[int, ...]:
    """Return what a run adds to a sum: whole numbers that `columns_of` makes columns of.

    Args:
        run: of which `duration_s`, `status` and `pue` are read.
        drawn: by all of it, or by the part that is summed.
    """
    added = _OF_STATUS[run["status"]].copy()
    counts = []
    for value, decimals in zip((run["duration_s"], *drawn[:-1]), _DECIMALS, strict=True):
        counts.append(0 if value is None else count_from(value, decimals))
        added.append(int(value is not None))
    counts += _derived(run["pue"], drawn, counts[1], counts[6])
    return *added, *counts


_DECIMALS = tuple(KNOWN[name] for name in ("duration_s", *Drawn._fields[:-1]))
_OF_STATUS = {status: [int(status == each) for each in STATUSES] for status in STATUSES}


def grid_count(energy_count: int, pue: float) -> int:
    """Return energy x PUE, both energies as counts of their last decimal."""
    return round(energy_count * pue)


def _derived(pue: float, drawn: Drawn, energy: int, emissions: int) -> tuple[int, ...]:
    """Return the counts of `DERIVED`."""
    grid = grid_count(energy, pue)
    emitting = 0 if drawn.emissions_kg is None else grid
    if (uncertainty := drawn.energy_uncertainty) is None:
        return grid, emitting, 0, 0, 0, 0
    error, emissions_error = round(energy * uncertainty), round(emissions * uncertainty)
    return grid, emitting, error, energy, emissions_error, emissions


def columns_of(total: Sequence[int]) -> tuple[int, ...]:
    """Return a sum of contributions as `COLUMNS` hold it."""
    parts = (part for count in total[_COUNTED:] for part in divmod(count, PART))
    return *total[:_COUNTED], *parts


_COUNTED = len(STATUSES) + len(KNOWN)


COLUMNS = (
    *(f"runs_{status}" for status in STATUSES),
    *(f"{name}_known" for name in KNOWN),
    *(f"{name}_{part}" for name in SUMMED for part in ("quotient", "remainder")),
)
"""The columns of a sum, whole numbers that are added to and taken from."""

EXTREMES: dict[str, tuple[str, Callable[..., Any]]] = {
    "first_run_at": ("started_at", min),
    "last_run_at": ("started_at", max),
    "lowest_intensity": ("intensity_g_per_kwh", min),
    "highest_intensity": ("intensity_g_per_kwh", max),
}
"""The columns beside the sums that hold an extreme of a run's column. What was taken away cannot be
taken from them: they are then looked up anew."""


@dataclass(frozen=True)
class Tally:
    """What a group of runs adds up to. Tallies of groups that have no run in common add up."""

    runs_by_status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    known: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KNOWN, 0))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    extremes: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(EXTREMES))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read the tally from the columns of a sum, or of a sum of sums."""
        return cls(
            {status: int(row[f"runs_{status}"]) for status in STATUSES},
            {name: int(row[f"{name}_known"]) for name in KNOWN},
            {
                name: int(row[f"{name}_quotient"]) * PART + int(row[f"{name}_remainder"])
                for name in SUMMED
            },
            {name: row[name] for name in EXTREMES},
        )

    def __add__(self, other: Self) -> "Tally":
        return Tally(
            _added(self.runs_by_status, other.runs_by_status),
            _added(self.known, other.known),
            _added(self.counts, other.counts),
            {
                name: extreme_of(choose, (self.extremes[name], other.extremes[name]))
                for name, (_, choose) in EXTREMES.items()
            },
        )

    @property
    def runs(self) -> int:
        """How many runs these are."""
        return sum(self.runs_by_status.values())

    def sum_of(self, name: str) -> float | None:
        """Return a quantity's sum; of nothing known, None."""
        known = self.known["energy_kwh" if name == "grid_energy_kwh" else name]
        return float_of(self.counts[name], SUMMED[name]) if known else None

    @property
    def intensity_g_per_kwh(self) -> float | None:
        """The mean intensity, by energy x PUE; where all runs have the same, exactly that."""
        lowest: float | None = self.extremes["lowest_intensity"]
        highest: float | None = self.extremes["highest_intensity"]
        if lowest is None or highest is None or lowest == highest:
            return lowest
        kg_per_kwh = self._ratio("emissions_kg", "emitting_energy_kwh")
        return None if kg_per_kwh is None else min(max(kg_per_kwh * GRAMS_PER_KG, lowest), highest)

    def _ratio(self, numerator: str, denominator: str) -> float | None:
        over = self.counts[denominator]
        scale: int = 10 ** (SUMMED[denominator] - SUMMED[numerator])
        return self.counts[numerator] * scale / over if over else None

    def totals(self) -> Totals:
        """Return the group's sums as they go over the wire."""
        first_run_at: datetime | None = self.extremes["first_run_at"]
        last_run_at: datetime | None = self.extremes["last_run_at"]
        return Totals(
            runs=self.runs,
            runs_without_energy=self.runs - self.known["energy_kwh"],
            runs_without_emissions=self.runs - self.known["emissions_kg"],
            runs_without_market_emissions=self.runs - self.known["market_emissions_kg"],
            runs_without_idle_energy=self.runs - self.known["idle_energy_kwh"],
            # Every run has a duration, so without runs it is known to be zero.
            duration_s=self.sum_of("duration_s") or 0.0,
            energy_kwh=self.sum_of("energy_kwh"),
            gpu_energy_kwh=self.sum_of("gpu_energy_kwh"),
            cpu_energy_kwh=self.sum_of("cpu_energy_kwh"),
            ram_energy_kwh=self.sum_of("ram_energy_kwh"),
            idle_energy_kwh=self.sum_of("idle_energy_kwh"),
            energy_uncertainty=self._ratio("energy_error_kwh", "uncertain_energy_kwh"),
            emissions_uncertainty=self._ratio("emissions_error_kg", "uncertain_emissions_kg"),
            grid_energy_kwh=self.sum_of("grid_energy_kwh"),
            emissions_kg=self.sum_of("emissions_kg"),
            market_emissions_kg=self.sum_of("market_emissions_kg"),
            first_run_at=first_run_at,
            last_run_at=last_run_at,
        )


def extreme_of(choose: Callable[[Iterable[T]], T], values: Iterable[T | None]) -> T | None:
    """Return the extreme of what is known."""
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: value + other[name] for name, value in one.items()}
