"""What a tracker sends: the report of a run."""

import math
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from carbon import units
from carbon.schema.fields import (
    FIRST_ERROR_ONLY,
    MAX_TAGS,
    SCHEMA_VERSION,
    Config,
    Count,
    CountryCode,
    EnergyKwh,
    Fraction,
    Index,
    Intensity,
    MassKg,
    Metrics,
    Name,
    Percent,
    Pue,
    RunId,
    Seconds,
    Source,
    Status,
    Strategy,
    Text,
    UnroundedKwh,
    UnroundedSeconds,
    Utc,
    Wire,
    Year,
    finite_by_name,
)
from carbon.schema.series import SeriesName, SeriesReport


class ComponentEnergy(Wire):
    """Energy by component, each with the method that made it and its relative uncertainty.

    A method is what a meter calls itself (`nvml_counter`, `nvml_power`, `codecarbon_cpu_load` ...);
    several methods in one total are joined by "+". An uncertainty is relative and one standard
    deviation wide: 0.05 is 5 %. `energy_uncertainty` is that of emissions too, as far as it is
    known: the error of a grid's carbon intensity is not.
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
    idle_energy_kwh: EnergyKwh | None = None
    """What the same devices draw idle in the same time, by the baseline that `carbon baseline`
    keeps, and never more than they drew; `energy_kwh` minus it is the part above idle. None where
    a device that was measured has no baseline."""

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
    energy_kwh: UnroundedKwh | None = None
    energy_method: Text | None = None
    energy_uncertainty: Fraction | None = None
    mean_utilization_percent: Percent | None = None
    note: Text | None = None
    """Why a value is missing or cut short: "lost after 12 s", "MIG slices have no meter"."""


class StepProfile(Wire):
    """Where the time of some training steps of one rank went.

    The four parts are lengths of unions of intervals, so that nothing is counted twice, and add up
    to `duration_s`: communication that computation hides is `overlapped_communication_s`, what it
    does not hide is `exposed_communication_s`. All are seconds over all the steps together.
    """

    rank: Index
    steps: Count
    duration_s: Annotated[Seconds, Field(gt=0)]
    compute_s: Seconds
    """Computation while nothing was communicated."""
    exposed_communication_s: Seconds
    overlapped_communication_s: Seconds
    """Computation and communication at the same time."""
    idle_s: Seconds

    @model_validator(mode="after")
    def _parts_add_up(self) -> Self:
        parts = (
            self.compute_s
            + self.exposed_communication_s
            + self.overlapped_communication_s
            + self.idle_s
        )
        if not math.isclose(self.duration_s, parts, rel_tol=1e-6, abs_tol=1e-6):
            raise ValueError(
                f"duration_s is {self.duration_s}, but computation, communication and idle time "
                f"add up to {parts}"
            )
        return self


class NodeReport(ComponentEnergy):
    """What one host drew for one attempt of the run."""

    hostname: Name
    attempt: Index = 0
    ranks: Annotated[list[Index], Field(max_length=100_000), FIRST_ERROR_ONLY] = []
    cpu_model: Text | None = None
    devices: Annotated[list[DeviceReport], Field(max_length=1024), FIRST_ERROR_ONLY] = []
    profiles: Annotated[list[StepProfile], Field(max_length=100_000), FIRST_ERROR_ONLY] = []
    """Of the ranks that profiled some of their steps."""
    series_means: Annotated[dict[SeriesName, float | None], AfterValidator(finite_by_name)] = {}
    """The mean over the run of each of the host's own series; those of devices are in `devices`."""
    series: Annotated[list[SeriesReport], Field(max_length=5000), FIRST_ERROR_ONLY] = []
    """What was recorded over time, if anything; a report of a run that goes on has none."""

    @field_validator("series")
    @classmethod
    def _series_are_told_apart(cls, series: list[SeriesReport]) -> list[SeriesReport]:
        by_key = {one.key: one for one in series}
        if len(by_key) < len(series):
            raise ValueError("a series is there twice: name and device_uuid tell them apart")
        return [by_key[key] for key in sorted(by_key)]


class EpochReport(Wire):
    """One epoch: its duration on the lowest reporting rank and its energy on all of them."""

    index: Index
    attempt: Index = 0
    duration_s: UnroundedSeconds
    energy_kwh: UnroundedKwh | None = None
    metrics: Metrics = {}


class RunSpec(Wire):
    """What the user says of a run before it starts."""

    project: Name
    study: Name | None = None
    name: Name | None = None
    strategy: Strategy | None = None
    tags: Annotated[dict[Name, Text], Field(max_length=MAX_TAGS)] = {}
    config: Config = {}
    resumed_from: RunId | None = None
    """The run from whose checkpoint this one goes on; its epochs are numbered on from there."""

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
    intensity_g_per_kwh: Intensity | None = None
    intensity_source: Source | None = None
    intensity_year: Year | None = None
    factor_table: Name | None = None
    """The version of the factor table that the intensity was taken from; None where it is of none
    or where that is not known."""
    market_intensity_g_per_kwh: Intensity | None = None
    """Of the electricity that was bought, by contract or as the market's residual mix: for
    market-based emissions, GHG Protocol Scope 2 Guidance (2015), chapter 6."""
    market_source: Text | None = None
    market_table: Name | None = None
    """As `factor_table`, of the market-based intensity."""
    pue: Pue = 1.0


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
    """Location-based: with the grid's intensity."""
    market_emissions_kg: MassKg | None = None
    """Market-based: with that of what was bought. Both are reported, neither replaces the other."""
    metrics: Metrics = {}
    """The last value logged of each metric."""
    software: Annotated[dict[Name, Text], Field(max_length=100)] = {}
    user: Name | None = None
    """Who ran it, by the name that the machine knows them by."""
    git_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}(-dirty)?$")] | None = (
        None
    )
    live_interval_s: Seconds | None = None
    """While the run goes on: after how long the next report of it is expected at the latest."""

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
        for basis in ("", "market_") if self.market_emissions_kg is not None else ("",):
            self._require_product(f"{basis}emissions_kg", f"{basis}intensity_g_per_kwh")
        return self

    def _require_product(self, emissions: str, intensity: str) -> None:
        given = getattr(self, emissions)
        if given is None:
            return
        expected = units.known_emissions_kg(self.energy_kwh, self.pue, getattr(self, intensity))
        if expected is None:
            raise ValueError(f"{emissions} needs energy_kwh and {intensity} beside it")
        if not math.isclose(given, expected, rel_tol=1e-9, abs_tol=1e-11):
            raise ValueError(
                f"{emissions} is {given}, but energy_kwh x pue x {intensity} / 1000 is {expected}"
            )


class RunReport(RunFields):
    """One run, whole: what the tracker delivers and what `GET /v1/runs/{run_id}` returns."""

    reporter: Name | None = None
    """Whose share of the run this is, a host's by name and spool; None for all of the run."""
    nodes: Annotated[list[NodeReport], Field(max_length=10_000), FIRST_ERROR_ONLY] = []
    epochs: Annotated[list[EpochReport], Field(max_length=100_000), FIRST_ERROR_ONLY] = []

    @field_validator("epochs")
    @classmethod
    def _epochs_are_told_apart(cls, epochs: list[EpochReport]) -> list[EpochReport]:
        seen: set[tuple[int, int]] = set()
        for epoch in epochs:
            if (epoch.attempt, epoch.index) in seen:
                raise ValueError(f"epoch {epoch.index} of attempt {epoch.attempt} is there twice")
            seen.add((epoch.attempt, epoch.index))
        return epochs
