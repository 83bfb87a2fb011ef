"""The wire models: what a tracker sends, what the API stores and what the dashboard reads.

This is the only place where a field of a report or of a summary is named; the tables inherit it.
Energies are IT energy, before PUE; `emissions_kg` is energy x PUE x intensity. `None` means "not
measured" or "unknown", never zero. A field this version does not know is refused, so that a report
of a newer schema is told so instead of being cut.
"""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from carbon import units
from carbon.countries import is_country

SCHEMA_VERSION = 1

Strategy = Literal[
    "single", "ddp", "fsdp", "deepspeed", "horovod", "ray-ddp", "ray-deepspeed", "other"
]
Status = Literal["running", "completed", "failed", "interrupted"]
Component = Literal["gpu", "cpu", "ram"]

# ---------------------------------------------------------------------------------------- fields


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is in UTC not within the years 1 to 9999") from None


def _round_energy(value: float) -> float:
    return round(value, units.ENERGY_DECIMALS)


def _round_mass(value: float) -> float:
    return round(value, units.MASS_DECIMALS)


def _round_time(value: float) -> float:
    return round(value, units.TIME_DECIMALS)


def _finite_or_none(value: Any) -> Any:
    """A loss that diverged to NaN is unknown on the wire: JSON has no NaN, the run must arrive."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character, which PostgreSQL cannot store")
    return value


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError(f"must be a UUID of version 7 (RFC 9562), got version {value.version}")
    return value


Utc = Annotated[AwareDatetime, AfterValidator(_in_utc)]
RunId = Annotated[UUID, AfterValidator(_is_uuid7)]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_without_nul)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_without_nul),
]
# A run of 9 GWh is the largest that a 64-bit count of 1e-12 kWh holds.
EnergyKwh = Annotated[
    float, Field(ge=0, le=9e6, allow_inf_nan=False), AfterValidator(_round_energy)
]
MassKg = Annotated[float, Field(ge=0, le=9e6, allow_inf_nan=False), AfterValidator(_round_mass)]
# 285 years, for the same reason: a 64-bit count of nanoseconds.
Seconds = Annotated[float, Field(ge=0, le=9e9, allow_inf_nan=False), AfterValidator(_round_time)]
Fraction = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Index = Annotated[int, Field(ge=0, le=2_000_000_000)]
MetricValue = Annotated[float | None, BeforeValidator(_finite_or_none)]
ConfigValue = Annotated[Text | int | float | bool | None, BeforeValidator(_finite_or_none)]
MAX_METRICS = 1000
Metrics = Annotated[dict[Name, MetricValue], Field(max_length=MAX_METRICS)]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Wire(BaseModel):
    """The base of every wire model: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ComponentEnergy(Wire):
    """Energy by component, each with the method that made it and its relative uncertainty.

    A method is what a meter calls itself (`nvml_counter`, `nvml_power`, `codecarbon_cpu_load` ...);
    several methods in one total are joined by "+". An uncertainty is relative and one standard
    deviation wide: 0.05 is 5 %.
    """

    energy_kwh: EnergyKwh | None = None
    gpu_energy_kwh: EnergyKwh | None = None
    cpu_energy_kwh: EnergyKwh | None = None
    ram_energy_kwh: EnergyKwh | None = None
    gpu_energy_method: Text | None = None
    cpu_energy_method: Text | None = None
    ram_energy_method: Text | None = None
    gpu_energy_uncertainty: Fraction | None = None
    cpu_energy_uncertainty: Fraction | None = None
    ram_energy_uncertainty: Fraction | None = None
    energy_uncertainty: Fraction | None = None

    @model_validator(mode="after")
    def _total_is_the_sum(self) -> Self:
        parts = units.add_known([self.gpu_energy_kwh, self.cpu_energy_kwh, self.ram_energy_kwh])
        if parts is None:
            return self
        if self.energy_kwh is None or not math.isclose(
            self.energy_kwh, parts, rel_tol=1e-9, abs_tol=1e-11
        ):
            raise ValueError(
                f"energy_kwh is {self.energy_kwh}, but its components add up to {parts}"
            )
        return self


class DeviceReport(Wire):
    """What one accelerator drew for the run."""

    uuid: Name
    index: Index | None = None
    name: Text | None = None
    energy_kwh: EnergyKwh | None = None
    energy_method: Text | None = None
    energy_uncertainty: Fraction | None = None
    mean_utilization_percent: Percent | None = None
    note: Text | None = None
    """Why a value is missing or cut short: "lost after 12 s", "MIG slices have no meter"."""


class NodeReport(ComponentEnergy):
    """What one host drew for one attempt of the run."""

    hostname: Name
    attempt: Index = 0
    ranks: Annotated[list[Index], Field(max_length=100_000)] = []
    cpu_model: Text | None = None
    devices: Annotated[list[DeviceReport], Field(max_length=1024)] = []


class EpochReport(Wire):
    """One epoch: its duration on the lowest reporting rank and its energy on all of them."""

    index: Index
    attempt: Index = 0
    duration_s: Seconds
    energy_kwh: EnergyKwh | None = None
    metrics: Metrics = {}


class RunSpec(Wire):
    """What the user says of a run before it starts."""

    project: Name
    study: Name | None = None
    name: Name | None = None
    strategy: Strategy | None = None
    tags: Annotated[dict[Name, Text], Field(max_length=100)] = {}
    config: Annotated[dict[Name, ConfigValue], Field(max_length=1000)] = {}

    @field_validator("project")
    @classmethod
    def _project_fits_in_a_path(cls, project: str) -> str:
        if project in (".", ".."):
            raise ValueError(f"{project!r} cannot be the name of a project: no URL can carry it")
        return project


class Place(Wire):
    """Where a run drew its electricity, and the carbon intensity used for it.

    `country_iso_code` is ISO 3166-1 alpha-3. `intensity_source` and `intensity_year` say whose
    figure it is and for which year; a place without an intensity is unknown and stays unknown.
    """

    country_iso_code: CountryCode | None = None
    region: Name | None = None
    intensity_g_per_kwh: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None = None
    intensity_source: Text | None = None
    intensity_year: Annotated[int, Field(ge=1990, le=2200)] | None = None
    pue: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = 1.0

    @field_validator("country_iso_code")
    @classmethod
    def _country_exists(cls, code: str | None) -> str | None:
        if code is not None and not is_country(code):
            raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-3 country code")
        return code


class RunFields(ComponentEnergy, Place, RunSpec):
    """Every field of a run that is not a list of its parts: what a list of runs shows."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    run_id: RunId
    seq: Index = 0
    """Counts the reports of a run; the server keeps the highest."""
    status: Status
    started_at: Utc
    ended_at: Utc | None = None
    duration_s: Seconds
    world_size: Count = 1
    n_nodes: Count = 1
    attempts: Count = 1
    emissions_kg: MassKg | None = None
    metrics: Metrics = {}
    """The last value logged of each metric."""
    software: Annotated[dict[Name, Text], Field(max_length=100)] = {}
    git_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}(-dirty)?$")] | None = (
        None
    )

    @field_validator("schema_version")
    @classmethod
    def _version_is_known(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"this report has schema version {version}, newer than "
                f"{SCHEMA_VERSION}, the newest known here; upgrade carbon-ledger on this side"
            )
        return version

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError(
                f"ended_at {self.ended_at.isoformat()} is before started_at "
                f"{self.started_at.isoformat()}"
            )
        return self

    @model_validator(mode="after")
    def _emissions_follow(self) -> Self:
        if self.emissions_kg is None:
            return self
        if self.energy_kwh is None or self.intensity_g_per_kwh is None:
            raise ValueError("emissions_kg needs energy_kwh and intensity_g_per_kwh beside it")
        expected = units.emissions_kg(self.energy_kwh, self.pue, self.intensity_g_per_kwh)
        if not math.isclose(self.emissions_kg, expected, rel_tol=1e-9, abs_tol=1e-11):
            raise ValueError(
                f"emissions_kg is {self.emissions_kg}, but energy_kwh x pue x intensity_g_per_kwh "
                f"/ 1000 is {expected}"
            )
        return self


class RunReport(RunFields):
    """One run, whole: what the tracker delivers and what `GET /v1/runs/{run_id}` returns."""

    nodes: Annotated[list[NodeReport], Field(max_length=10_000)] = []
    epochs: Annotated[list[EpochReport], Field(max_length=100_000)] = []

    @field_validator("epochs")
    @classmethod
    def _epochs_are_told_apart(cls, epochs: list[EpochReport]) -> list[EpochReport]:
        seen: set[tuple[int, int]] = set()
        for epoch in epochs:
            if (epoch.attempt, epoch.index) in seen:
                raise ValueError(f"epoch {epoch.index} of attempt {epoch.attempt} is there twice")
            seen.add((epoch.attempt, epoch.index))
        return epochs


# ------------------------------------------------------------------------------- what is read back


class Accepted(Wire):
    """The answer to a delivered report."""

    run_id: UUID
    seq: int
    """The sequence number the ledger now holds; higher than the one sent if that was outdated."""


class RunPage(Wire):
    """One page of runs, newest first."""

    items: list[RunFields]
    next_cursor: str | None = None


class Totals(Wire):
    """Sums over runs. Runs whose value is unknown are left out of a sum and counted beside it."""

    runs: int
    runs_without_energy: int
    runs_without_emissions: int
    duration_s: float
    energy_kwh: float | None
    gpu_energy_kwh: float | None
    cpu_energy_kwh: float | None
    ram_energy_kwh: float | None
    energy_uncertainty: float | None
    """Relative; the errors of runs are systematic and taken as fully correlated, so it is the
    energy-weighted mean of the runs' own and does not shrink with their number."""
    grid_energy_kwh: float | None
    """Energy x PUE: what was drawn from the grid for it."""
    emissions_kg: float | None
    first_run_at: datetime | None
    last_run_at: datetime | None


class ProjectTotals(Totals):
    """One project's line in the list of projects."""

    project: str


class PlaceTotals(Totals):
    """What was drawn at one place; `intensity_g_per_kwh` is weighted by energy x PUE."""

    country_iso_code: str | None
    country_name: str | None
    region: str | None
    intensity_g_per_kwh: float | None
    intensity_source: str | None
    intensity_year: int | None


class Equivalent(Wire):
    """Emissions as something from everyday life.

    `amount` is in `unit`; `text` is the amount as it is meant to be shown. `factor_kg` is the
    CO2-equivalent of one unit, from `source`, for `year`.
    """

    key: str
    label: str
    amount: float
    unit: str
    text: str
    factor_kg: float
    source: str
    source_url: str | None
    year: int | None


class Summary(Totals):
    """All runs, or all runs of a project, in one answer."""

    project: str | None
    """None for the summary over all projects."""
    runs_by_status: dict[str, int]
    places: list[PlaceTotals]
    last_run: RunFields | None
    equivalents: list[Equivalent]
    last_run_equivalents: list[Equivalent]


class TradeoffPoint(Wire):
    """One configuration of a study: what it took, what it drew, and whether anything beats it.

    Means are over the completed runs of the configuration, each with the standard deviation over
    those runs (None for a single run). An epoch's mean leaves the first epoch, the warm-up, out
    where there is more than one. `speedup` is the baseline's epoch time over this one's and
    `efficiency` is speedup / (workers / baseline_workers).
    """

    study: str
    strategy: str
    workers: int
    runs: int
    runs_with_energy: int
    """How many of the runs the means of energy and of emissions are over, at most."""
    epochs: int
    """How many epochs the means are over, all runs together."""
    epoch_s: float
    epoch_s_stdev: float | None
    energy_per_epoch_kwh: float | None
    energy_per_epoch_kwh_stdev: float | None
    emissions_per_epoch_kg: float | None
    duration_s: float
    energy_kwh: float | None
    """Mean energy of a whole run."""
    speedup: float
    ideal_speedup: float
    efficiency: float
    baseline_strategy: str
    baseline_workers: int
    energy_ratio: float | None
    """Energy per epoch over the baseline's: 1.1 costs a tenth more for the same work."""
    on_pareto_front: bool
    metrics: dict[str, float]
    """Means of the runs' last metrics."""
    last_run_at: datetime
    """When the newest of the runs started."""


class Tradeoff(Wire):
    """Energy against speedup for every study of a project."""

    project: str
    points: list[TradeoffPoint]
    differences: dict[str, list[str]]
    """Per study, in what its runs differ besides strategy and workers, which is a reason not to
    compare them: "config KEY", "tag KEY", "epochs", "place", "PUE"."""


class GridFactor(Wire):
    """The carbon intensity of one country or region, and the mix it comes from where known."""

    country_iso_code: str
    country_name: str
    region: str | None
    provider: str | None
    """The cloud provider, for a cloud region."""
    intensity_g_per_kwh: float
    source: str
    year: int | None
    mix_percent: dict[str, float] | None
    """Shares of generation: coal, gas, oil, nuclear, hydro, wind, solar, other_renewable."""


class Problem(Wire):
    """RFC 9457 problem details, the one shape of every error the API answers with."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
    """For a refused body: `field`, the path to it, and `message`."""
