"""What is read back: totals, comparisons, factors, problems."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from carbon.schema.budgets import Cost
from carbon.schema.fields import StudyUnit, Wire
from carbon.schema.report import RunFields


class Accepted(Wire):
    """The answer to a delivered report."""

    run_id: UUID
    seq: int
    """The sequence number the ledger now holds of this reporter; higher than the one sent if that
    was outdated."""


class BatchResult(Wire):
    """What became of one report of a batch: the answer it would have got alone."""

    run_id: UUID | None
    """None where the report could not be read."""
    status: int
    """As of HTTP: 201 the run is new, 200 it was known, 4xx refused."""
    seq: int | None = None
    """As in `Accepted`; None where it was refused."""
    problem: "Problem | None" = None


class BatchAnswer(Wire):
    """The results of a batch, in the order of its items."""

    items: list[BatchResult]


class RunPage(Wire):
    """One page of runs, newest first unless asked for otherwise."""

    items: list[RunFields]
    next_cursor: str | None = None


class Totals(Wire):
    """Sums over runs. Runs whose value is unknown are left out of a sum and counted beside it."""

    runs: int
    runs_without_energy: int
    runs_without_emissions: int
    runs_without_market_emissions: int
    runs_without_idle_energy: int
    duration_s: float
    energy_kwh: float | None
    gpu_energy_kwh: float | None
    cpu_energy_kwh: float | None
    ram_energy_kwh: float | None
    idle_energy_kwh: float | None
    """What the devices of the runs that know it draw idle; see `ComponentEnergy`."""
    energy_uncertainty: float | None
    """Relative; the errors of runs are systematic and taken as fully correlated, so it is the
    energy-weighted mean of the runs' own and does not shrink with their number."""
    emissions_uncertainty: float | None
    """The same of the emissions, from the energy's alone: that of the intensities is unknown."""
    grid_energy_kwh: float | None
    """Energy x PUE: what was drawn from the grid for it."""
    emissions_kg: float | None
    """Location-based."""
    market_emissions_kg: float | None
    """Market-based, of the runs that have such a figure."""
    first_run_at: datetime | None
    last_run_at: datetime | None


class ProjectTotals(Totals):
    """One project's line in the list of projects."""

    project: str


class ProjectPage(Wire):
    """One page of projects, the most recently used first."""

    items: list[ProjectTotals]
    next_cursor: str | None = None


class StudyTotals(Totals):
    """One study's line in the list of a project's studies."""

    project: str
    study: str


class StudyPage(Wire):
    """One page of a project's studies, the most recently used first."""

    items: list[StudyTotals]
    next_cursor: str | None = None


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

    `amount` is in `unit`; `text` is the amount as it is meant to be shown. `amount_uncertainty` is
    what the energy's uncertainty makes of it, one standard deviation in `unit`, and
    `uncertainty_text` how that is shown; None where it is unknown. `factor_kg` is the
    CO2-equivalent of one unit, from `source`, for `year`.
    """

    key: str
    label: str
    amount: float
    unit: str
    text: str
    amount_uncertainty: float | None
    uncertainty_text: str | None
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
    costs: list[Cost] = []
    """What a project's grid energy cost, by currency: those are not added up. Empty where no price
    is known, and over all projects."""
    equivalents: list[Equivalent]
    last_run_equivalents: list[Equivalent]


class GroupTotals(Totals):
    """One line of a summary by groups: the sums of the runs that have these keys in common.

    A key that was not asked for is left out; one that is None is not known of the runs. Days begin
    at 00:00 UTC, and a run belongs to the day on which it started.
    """

    day: date | None = None
    week: str | None = None
    """As ISO 8601 has it, from Monday: 2026-W09."""
    month: str | None = None
    """2026-03."""
    project: str | None = None
    strategy: str | None = None
    study: str | None = None
    user: str | None = None
    status: str | None = None
    country_iso_code: str | None = None
    country_name: str | None = None
    region: str | None = None
    node: str | None = None
    """A host: the sums are of what was drawn there. A run of several nodes counts on each, and a
    correction of its energy is not divided among them."""
    gpu_model: str | None = None
    """The sums are of what the accelerators of this model drew, without their hosts. A run with
    several models counts for each, and a correction of its energy is not divided among them."""


class GroupPage(Wire):
    """One page of a summary by groups, in the order of their keys; what is unknown comes first."""

    items: list[GroupTotals]
    next_cursor: str | None = None


class TradeoffPoint(Wire):
    """One configuration of a study: what it took, what it drew, and whether anything beats it.

    Means are over the completed runs of the configuration, each with the standard deviation over
    those runs (None for a single run). An epoch's mean leaves the first epoch, the warm-up, out
    where there is more than one. `speedup` is the baseline's epoch time over this one's, where the
    epochs are not of one size (weak scaling) that of a sample, and `efficiency` is speedup /
    (workers / baseline_workers). Shares are of the training steps that were profiled.
    """

    study: str
    strategy: str
    workers: int
    runs: int
    runs_with_energy: int
    """How many of the runs the means of energy and of emissions are over, at most."""
    epochs: int
    """How many epochs the means are over, all runs together."""
    unit: StudyUnit = "epoch"
    """What is called an epoch here: "run" where no run of the study has epochs, so that each counts
    as one."""
    epoch_s: float
    epoch_s_stdev: float | None
    energy_per_epoch_kwh: float | None
    energy_per_epoch_kwh_stdev: float | None
    emissions_per_epoch_kg: float | None
    emissions_per_epoch_kg_stdev: float | None
    samples_per_epoch: float | None
    """Of all workers together, as the runs' config says under that key; None where it does not."""
    throughput_per_s: float | None
    """Samples a second, of all workers together."""
    throughput_per_s_stdev: float | None
    energy_per_sample_kwh: float | None
    energy_per_sample_kwh_stdev: float | None
    gpu_utilization_percent: float | None
    gpu_utilization_percent_stdev: float | None
    cpu_utilization_percent: float | None
    """Of the whole hosts, over all their cores and the whole run."""
    cpu_utilization_percent_stdev: float | None
    cpu_frequency_mhz: float | None
    cpu_frequency_mhz_stdev: float | None
    network_sent_mb_per_s: float | None
    """Of all hosts together, whatever they sent."""
    network_sent_mb_per_s_stdev: float | None
    network_received_mb_per_s: float | None
    network_received_mb_per_s_stdev: float | None
    compute_share: float | None
    """Computation while nothing was communicated; the four shares add up to 1."""
    compute_share_stdev: float | None
    exposed_communication_share: float | None
    exposed_communication_share_stdev: float | None
    overlapped_communication_share: float | None
    """Communication that computation hides."""
    overlapped_communication_share_stdev: float | None
    idle_share: float | None
    idle_share_stdev: float | None
    duration_s: float
    energy_kwh: float | None
    """Mean energy of a whole run."""
    speedup: float
    ideal_speedup: float
    efficiency: float
    baseline_strategy: str
    baseline_workers: int
    energy_ratio: float | None
    """Energy per epoch over the baseline's, per sample where the epochs are not of one size: 1.1
    costs a tenth more for the same work."""
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
    compare them: "config KEY", "tag KEY", "epochs", "place", "PUE", "CPU model", "GPU model",
    "software NAME"."""


class Scaling(Wire):
    """Energy against speedup for one study: what more workers took and drew for the same work."""

    project: str
    study: str
    points: list[TradeoffPoint]
    """One for each configuration; none where no run of the study can be compared."""
    differences: list[str]
    """As in `Tradeoff`."""


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


class Health(Wire):
    """The answer of a server that lives, or is ready, and the newest report it understands."""

    status: Literal["ok"]
    schema_version: int


class Problem(Wire):
    """RFC 9457 problem details, the one shape of every error the API answers with."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
    """For a refused body: `field`, the path to it, and `message`."""
    request_id: str | None = None
    """Of the request, as in the answer's `X-Request-ID` and in the server's log."""
