"""The tables. They inherit the wire models, so that no field is named twice.

A table class does not validate: reports come in through `carbon.schema` and rows go out through it.
"""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, Date, Float, Index, Integer, String, Table
from sqlmodel import Field, SQLModel

from api import sums
from api.columns import FixedPoint
from carbon.schema import RunFields, Utc
from carbon.units import ENERGY_DECIMALS, MASS_DECIMALS, PRICE_DECIMALS, TIME_DECIMALS

JSON_OR_NULL = JSON(none_as_null=True)

# SQLite counts a key up by itself only where its type is INTEGER.
_COUNTED = BigInteger().with_variant(Integer(), "sqlite")
_ENERGY = FixedPoint(ENERGY_DECIMALS)
_MASS = FixedPoint(MASS_DECIMALS)
_AMOUNTS = ("energy_kwh", "emissions_kg", "duration_s")


class RunRow(RunFields, SQLModel, table=True):  # type: ignore[misc] # two pydantic bases
    """One run: the latest report of it, its lists as JSON text.

    What is declared here again is only what a column cannot take over as it stands: the key, the
    literals, the exact quantities and everything that is a list or a mapping.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_by_project", "project", "started_at", "run_id"),
        Index("runs_by_study", "study", "started_at", "run_id"),
        Index("runs_by_strategy", "strategy", "started_at", "run_id"),
        Index("runs_by_status", "status", "started_at", "run_id"),
        Index("runs_by_country", "country_iso_code", "started_at", "run_id"),
        Index("runs_by_region", "region", "started_at", "run_id"),
        # For sorting; what stands beside it lets runs be picked from the index alone.
        Index("runs_by_energy", "energy_kwh", "run_id", "project", "emissions_kg", "duration_s"),
        Index("runs_by_emissions", "emissions_kg", "run_id", "project", "energy_kwh", "duration_s"),
        Index("runs_by_duration", "duration_s", "run_id", "project", "energy_kwh", "emissions_kg"),
        # For ranges of these, newest first.
        Index("runs_by_time_with_amounts", "started_at", "run_id", *_AMOUNTS),
    )

    run_id: UUID = Field(primary_key=True)
    strategy: str | None  # type: ignore[assignment]
    status: str  # type: ignore[assignment]
    duration_s: float = Field(sa_type=FixedPoint(TIME_DECIMALS))
    energy_kwh: float | None = Field(sa_type=_ENERGY)
    gpu_energy_kwh: float | None = Field(sa_type=_ENERGY)
    cpu_energy_kwh: float | None = Field(sa_type=_ENERGY)
    ram_energy_kwh: float | None = Field(sa_type=_ENERGY)
    idle_energy_kwh: float | None = Field(sa_type=_ENERGY)
    emissions_kg: float | None = Field(sa_type=_MASS)
    market_emissions_kg: float | None = Field(sa_type=_MASS)
    tags: dict[str, str] = Field(sa_type=JSON)
    config: dict[str, Any] = Field(sa_type=JSON)
    metrics: dict[str, Any] = Field(sa_type=JSON)
    software: dict[str, str] = Field(sa_type=JSON)
    nodes: list[Any] = Field(sa_type=JSON)
    epochs: list[Any] = Field(sa_type=JSON)
    # What the server knows by itself, no part of the report.
    heard_at: Utc | None = None
    """When the report came, by the server's clock."""
    is_merged: bool | None = None
    """Whether this row is made of what `shares` holds of the run."""
    labels: list[str] | None = Field(default=None, sa_type=JSON)
    """What `run_labels` holds of the run; None where an earlier version wrote the row."""
    corrections: dict[str, Any] | None = Field(default=None, sa_type=JSON_OR_NULL)
    """What holds of the run whatever its reports say; see `api.overlay`."""
    delivered: dict[str, Any] | None = Field(default=None, sa_type=JSON_OR_NULL)
    """Of the fields that are not as the latest report has them, what it has."""


class LabelRow(SQLModel, table=True):
    """Something by which a run can be found, of which a run may have many; see `api.labels`.

    The key is in the order of a list of runs, so that a page of it is one stretch of the index. It
    is the whole row: SQLite then needs no table beside the index.
    """

    __tablename__ = "run_labels"
    __table_args__ = {"sqlite_with_rowid": False}

    label: str = Field(primary_key=True)
    started_at: Utc = Field(primary_key=True)
    run_id: UUID = Field(primary_key=True)


class UnlabelledRow(SQLModel, table=True):
    """A run of which `run_labels` does not hold every label yet; see `api.labels`."""

    __tablename__ = "unlabelled"
    __table_args__ = {"sqlite_with_rowid": False}

    run_id: UUID = Field(primary_key=True)


class ShareRow(SQLModel, table=True):
    """The latest report of one node's share of a run; of several nodes' runs only.

    `reporter` is empty for a report of the whole run that came before or after shares did.
    """

    __tablename__ = "shares"
    __table_args__ = (Index("shares_by_interval", "live_interval_s"),)

    run_id: UUID = Field(primary_key=True)
    reporter: str = Field(primary_key=True)
    seq: int
    heard_at: Utc
    live_interval_s: float | None = None
    """Of a share that is running and says how often it will be heard of."""
    is_lost: bool = False
    """Whether it was running when nothing was heard of it any more."""
    report: dict[str, Any] = Field(sa_type=JSON)


class AuditRow(SQLModel, table=True):
    """A line of the audit log; see `carbon.schema.AuditEntry`. Never changed."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_by_project", "project", "id"),
        Index("audit_by_run", "run_id", "id"),
        Index("audit_by_time", "at"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_COUNTED)
    at: Utc
    actor: str
    action: str
    project: str | None
    run_id: UUID | None
    runs: int
    changes: dict[str, Any] = Field(sa_type=JSON)
    reason: str | None
    request_id: str | None


class CostingRow(SQLModel, table=True):
    """A figure of a run's emissions that was replaced by another one; never changed."""

    __tablename__ = "costings"
    __table_args__ = (Index("costings_by_run", "run_id", "id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=_COUNTED)
    run_id: UUID
    replaced_at: Utc
    factor_table: str | None
    country_iso_code: str | None
    region: str | None
    intensity_g_per_kwh: float | None
    intensity_source: str | None
    intensity_year: int | None
    market_intensity_g_per_kwh: float | None
    market_source: str | None
    market_table: str | None
    pue: float
    energy_kwh: float | None = Field(sa_type=_ENERGY)
    emissions_kg: float | None = Field(sa_type=_MASS)
    market_emissions_kg: float | None = Field(sa_type=_MASS)


class FactorTableRow(SQLModel, table=True):
    """A factor table, under its version's name; never changed."""

    __tablename__ = "factor_tables"

    version: str = Field(primary_key=True)
    kind: str
    source: str
    year: int | None
    imported_at: Utc
    sha256: str


class FactorRow(SQLModel, table=True):
    """A factor by a name of its place; that of a region may have several names.

    `name` is as `carbon.grid.plain_name` makes it, and empty for a country's own factor.
    """

    __tablename__ = "factors"

    version: str = Field(primary_key=True)
    country_iso_code: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    is_alias: bool = False
    """Whether the same factor is there by another name too, its own."""
    region: str | None
    """As it is shown."""
    intensity_g_per_kwh: float
    source: str
    year: int | None


class SeriesRow(SQLModel, table=True):
    """What one device or host recorded over time, packed; `node` is its place in the run's list."""

    __tablename__ = "series"

    run_id: UUID = Field(primary_key=True, foreign_key="runs.run_id", ondelete="CASCADE")
    node: int = Field(primary_key=True)
    device_uuid: str = Field(primary_key=True)
    """Empty for the host's own."""
    packed: bytes


class KeyRow(SQLModel, table=True):
    """A key by which the API lets somebody in; see `api.keys`."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str | None = None
    digest: str
    """SHA-256 of the whole key, in hexadecimal digits."""
    projects: list[str] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    """None for all."""
    scopes: list[str] = Field(sa_type=JSON)
    created_at: Utc
    expires_at: Utc | None = None
    revoked_at: Utc | None = None
    last_used_at: Utc | None = None


class PriceRow(SQLModel, table=True):
    """What electricity costs from a day on; see `api.prices`."""

    __tablename__ = "prices"

    project: str = Field(primary_key=True)
    """Empty for all projects that have none of their own."""
    valid_from: date = Field(primary_key=True)
    currency: str
    price_per_kwh: float = Field(sa_type=FixedPoint(PRICE_DECIMALS))
    source: str | None


class BudgetRow(SQLModel, table=True):
    """A project's budget; see `api.budgets`."""

    __tablename__ = "budgets"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    quantity: str
    limit: float
    currency: str | None
    period: str
    from_day: date | None
    until_day: date | None
    webhook_url: str | None
    since: Utc
    """When it came to be as it is, but for its webhook."""


class CrossingRow(SQLModel, table=True):
    """A budget that was crossed in one of its periods, and the message about it.

    Whoever inserts it has found the crossing; whoever moves `next_attempt_at` sends the message.
    """

    __tablename__ = "crossings"

    project: str = Field(primary_key=True)
    budget: str = Field(primary_key=True)
    from_day: date = Field(primary_key=True)
    crossed_at: Utc
    document: dict[str, Any] = Field(sa_type=JSON)
    """What is sent, the same each time."""
    attempts: int = 0
    next_attempt_at: Utc
    notified_at: Utc | None = None
    error: str | None = None


class HardwareRow(SQLModel, table=True):
    """What making a piece of hardware emitted; see `api.hardware`."""

    __tablename__ = "hardware"

    kind: str = Field(primary_key=True)
    folded: str = Field(primary_key=True)
    """The name as names are compared."""
    name: str
    embodied_kg: float
    lifetime_h: float
    resource_share: float
    source: str | None
    year: int | None


class MonthVersionRow(SQLModel, table=True):
    """How often transactions changed the runs that started in a month; see `api.month_versions`."""

    __tablename__ = "month_versions"
    __table_args__ = {"sqlite_with_rowid": False}

    month: date = Field(primary_key=True)
    """Its first day, in UTC."""
    version: int = Field(sa_type=BigInteger)


class MonthMadeRow(SQLModel, table=True):
    """From which version of a month its rows of one kind in `month_sums` were made."""

    __tablename__ = "months_made"
    __table_args__ = {"sqlite_with_rowid": False}

    kind: str = Field(primary_key=True)
    month: date = Field(primary_key=True)
    version: int = Field(sa_type=BigInteger)


def _rollup(name: str, *keys: Column[Any]) -> Table:
    """Declare a table of sums over the runs that have these keys in common.

    What is unknown of a run is empty text or 0 among its keys, as a key cannot be null. SQLite
    keeps the rows in the order of their keys, with no index beside them.
    """
    moment = RunRow.__table__.c.started_at.type  # type: ignore[attr-defined]
    types = {"started_at": moment, "intensity_g_per_kwh": Float()}
    return Table(
        name,
        SQLModel.metadata,
        *keys,
        *(Column(column, BigInteger, nullable=False) for column in sums.COLUMNS),
        *(Column(column, types[of]) for column, (of, _) in sums.EXTREMES.items()),
        sqlite_with_rowid=False,
    )


def _key(name: str, kind: Any = String) -> Column[Any]:
    return Column(name, kind, primary_key=True)


EVERYTHING = ""
"""In the place of a project: all of them. No project has an empty name."""

TOTALS = _rollup(
    "totals",
    _key("project"),
    _key("country_iso_code"),
    _key("region"),
    _key("intensity_source"),
    _key("intensity_year", Integer),
)
"""Sums over a project's runs at a place, or with `EVERYTHING` as project over all projects'."""

DAYS = _rollup(
    "days",
    _key("project"),
    _key("day", Date),
    _key("strategy"),
    _key("study"),
    _key("user"),
    _key("country_iso_code"),
    _key("region"),
    _key("status"),
)
"""Sums over the runs of a project that started on one day, in UTC, by what they are grouped by."""

NODE_DAYS = _rollup("node_days", _key("project"), _key("day", Date), _key("hostname"))
"""The same over what each host drew for them."""

GPU_DAYS = _rollup("gpu_days", _key("project"), _key("day", Date), _key("gpu_model"))
"""The same over what the accelerators of each model drew for them."""

MONTH_SUMS = _rollup(
    "month_sums",
    _key("kind"),
    _key("beginning", Date),
    _key("value"),
    _key("second_value"),
)
"""Sums over all projects, made of those of days when they are asked for; see `api.months`."""

RUNS: Table = RunRow.__table__  # type: ignore[attr-defined]
"""The table itself: rows are read and written as values, never as objects with a state."""

AUDIT: Table = AuditRow.__table__  # type: ignore[attr-defined]
COSTINGS: Table = CostingRow.__table__  # type: ignore[attr-defined]
FACTORS: Table = FactorRow.__table__  # type: ignore[attr-defined]
FACTOR_TABLES: Table = FactorTableRow.__table__  # type: ignore[attr-defined]
LABELS: Table = LabelRow.__table__  # type: ignore[attr-defined]
BUDGETS: Table = BudgetRow.__table__  # type: ignore[attr-defined]
CROSSINGS: Table = CrossingRow.__table__  # type: ignore[attr-defined]
HARDWARE: Table = HardwareRow.__table__  # type: ignore[attr-defined]
MONTH_VERSIONS: Table = MonthVersionRow.__table__  # type: ignore[attr-defined]
MONTHS_MADE: Table = MonthMadeRow.__table__  # type: ignore[attr-defined]
UNLABELLED: Table = UnlabelledRow.__table__  # type: ignore[attr-defined]
KEYS: Table = KeyRow.__table__  # type: ignore[attr-defined]
PRICES: Table = PriceRow.__table__  # type: ignore[attr-defined]
SERIES: Table = SeriesRow.__table__  # type: ignore[attr-defined]
SHARES: Table = ShareRow.__table__  # type: ignore[attr-defined]
