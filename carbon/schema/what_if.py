"""The same energy under other conditions, and embodied carbon: as sent and as answered."""

from itertools import pairwise
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from carbon.schema.budgets import Cost
from carbon.schema.fields import CountryCode, Intensity, Name, Pue, Text, Utc, Wire

HardwareKind = Literal["gpu", "host"]

Hours = Annotated[float, Field(ge=-8784, le=8784, allow_inf_nan=False)]


class WhatIfTerms(Wire):
    """What would be different, as it is sent; what is left out stays as it was."""

    country: CountryCode | None = None
    """ISO 3166-1 alpha-3 code of the place whose yearly mean intensity is taken."""
    region: Name | None = None
    """Of that country, or of a cloud there."""
    pue: Pue | None = None
    shift_h: Hours = 0.0
    """How many hours later, or earlier where it is negative, the run would have begun."""
    hourly_g_per_kwh: Annotated[list[Intensity], Field(min_length=24, max_length=24)] | None = None
    """The intensity in each hour of the day, in UTC, the same on every day."""
    intensities: (
        Annotated[list[tuple[Utc, Intensity]], Field(min_length=1, max_length=100_000)] | None
    ) = None
    """The intensity from each of some moments on; the last one holds for an hour."""
    intensity_source: Text | None = None
    """Where the intensities are from."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model_copy(update={"intensity_source": None}) == WhatIfTerms.model_construct():
            raise ValueError(
                "say what would be different: the country and region, the PUE, or more"
            )
        profiles = [p for p in (self.hourly_g_per_kwh, self.intensities) if p is not None]
        if len(profiles) > 1:
            raise ValueError("hourly_g_per_kwh and intensities are two profiles; send one of them")
        if self.region is not None and self.country is None:
            raise ValueError("a region needs its country beside it")
        if profiles and self.country is not None:
            raise ValueError("a profile of intensities is of its own place; leave the country out")
        if self.shift_h and not profiles:
            raise ValueError(
                "shift_h needs the intensity of each hour, which the ledger does not hold: send it "
                "in the body of a POST, as hourly_g_per_kwh or intensities"
            )
        moments = [moment for moment, _ in self.intensities or ()]
        if any(later <= earlier for earlier, later in pairwise(moments)):
            raise ValueError("the intensities must be in the order of time, each moment once")
        return self


class Operation(Wire):
    """What running took, as it was or as it would have been."""

    runs_without_energy: int
    runs_without_emissions: int
    energy_kwh: float | None
    grid_energy_kwh: float | None
    """Energy x PUE."""
    emissions_kg: float | None
    """Grid energy x intensity."""
    intensity_g_per_kwh: float | None
    """Emissions over the grid energy that they are of."""
    intensity_source: str | None
    intensity_year: int | None
    costs: list[Cost]
    method: str


class Difference(Wire):
    """The hypothetical minus the actual, over the runs that are known in both."""

    grid_energy_kwh: float | None
    grid_energy_ratio: float | None
    """Hypothetical over actual."""
    emissions_kg: float | None
    emissions_ratio: float | None
    cost: dict[str, float]
    """By currency; empty where no price is known."""
    cost_ratio: dict[str, float]


class WhatIf(Wire):
    """The same energy under other conditions."""

    project: str
    run_id: UUID | None
    """None for a whole project."""
    runs: int
    actual: Operation
    """As the ledger has it, but with a profile of intensities: at the hours that it was, with the
    intensities of the profile."""
    hypothetical: Operation
    difference: Difference


class HardwareTerms(Wire):
    """What making a piece of hardware emitted, as it is sent."""

    embodied_kg: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
    """CO2-equivalent of making, moving and scrapping it: TE of the SCI specification."""
    lifetime_h: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    """How long it is expected to be used: EL of the SCI specification."""
    resource_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """How much of it a run has: RR / ToR of the SCI specification; of an accelerator all of it."""
    source: Text | None = None
    year: Annotated[int, Field(ge=1990, le=2200)] | None = None


class Hardware(HardwareTerms):
    """Hardware by the model of an accelerator or the name of a host, in whatever case."""

    kind: HardwareKind
    name: str


class HardwareList(Wire):
    """All hardware that is known, by kind and name."""

    items: list[Hardware]


class EmbodiedPart(Wire):
    """The share of one kind of hardware that a run used."""

    kind: HardwareKind
    name: str | None
    """None for an accelerator whose model is unknown."""
    count: int
    embodied_kg: float | None
    """Of all of them; None where the hardware is not in the table."""
    source: str | None
    year: int | None


class Footprint(Wire):
    """A run's emissions: of its operation, and its share in making the hardware it ran on."""

    run_id: UUID
    operational_kg: float | None
    """Location-based."""
    operational_method: str
    operational_source: str | None
    operational_year: int | None
    embodied_kg: float | None
    """Of the hardware that is known; None where none is. What is not in it has no amount among
    `embodied`."""
    embodied_method: str
    embodied: list[EmbodiedPart]
    total_kg: float | None
    """None unless the emissions of the operation and of all of the hardware are known."""
