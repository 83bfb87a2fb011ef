"""How what a run emitted is accounted for: corrections, their trace, factor tables, costings."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from carbon.schema.fields import (
    FIRST_ERROR_ONLY,
    MAX_TAGS,
    CountryCode,
    EnergyKwh,
    Intensity,
    Name,
    Pue,
    Reason,
    Strategy,
    Text,
    Utc,
    Wire,
    Year,
)

MAX_FACTORS = 20_000

Correctable = Literal[
    "project",
    "study",
    "name",
    "strategy",
    "tags",
    "user",
    "country_iso_code",
    "region",
    "pue",
    "intensity_g_per_kwh",
    "intensity_source",
    "intensity_year",
    "market_intensity_g_per_kwh",
    "market_source",
    "energy_kwh",
    "gpu_energy_kwh",
    "cpu_energy_kwh",
    "ram_energy_kwh",
]


class Correction(Wire):
    """What is wrong in a run's report, and why it is said otherwise; what is left out stays.

    - `country_iso_code` or `region`: the intensity follows from the run's factor table, unless it
      is given too. A new country without a region has none.
    - `intensity_g_per_kwh`: whose figure it is and for which year is unknown unless given too.
    - `market_intensity_g_per_kwh`: of a contract, say; whose figure it is unless given too.
    - a component's energy: the total follows. `energy_kwh` alone: the components are then unknown.
      Energies of a run that goes on cannot be corrected, as they still grow.

    Emissions always follow. Null is "unknown", or "none". `tags` are replaced as a whole.
    """

    reason: Reason
    withdraw: Annotated[list[Correctable], FIRST_ERROR_ONLY] = []
    """Of these fields holds again what the reports say."""
    project: Name | None = None
    study: Name | None = None
    name: Name | None = None
    strategy: Strategy | None = None
    tags: Annotated[dict[Name, Text], Field(max_length=MAX_TAGS)] | None = None
    user: Name | None = None
    country_iso_code: CountryCode | None = None
    region: Name | None = None
    pue: Pue | None = None
    intensity_g_per_kwh: Intensity | None = None
    intensity_source: Text | None = None
    intensity_year: Year | None = None
    market_intensity_g_per_kwh: Intensity | None = None
    market_source: Text | None = None
    energy_kwh: EnergyKwh | None = None
    gpu_energy_kwh: EnergyKwh | None = None
    cpu_energy_kwh: EnergyKwh | None = None
    ram_energy_kwh: EnergyKwh | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields that are corrected; a field that is given as null is among them."""
        return self.model_dump(exclude_unset=True, exclude={"reason", "withdraw"})


class Change(Wire):
    """What one field was and what it is now."""

    before: Any = None
    after: Any = None


class AuditEntry(Wire):
    """One line of the audit log: who changed what in the ledger, when and why."""

    id: int
    at: datetime
    actor: str
    action: str
    """"correct", "delete", "recost", "import"; of terms, such as prices, "set" and "remove"; of
    keys "create" and "revoke"."""
    project: str | None
    """Of one run the project it was in before; None where it is about several."""
    run_id: UUID | None
    runs: int
    """How many runs were changed; 0 where terms or keys were."""
    changes: dict[str, Change]
    """By field; of several runs the sums over them; of terms all of them by what they are, such as
    `prices/2026-01-01`, of a key what it is for by `keys/ID`."""
    reason: str | None
    request_id: str | None


class AuditPage(Wire):
    """One page of the audit log, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None = None


class Costing(Wire):
    """A figure that a run's emissions have or had, with all that it was made of."""

    is_current: bool
    replaced_at: datetime | None
    """None of the current one."""
    factor_table: str | None
    country_iso_code: str | None
    region: str | None
    intensity_g_per_kwh: float | None
    intensity_source: str | None
    intensity_year: int | None
    pue: float
    market_intensity_g_per_kwh: float | None
    market_source: str | None
    market_table: str | None
    energy_kwh: float | None
    emissions_kg: float | None
    market_emissions_kg: float | None


FactorKind = Literal["location", "market"]
"""By which intensities emissions are accounted for; GHG Protocol Scope 2 Guidance (2015)."""


class Factor(Wire):
    """The carbon intensity of one country, or of one of its regions, in a factor table."""

    country_iso_code: CountryCode
    region: Name | None = None
    intensity_g_per_kwh: Intensity
    source: Text | None = None
    """None: the table's."""
    year: Year | None = None
    """None: the table's."""


class FactorTable(Wire):
    """A table of carbon intensities that is to be kept under a version's name.

    Of the kind `location` they are the grid's; of the kind `market` those of electricity as it is
    bought: a supplier's, or the residual mix of what nobody claims.
    """

    kind: FactorKind = "location"
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
    source: Reason
    year: Year | None = None
    """Of what the factors are of; None where they are of several years."""
    factors: Annotated[list[Factor], Field(min_length=1, max_length=MAX_FACTORS), FIRST_ERROR_ONLY]


class FactorTableInfo(Wire):
    """A factor table that the ledger knows, without its factors."""

    kind: FactorKind
    version: str
    source: str
    year: int | None
    imported_at: datetime | None
    """None of the one that comes with this version and that no run was costed with yet."""
    sha256: str
    """Of the factors as the ledger keeps them: equal tables have equal ones."""
    factors: int


class RecostOrder(Wire):
    """Which runs are to be costed with which table.

    One request goes through `limit` runs at most; `next_cursor` of its answer goes into the next.
    Safe to repeat: runs that are costed with the table already stay as they are.
    """

    table: Name
    project: Name | None = None
    since: Utc | None = None
    """Started at this moment or later."""
    until: Utc | None = None
    """Started before this moment."""
    dry_run: bool = False
    reason: Reason | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    cursor: Text | None = None

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(
                f"since is {self.since.isoformat()}, which is not before until, "
                f"{self.until.isoformat()}"
            )
        return self


class Recosted(Wire):
    """What a re-costing changed, or would change. Runs of which it is unknown are in no sum.

    Emissions are those of the table's kind: location-based or market-based.
    """

    runs: int
    """How many have a new figure."""
    runs_as_before: int
    """How many were costed with this table already."""
    runs_without_factor: int
    """How many are at a place that the table has no factor for."""
    runs_corrected: int
    """How many have an intensity that was corrected by hand: that is left alone."""
    emissions_before_kg: float | None
    """Of the runs that have a new figure; null where they have, and none had one before."""
    emissions_after_kg: float | None
    difference_kg: float | None
    """Of the runs with a figure before and after; null where runs have a new one, and none both."""
    next_cursor: str | None = None
