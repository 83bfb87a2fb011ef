"""What a project's energy would have emitted elsewhere, and where to go for less.

Pure: a summary and grid factors in, figures and sentences out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from carbon import units, wording
from carbon.schema import GridFactor, PlaceTotals, Summary

LOWEST, HIGHEST = 6, 4
_PROVIDERS = {"gcp": "Google Cloud", "aws": "AWS", "azure": "Azure"}
CAVEAT = (
    "These are annual averages of each grid, location-based: they compare places, not hours, and "
    "say nothing of a supply contract. Sources count differently; small differences mean nothing. "
    "Energies here are what was drawn from the grid, PUE included."
)


@dataclass(frozen=True)
class Comparison:
    """The chart's rows (see `ui.charts.regions`) and the sentence that draws the conclusion."""

    frame: pd.DataFrame
    recommendation: str


def nothing_to_move(summary: Summary) -> str | None:
    """Say why there is nothing to compare, or return None where there is something."""
    if summary.energy_kwh is None:
        return "No energy has been measured yet, so there is nothing to move."
    if summary.energy_kwh == 0:
        return f"What was measured adds up to {wording.energy(0.0)}, which emits nothing anywhere."
    return None


def compare(summary: Summary, factors: Sequence[GridFactor], noun: str) -> Comparison:
    """Set the project's emissions against the same grid energy at each of `factors`.

    `noun` names what is compared: "cloud region" or "country". Grid energy is energy x PUE; moved
    is that for which emissions are known, or all of it where none are. It must be above 0, see
    `nothing_to_move`.
    """
    ordered = sorted(factors, key=lambda factor: factor.intensity_g_per_kwh)
    own = _own(summary)
    energy_kwh = own.energy_kwh if own else summary.grid_energy_kwh or 0.0
    chosen = [(factor, "lowest") for factor in ordered[:LOWEST]]
    chosen += [(factor, "highest") for factor in ordered[LOWEST:][-HIGHEST:]]
    rows = [_row(factor, group, energy_kwh) for factor, group in chosen]
    if own is not None:
        rows.append(_own_row(own))
    frame = pd.DataFrame(rows).sort_values("emissions_kg", kind="stable", ignore_index=True)
    field = wording.count(len(ordered), noun, f"{noun[:-1]}ies" if noun.endswith("y") else None)
    if own is None:
        return Comparison(frame, _range(ordered, energy_kwh, field))
    return Comparison(frame, _recommend(ordered, own, summary.grid_energy_kwh or 0.0, field))


@dataclass(frozen=True)
class _Own:
    """The places with known emissions, their sum, and the grid energy that they are of."""

    places: list[PlaceTotals]
    emissions_kg: float
    energy_kwh: float


def _own(summary: Summary) -> _Own | None:
    """Add up the places with known emissions; None where they drew nothing that could move."""
    masses = [
        (place, place.emissions_kg) for place in summary.places if place.emissions_kg is not None
    ]
    energy_kwh = sum(_emitting_kwh(place, mass) for place, mass in masses)
    if energy_kwh == 0:
        return None
    return _Own([place for place, _ in masses], sum(mass for _, mass in masses), energy_kwh)


def _emitting_kwh(place: PlaceTotals, emissions_kg: float) -> float:
    """Return the grid energy of the place's runs whose emissions are known."""
    if place.runs_without_emissions > place.runs_without_energy and place.intensity_g_per_kwh:
        # Some energy here has no intensity; the mean intensity is that of the rest.
        return emissions_kg * units.GRAMS_PER_KG / place.intensity_g_per_kwh
    return place.grid_energy_kwh or 0.0


def _row(factor: GridFactor, group: str, energy_kwh: float) -> dict[str, object]:
    emissions = units.emissions_kg(energy_kwh, 1.0, factor.intensity_g_per_kwh)
    return {
        "label": label(factor, "\n"),
        "group": group,
        "emissions_kg": emissions,
        "emissions_text": wording.mass(emissions),
        "intensity_text": wording.intensity(factor.intensity_g_per_kwh),
        "source": wording.source(factor.source, factor.year),
    }


def _own_row(own: _Own) -> dict[str, object]:
    where = "as run"
    if len(own.places) == 1:
        where = wording.place(own.places[0].country_iso_code, own.places[0].region)
    sources = {wording.source(place.intensity_source, place.intensity_year) for place in own.places}
    return {
        "label": f"This project\n{where}",
        "group": "yours",
        "emissions_kg": own.emissions_kg,
        "emissions_text": wording.mass(own.emissions_kg),
        "intensity_text": wording.intensity(own.emissions_kg * units.GRAMS_PER_KG / own.energy_kwh),
        "source": "; ".join(sorted(sources)),
    }


def label(factor: GridFactor, separator: str = ", ") -> str:
    """Name a place: "europe-north1, Finland" or "Finland"."""
    return (
        factor.country_name
        if factor.region is None
        else f"{factor.region}{separator}{factor.country_name}"
    )


def _named(factor: GridFactor) -> str:
    provider = factor.provider and f" ({_PROVIDERS.get(factor.provider, factor.provider)})"
    return label(factor) + (provider or "")


def _range(ordered: Sequence[GridFactor], energy_kwh: float, field: str) -> str:
    best, worst = ordered[0], ordered[-1]
    least = units.emissions_kg(energy_kwh, 1.0, best.intensity_g_per_kwh)
    most = units.emissions_kg(energy_kwh, 1.0, worst.intensity_g_per_kwh)
    return (
        f"Of {field}, {_named(best)} would have emitted least for this project's "
        f"{wording.energy(energy_kwh)}: {wording.mass(least)}, against {wording.mass(most)} in "
        f"{label(worst)}. Where the project ran is unknown, so its own place in between is too."
    )


def _recommend(ordered: Sequence[GridFactor], own: _Own, all_kwh: float, field: str) -> str:
    best = ordered[0]
    there_kg = units.emissions_kg(own.energy_kwh, 1.0, best.intensity_g_per_kwh)
    there, here = wording.mass(there_kg), wording.mass(own.emissions_kg)
    part = ""
    if not math.isclose(own.energy_kwh, all_kwh, rel_tol=1e-6):
        known, everything = wording.energy(own.energy_kwh), wording.energy(all_kwh)
        amount = "energy" if known == everything else f"{known} of {everything}"
        part = f"For the {amount} whose place is known, "
    if there_kg >= own.emissions_kg:
        return (
            f"{part}{'this' if part else 'This'} project already ran on a grid at least as clean "
            f"as any of {field}; the best, {_named(best)}, would have emitted {there} instead of "
            f"{here}."
        )
    return (
        f"{part + 'the recommendation is' if part else 'Recommended:'} {_named(best)}. Of {field} "
        f"it has the cleanest grid: there the same energy would have emitted {there} instead of "
        f"{here}, {wording.percent(1 - there_kg / own.emissions_kg)} less."
    )
