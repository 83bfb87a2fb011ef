"""What comparing with other conditions has in common, of a run and of a project."""

from dataclasses import dataclass

from api.problems import ProblemError
from carbon import grid
from carbon.errors import UnknownPlaceError
from carbon.schema import Difference, Operation, WhatIfTerms
from carbon.units import ENERGY_DECIMALS, MASS_DECIMALS, PRICE_DECIMALS

AS_REPORTED = "as reported: energy x PUE x the grid's intensity, location-based"


@dataclass(frozen=True)
class Intensity:
    """An intensity, None where it is unknown, and how it was found."""

    g_per_kwh: float | None
    source: str | None
    year: int | None
    method: str


def of_place(terms: WhatIfTerms) -> Intensity:
    """Return the intensity of the country or region that the terms name.

    Raises:
        ProblemError: 422 for a place that cannot be meant.
    """
    try:
        grid.check_place(terms.country, terms.region)
    except UnknownPlaceError as error:
        field, message = "country" if terms.region is None else "region", str(error)
        errors = [{"field": field, "message": message}]
        raise ProblemError(422, f"{field}: {message}", errors=errors) from error
    factor = grid.lookup(terms.country, terms.region)
    if factor is None:
        method = conditions(terms, f"the intensity of {terms.country}, which is not known")
        return Intensity(None, None, None, method)
    return Intensity(
        factor.intensity_g_per_kwh,
        factor.source,
        factor.year,
        conditions(terms, f"the yearly mean intensity of {terms.region or terms.country}"),
    )


def conditions(terms: WhatIfTerms, intensity: str) -> str:
    """Say by which method the hypothetical side is made."""
    pue = "the run's own PUE" if terms.pue is None else f"a PUE of {terms.pue:g}"
    return f"the same energy x {pue} x {intensity}; at the price of the day that it was drawn on"


def difference(
    actual: Operation, hypothetical: Operation, was_kg: float | None, would_be_kg: float | None
) -> Difference:
    """Compare two operations; their emissions are given as of the runs that are known in both."""
    was_kwh, would_be_kwh = actual.grid_energy_kwh, hypothetical.grid_energy_kwh
    paid = {cost.currency: cost.cost for cost in actual.costs}
    would_pay = {cost.currency: cost.cost for cost in hypothetical.costs}
    return Difference(
        grid_energy_kwh=_minus(would_be_kwh, was_kwh, ENERGY_DECIMALS),
        grid_energy_ratio=_ratio(would_be_kwh, was_kwh),
        emissions_kg=_minus(would_be_kg, was_kg, MASS_DECIMALS),
        emissions_ratio=_ratio(would_be_kg, was_kg),
        cost={name: round(would_pay[name] - cost, PRICE_DECIMALS) for name, cost in paid.items()},
        cost_ratio={name: would_pay[name] / cost for name, cost in paid.items() if cost},
    )


def _minus(value: float | None, other: float | None, decimals: int) -> float | None:
    return None if value is None or other is None else round(value - other, decimals)


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other
